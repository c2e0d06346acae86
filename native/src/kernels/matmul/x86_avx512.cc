// Quantized weights by vpdpbusd. Activations are signed bytes, one or two each (implementations.h),
// so a product with a weight is exact and a column of 32 sums up in 32-bit integers before it meets
// its scales.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/matmul/implementations.h"
#include "kernels/matmul/panels.h"
#include "kernels/matmul/x86_avx512_blocks.h"
#include "kernels/matmul/x86_avx512_prepare.h"

namespace mla {
namespace {

void Prepare(ActivationForm form, const float* x, int64_t x_stride, int64_t, int64_t cols,
             void* prepared, int64_t begin, int64_t end) {
  PrepareByteRows(form, x, x_stride, cols, prepared, begin, end, SumMagnitudes, PrepareBlocks);
}

struct Avx512 {
  static constexpr int kRows = kTileRows, kPanels = 2, kColumns = 4;
  static constexpr int kTogether = 16, kFewColumns = 16;
  static constexpr bool kArranges = false;
  using BlockRows = mla::BlockRows;
  using PackedBlock = mla::PackedBlock;
  using Sums = __m512;

  static Sums Zero() { return _mm512_setzero_ps(); }
  static Sums LoadSums(const float* at) { return _mm512_load_ps(at); }
  static void StoreSums(float* at, Sums sums) { _mm512_store_ps(at, sums); }
  // Lanes [begin, end) to y, with bias (may be null) and what is there already, if wanted.
  static void Finish(float* y, const float* bias, bool accumulate, int begin, int end, Sums sums) {
    const __mmask16 mask = static_cast<__mmask16>((uint32_t{1} << end) - (uint32_t{1} << begin));
    if (bias != nullptr) sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(mask, bias));
    if (accumulate) sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(mask, y));
    _mm512_mask_storeu_ps(y, mask, sums);
  }

  // sums[p][c] += tile p · x[c], over 32 columns of weights.
  template <int kPanels, int kCols, int kScales>
  [[gnu::always_inline]] static inline void MultiplyTile(const Tile<kScales>* const tiles[kPanels],
                                                         const ActivationBlock* const x[kCols],
                                                         __m512 sums[kPanels][kCols]) {
    // A single row's time goes to reading the weights: there a branch costs more than it saves.
    // That of several, whose tile is in registers, to products: a column's low bytes are its own.
    // Where a tile is in memory, and two panels share a column's words, a branch for all is faster.
    constexpr int kAtOnce = 4;  // of many, whose sums leave registers for no more products
    if constexpr (kPanels == 1 && kCols > 2 * kAtOnce) {
#pragma GCC unroll 4
      for (int c = 0; c < kCols; c += kAtOnce) {
        auto* some = reinterpret_cast<__m512(*)[kAtOnce]>(&sums[0][c]);
        MultiplyBytes<1, kAtOnce, kScales, Low::kByColumn>(tiles, x + c, some);
      }
    } else if constexpr (kPanels == 1) {
      MultiplyBytes<kPanels, kCols, kScales, kCols == 1 ? Low::kAlways : Low::kByColumn>(tiles, x,
                                                                                         sums);
    } else {
      int32_t fine = 0;
      for (int c = 0; c < kCols; ++c) fine |= x[c]->fine;
      if (fine != 0) {
        MultiplyBytes<kPanels, kCols, kScales, Low::kAlways>(tiles, x, sums);
      } else {
        MultiplyBytes<kPanels, kCols, kScales, Low::kNever>(tiles, x, sums);
      }
    }
  }

 private:
  // Which columns' low bytes are multiplied. Where they are zero all forms give the same to the
  // last bit.
  enum class Low { kNever, kByColumn, kAlways };

