// Plain weights (F32, F16, BF16) times float activations, whatever the instruction set: lanes are
// columns, and a sum's lanes are added up at its end, always in the same order, so that one column
// or many and any split of the rows agree to the last bit. For the *_float.cc files of this folder,
// inside their own unnamed namespace.
//
// `Simd` has a Vector of kWidth floats, kRows x kCols sums that its registers hold beside what they
// are made of, and the operations; a `Read` loads kWidth weights, or fewer at a row's end, as
// floats.
#ifndef MLA_KERNELS_MATMUL_FLOAT_ROWS_H_
#define MLA_KERNELS_MATMUL_FLOAT_ROWS_H_

#include <stdint.h>

#include "kernels/matmul/matmul.h"

namespace mla {
namespace {

constexpr int64_t kCacheBytes = 512 * 1024;  // of activations, that stay in the second-level cache

// kRows rows of the weights times kCols rows of activations. Where they are the first to meet the
// weights, as many rows behind them are fetched meanwhile.
template <typename Simd, typename Read, int kRows, int kCols, bool kFetch>
void MultiplyBlock(const MatmulParams& p, int64_t row, int64_t column) {
  using Element = typename Read::Element;
  using Vector = typename Simd::Vector;
  const int64_t cols = p.w.cols;
  const Element* w = reinterpret_cast<const Element*>(p.w.data) + row * cols;
  const float* x = p.plain_row(column);
  const int64_t x_stride = p.plain_stride();
  Vector sums[kRows][kCols];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kCols; ++c) sums[r][c] = Simd::Zero();
  }
  const auto step = [&](auto load_w, auto load_x) __attribute__((always_inline)) {
    Vector weights[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) weights[r] = load_w(w + r * cols);
#pragma GCC unroll 8
    for (int c = 0; c < kCols; ++c) {
      const Vector value = load_x(x + c * x_stride);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sums[r][c] = Simd::Fma(weights[r], value, sums[r][c]);
    }
  };
  const Element* behind = w + kRows * cols;
  int64_t k = 0;
  for (; k + Simd::kWidth <= cols; k += Simd::kWidth, w += Simd::kWidth, x += Simd::kWidth) {
    if constexpr (kFetch) {
      constexpr int kElements = 64 / sizeof(Element);
#pragma GCC unroll 8
      for (int e = 0; e < kRows * Simd::kWidth; e += kElements) __builtin_prefetch(behind + e);
      behind += kRows * Simd::kWidth;
    }
    step([](const Element* at) { return Read::Load(at); },
         [](const float* at) { return Simd::Load(at); });
  }
  if (k < cols) {
    const int rest = static_cast<int>(cols - k);
    step([rest](const Element* at) { return Read::LoadFirst(at, rest); },
         [rest](const float* at) { return Simd::LoadFirst(at, rest); });
  }
  for (int c = 0; c < kCols; ++c) {
    float* y = p.y + (column + c) * p.y_stride + row;
    float totals[kRows];
    if constexpr (kRows == 4) {
      Simd::SumLanes4(sums[0][c], sums[1][c], sums[2][c], sums[3][c], totals);
    } else {
      for (int r = 0; r < kRows; ++r) totals[r] = Simd::SumLanes(sums[r][c]);
    }
    for (int r = 0; r < kRows; ++r) {
      if (p.bias != nullptr) totals[r] += p.bias[row + r];
      y[r] = p.accumulate ? y[r] + totals[r] : totals[r];
    }
  }
}

// The last columns, kCols at most.
template <typename Simd, typename Read, int kRows, int kCols, bool kFetch>
void MultiplyLast(const MatmulParams& p, int64_t row, int64_t begin, int64_t end) {
  if (end - begin == kCols) {
    MultiplyBlock<Simd, Read, kRows, kCols, kFetch>(p, row, begin);
  } else if constexpr (kCols > 1) {
    MultiplyLast<Simd, Read, kRows, kCols - 1, kFetch>(p, row, begin, end);
  }
}

template <typename Simd, typename Read, int kRows>
void MultiplyRows(const MatmulParams& p, int64_t row, int64_t begin, int64_t end) {
  constexpr int kCols = Simd::kCols;
  if (end - begin < kCols) {
    MultiplyLast<Simd, Read, kRows, kCols - 1, true>(p, row, begin, end);
    return;
  }
  MultiplyBlock<Simd, Read, kRows, kCols, true>(p, row, begin);
  int64_t c = begin + kCols;
  for (; c + kCols <= end; c += kCols) MultiplyBlock<Simd, Read, kRows, kCols, false>(p, row, c);
  MultiplyLast<Simd, Read, kRows, kCols - 1, false>(p, row, c, end);
}

template <typename Simd, typename Read>
void MultiplyFloat(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  const int64_t fit = kCacheBytes / (4 * (p.w.cols + 1));
  const int64_t columns = fit < Simd::kCols ? Simd::kCols : fit / Simd::kCols * Simd::kCols;
  for (int64_t begin = 0; begin < p.n; begin += columns) {
    const int64_t end = begin + columns < p.n ? begin + columns : p.n;
    int64_t r = row_begin;
    for (; r + Simd::kRows <= row_end; r += Simd::kRows) {
      MultiplyRows<Simd, Read, Simd::kRows>(p, r, begin, end);
    }
    for (; r < row_end; ++r) MultiplyRows<Simd, Read, 1>(p, r, begin, end);
  }
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_FLOAT_ROWS_H_
