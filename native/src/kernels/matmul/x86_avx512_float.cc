// F32, F16 and BF16 weights: converted in registers, multiplied by plain floats. Lanes are columns;
// a sum's lanes are added up at its end, always in the same order.
#include <immintrin.h>
#include <stdint.h>

#include "kernels/matmul/implementations.h"

namespace mla {
namespace {

constexpr int64_t kCacheBytes = 512 * 1024;  // of activations, that stay in the second-level cache

struct ReadF32 {
  using Element = float;
  static __m512 Load(const Element* w) { return _mm512_loadu_ps(w); }
  static __m512 Load(const Element* w, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, w); }
};

struct ReadF16 {
  using Element = uint16_t;
  static __m512 Load(const Element* w) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
  }
  static __m512 Load(const Element* w, __mmask16 mask) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, w));
  }
};

struct ReadBF16 {
  using Element = uint16_t;
  static __m512 Widen(__m256i v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
  }
  static __m512 Load(const Element* w) {
    return Widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
  }
  static __m512 Load(const Element* w, __mmask16 mask) {
    return Widen(_mm256_maskz_loadu_epi16(mask, w));
  }
};

// kRows rows of the weights times kCols rows of activations.
template <typename Read, int kRows, int kCols>
void MultiplyBlock(const MatmulParams& p, int64_t row, int64_t column) {
  using Element = typename Read::Element;
  const int64_t cols = p.w.cols;
  const Element* w = reinterpret_cast<const Element*>(p.w.data) + row * cols;
  const float* x = static_cast<const float*>(p.prepared) + column * cols;
  __m512 sums[kRows][kCols];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kCols; ++c) sums[r][c] = _mm512_setzero_ps();
  }
  const auto step = [&](auto load_w, auto load_x) __attribute__((always_inline)) {
    __m512 weights[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) weights[r] = load_w(w + r * cols);
#pragma GCC unroll 8
    for (int c = 0; c < kCols; ++c) {
      const __m512 value = load_x(x + c * cols);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        sums[r][c] = _mm512_fmadd_ps(weights[r], value, sums[r][c]);
      }
    }
  };
  int64_t k = 0;
  for (; k + 16 <= cols; k += 16, w += 16, x += 16) {
    step([](const Element* at) { return Read::Load(at); },
         [](const float* at) { return _mm512_loadu_ps(at); });
  }
  if (k < cols) {
    const __mmask16 mask = static_cast<__mmask16>((1u << (cols - k)) - 1);
    step([mask](const Element* at) { return Read::Load(at, mask); },
         [mask](const float* at) { return _mm512_maskz_loadu_ps(mask, at); });
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kCols; ++c) {
      float* y = p.y + (column + c) * p.y_stride + row + r;
      float sum = _mm512_reduce_add_ps(sums[r][c]);
      if (p.bias != nullptr) sum += p.bias[row + r];
      *y = p.accumulate ? *y + sum : sum;
    }
  }
}

template <typename Read, int kRows>
void MultiplyRows(const MatmulParams& p, int64_t row, int64_t begin, int64_t end) {
  int64_t c = begin;
  for (; c + 4 <= end; c += 4) MultiplyBlock<Read, kRows, 4>(p, row, c);
  for (; c < end; ++c) MultiplyBlock<Read, kRows, 1>(p, row, c);
}

template <typename Read>
void MultiplyAs(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  const int64_t fit = kCacheBytes / (4 * (p.w.cols + 1));
  const int64_t columns = fit < 4 ? 4 : fit / 4 * 4;
  for (int64_t begin = 0; begin < p.n; begin += columns) {
    const int64_t end = begin + columns < p.n ? begin + columns : p.n;
    int64_t r = row_begin;
    for (; r + 4 <= row_end; r += 4) MultiplyRows<Read, 4>(p, r, begin, end);
    for (; r < row_end; ++r) MultiplyRows<Read, 1>(p, r, begin, end);
  }
}

}  // namespace

void MultiplyFloatAvx512(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  switch (p.w.type) {
    case Type::kF16:
      return MultiplyAs<ReadF16>(p, row_begin, row_end);
    case Type::kBF16:
      return MultiplyAs<ReadBF16>(p, row_begin, row_end);
    default:
      return MultiplyAs<ReadF32>(p, row_begin, row_end);
  }
}

}  // namespace mla