  template <int kPanels, int kCols, int kScales, Low kLow>
  [[gnu::always_inline]] static inline void MultiplyBytes(const Tile<kScales>* const tiles[kPanels],
                                                          const ActivationBlock* const x[kCols],
                                                          __m512 sums[kPanels][kCols]) {
    constexpr int kSteps = 8 / kScales;
    const auto fine_dot = [](__m512i high, __m512i low) {
      const __m512i both = _mm512_add_epi32(_mm512_slli_epi32(high, 8), low);
      return _mm512_mul_ps(_mm512_cvtepi32_ps(both), _mm512_set1_ps(1.0f / 256));
    };
#pragma GCC unroll 2
    for (int s = 0; s < kScales; ++s) {
      constexpr bool kBoth = kLow == Low::kAlways;
      __m512i products[1 + kBoth][kPanels][kCols];
      AddProducts<kBoth ? 2 : 1, kPanels, kCols, kSteps>(tiles, x, s * kSteps, 0, products);
      const auto& high = products[0];
      __m512 dots[kPanels][kCols];
#pragma GCC unroll 8
      for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
          dots[p][c] =
              kBoth ? fine_dot(high[p][c], products[kBoth][p][c]) : _mm512_cvtepi32_ps(high[p][c]);
        }
      }
#pragma GCC unroll 8
      for (int c = 0; c < kCols; ++c) {
        if (kLow == Low::kByColumn && x[c]->fine != 0) {
          __m512i low[1][kPanels][1];
          AddProducts<1, kPanels, 1, kSteps>(tiles, x + c, s * kSteps, 32, low);
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p) dots[p][c] = fine_dot(high[p][c], low[0][p][0]);
        }
        const __m512 scale = _mm512_set1_ps(x[c]->scale);
        const __m512 sum = _mm512_set1_ps(kScales == 1 ? x[c]->sum : x[c]->half_sum[s]);
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
          const __m512 scaled = _mm512_mul_ps(dots[p][c], tiles[p]->scale[s]);
          sums[p][c] = _mm512_fmadd_ps(scaled, scale, sums[p][c]);
          sums[p][c] = _mm512_fmadd_ps(tiles[p]->min[s], sum, sums[p][c]);
        }
      }
    }
  }

  // Of four bytes in all lanes, which the instruction itself broadcasts: GCC 12 would do it by one
  // more.
  [[gnu::always_inline]] static inline void AddDots(__m512i weights, const uint8_t* bytes,
                                                    __m512i* sum) {
    asm("vpdpbusd %2%{1to16%}, %1, %0"
        : "+v"(*sum)
        : "v"(weights), "m"(*reinterpret_cast<const uint8_t(*)[4]>(bytes)));
  }

  // Sums of products of kSteps registers of weights from `first` on with activations' bytes from
  // `bytes` on (0: high, 32: low), or with high and low ones.
  template <int kBytes, int kPanels, int kCols, int kSteps, int kScales>
  [[gnu::always_inline]] static inline void AddProducts(const Tile<kScales>* const* tiles,
                                                        const ActivationBlock* const* x, int first,
                                                        int bytes,
                                                        __m512i (&out)[kBytes][kPanels][kCols]) {
    // Integer sums are exact in any order: where too few are under way to hide an instruction's
    // latency, split them.
    constexpr int kChains = kPanels * kCols < 4 ? 2 : 1;
    __m512i sums[kBytes][kPanels][kCols][kChains];
#pragma GCC unroll 8
    for (int j = 0; j < kSteps; ++j) {
#pragma GCC unroll 8
      for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll 2
        for (int b = 0; b < kBytes; ++b) {
          const uint8_t* at = x[c]->q + bytes + 32 * b + 4 * (first + j);
          if constexpr (kPanels == 1) {
            __m512i& sum = sums[b][0][c][j % kChains];
            if (j < kChains) sum = _mm512_setzero_si512();
            AddDots(tiles[0]->q[first + j], at, &sum);
            continue;
          }
          const __m512i word = _mm512_set1_epi32(LoadWord(at));
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p) {
            __m512i& sum = sums[b][p][c][j % kChains];
            sum = _mm512_dpbusd_epi32(j < kChains ? _mm512_setzero_si512() : sum,
                                      tiles[p]->q[first + j], word);
          }
        }
      }
    }
#pragma GCC unroll 2
    for (int b = 0; b < kBytes; ++b) {
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 8
        for (int c = 0; c < kCols; ++c) {
          const auto& chains = sums[b][p][c];
          out[b][p][c] =
              kChains == 1 ? chains[0] : _mm512_add_epi32(chains[0], chains[kChains - 1]);
        }
      }
    }
  }
};

void Multiply(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  switch (p.w.type) {
    case Type::kQ4_0:
      return MultiplyQuantized<Avx512, ReadQ4_0>(p, row_begin, row_end);
    case Type::kQ4_1:
      return MultiplyQuantized<Avx512, ReadQ4_1>(p, row_begin, row_end);
    case Type::kQ5_0:
      return MultiplyQuantized<Avx512, ReadQ5_0>(p, row_begin, row_end);
    case Type::kQ5_1:
      return MultiplyQuantized<Avx512, ReadQ5_1>(p, row_begin, row_end);
    case Type::kQ8_0:
      return MultiplyQuantized<Avx512, ReadQ8_0>(p, row_begin, row_end);
    case Type::kQ3_K:
      return MultiplyQuantized<Avx512, ReadQ3_K>(p, row_begin, row_end);
    case Type::kQ4_K:
      return MultiplyQuantized<Avx512, ReadQ4_K>(p, row_begin, row_end);
    case Type::kQ5_K:
      return MultiplyQuantized<Avx512, ReadQ5_K>(p, row_begin, row_end);
    case Type::kQ6_K:
      return MultiplyQuantized<Avx512, ReadQ6_K>(p, row_begin, row_end);
    case Type::kIQ4_NL:
      return MultiplyQuantized<Avx512, ReadIQ4_NL>(p, row_begin, row_end);
    case Type::kIQ4_XS:
      return MultiplyQuantized<Avx512, ReadIQ4_XS>(p, row_begin, row_end);
    case Type::kF32:
    case Type::kF16:
    case Type::kBF16:
      return MultiplyFloatAvx512(p, row_begin, row_end);
  }
}

}  // namespace

const MatmulKernels kMatmulAvx512 = {Prepare, Multiply, kTileRows, PackRows<kTileRows>};

}  // namespace mla
