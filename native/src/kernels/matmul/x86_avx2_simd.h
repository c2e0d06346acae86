// Quantized weights in registers of eight 32-bit lanes: activations are signed bytes, one or two
// each (implementations.h), so a product with a weight is exact and a column of 32 sums up in
// 32-bit integers before it meets its scales. How bytes are multiplied is the including file's own
// affair.
#ifndef MLA_KERNELS_MATMUL_X86_AVX2_SIMD_H_
#define MLA_KERNELS_MATMUL_X86_AVX2_SIMD_H_

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/matmul/implementations.h"
#include "kernels/matmul/panels.h"
#include "kernels/matmul/x86_avx2_blocks.h"

namespace mla {
namespace {

__m256i Magnitudes(__m256 x) {
  return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}

float LargestMagnitude(const __m256 x[4]) {
  // Magnitudes order like their bits, and NaN above all.
  __m256i m = Magnitudes(x[0]);
  for (int i = 1; i < 4; ++i) m = _mm256_max_epu32(m, Magnitudes(x[i]));
  __m128i h = _mm_max_epu32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
  h = _mm_max_epu32(h, _mm_shuffle_epi32(h, 0x4e));
  h = _mm_max_epu32(h, _mm_shuffle_epi32(h, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(h));
}

int32_t SumLanes(__m256i v) {
  __m128i h = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
  h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1));
  return _mm_cvtsi128_si32(h);
}

// 32 numbers that fit a signed byte, in order.
void StoreBytes(const __m256i v[4], uint8_t* at) {
  const __m256i mixed =
      _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
  _mm256_storeu_si256(
      reinterpret_cast<__m256i*>(at),
      _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}

// q: the block's 32 numbers in units of `unit`.
void SetSums(const __m256i q[4], float unit, ActivationBlock* block) {
  for (int h = 0; h < 2; ++h) {
    const int32_t sum = SumLanes(_mm256_add_epi32(q[2 * h], q[2 * h + 1]));
    block->half_sum[h] = unit * static_cast<float>(sum);
  }
  block->sum = block->half_sum[0] + block->half_sum[1];
}

void PrepareBlock(const float* x, float coarse_below, ActivationBlock* block) {
  __m256 values[4];
  for (int i = 0; i < 4; ++i) values[i] = _mm256_loadu_ps(x + 8 * i);
  const float largest = LargestMagnitude(values);
  const float inverse = SetScale(largest, coarse_below, block);
  const bool fine = block->fine != 0;
  const __m256 factor = _mm256_set1_ps(fine ? inverse * 256 : inverse);
  __m256i q[4];
  for (int i = 0; i < 4; ++i) q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(values[i], factor));
  if (!fine) {
    SetSums(q, block->scale, block);
    StoreBytes(q, block->q);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(block->q + 32), _mm256_setzero_si256());
    return;
  }
  __m256i high[4], low[4];
  for (int i = 0; i < 4; ++i) {
    high[i] = _mm256_srai_epi32(_mm256_add_epi32(q[i], _mm256_set1_epi32(128)), 8);
    const __m256i whole = _mm256_slli_epi32(high[i], 8);
    // -128 has no positive counterpart among bytes: a unit more, where rounding gave half of one.
    low[i] = _mm256_max_epi32(_mm256_sub_epi32(q[i], whole), _mm256_set1_epi32(-127));
    q[i] = _mm256_add_epi32(whole, low[i]);
  }
  SetSums(q, block->scale / 256, block);
  StoreBytes(high, block->q);
  StoreBytes(low, block->q + 32);
}

float SumMagnitudes(const float* x, int64_t cols) {
  __m256 sums[4] = {};
  for (int64_t c = 0; c < cols; c += 32) {
    for (int i = 0; i < 4; ++i) {
      const __m256i magnitudes = Magnitudes(_mm256_loadu_ps(x + c + 8 * i));
      sums[i] = _mm256_add_ps(sums[i], _mm256_castsi256_ps(magnitudes));
    }
  }
  const __m256 sum =
      _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
  __m128 h = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
  h = _mm_add_ps(h, _mm_movehl_ps(h, h));
  h = _mm_add_ss(h, _mm_movehdup_ps(h));
  return _mm_cvtss_f32(h);
}

void Prepare(ActivationForm form, const float* x, int64_t x_stride, int64_t, int64_t cols,
             void* prepared, int64_t begin, int64_t end) {
  PrepareByteRows(form, x, x_stride, cols, prepared, begin, end, SumMagnitudes,
                  PrepareEachBlock<PrepareBlock>);
}

// `Bytes` multiplies and adds them: Sum of kSteps times 4 columns of weights with the bytes of x
// from `at` on.
template <typename Bytes>
struct Avx2 {
  static constexpr int kRows = kTileRows, kPanels = 2, kColumns = 4;
  static constexpr int kTogether = 4, kFewColumns = 8;
  static constexpr bool kArranges = false;
  using BlockRows = mla::BlockRows;
  using PackedBlock = mla::PackedBlock;
  using Sums = __m256;

  static Sums Zero() { return _mm256_setzero_ps(); }
  static Sums LoadSums(const float* at) { return _mm256_load_ps(at); }
  static void StoreSums(float* at, Sums sums) { _mm256_store_ps(at, sums); }
  // Lanes [begin, end) to y, with bias (may be null) and what is there already, if wanted.
  static void Finish(float* y, const float* bias, bool accumulate, int begin, int end, Sums sums) {
    if (begin == 0 && end == kRows) {  // masked stores are slow: a fifth of a prompt's time
      if (bias != nullptr) sums = _mm256_add_ps(sums, _mm256_loadu_ps(bias));
      if (accumulate) sums = _mm256_add_ps(sums, _mm256_loadu_ps(y));
      return _mm256_storeu_ps(y, sums);
    }
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(begin), lanes),
                                             _mm256_cmpgt_epi32(_mm256_set1_epi32(end), lanes));
    if (bias != nullptr) sums = _mm256_add_ps(sums, _mm256_maskload_ps(bias, mask));
    if (accumulate) sums = _mm256_add_ps(sums, _mm256_maskload_ps(y, mask));
    _mm256_maskstore_ps(y, mask, sums);
  }

  // sums[p][c] += tile p · x[c], over 32 columns of weights.
  template <int kPanels, int kCols, int kScales, int kBits>
  [[gnu::always_inline]] static inline void MultiplyTile(
      const Tile<kScales, kBits>* const tiles[kPanels], const ActivationBlock* const x[kCols],
      __m256 sums[kPanels][kCols]) {
    constexpr int kSteps = 8 / kScales;
#pragma GCC unroll 2
    for (int s = 0; s < kScales; ++s) {
      __m256i high[kPanels][kCols];
      const __m256i* weights[kPanels];
      for (int p = 0; p < kPanels; ++p) weights[p] = tiles[p]->q + s * kSteps;
      Bytes::template Sum<kPanels, kCols, kSteps, kBits>(weights, x, 4 * s * kSteps, high);
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) {
        __m256 dots[kPanels];
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) dots[p] = _mm256_cvtepi32_ps(high[p][c]);
        // Where low bytes are zero both forms give the same to the last bit.
        if (x[c]->fine != 0) {
          __m256i low[kPanels][1];
          Bytes::template Sum<kPanels, 1, kSteps, kBits>(weights, x + c, 32 + 4 * s * kSteps, low);
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p) {
            const __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high[p][c], 8), low[p][0]);
            dots[p] = _mm256_mul_ps(_mm256_cvtepi32_ps(both), _mm256_set1_ps(1.0f / 256));
          }
        }
        const __m256 scale = _mm256_set1_ps(x[c]->scale);
        const __m256 sum = _mm256_set1_ps(kScales == 1 ? x[c]->sum : x[c]->half_sum[s]);
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
          const __m256 scaled = _mm256_mul_ps(dots[p], tiles[p]->scale[s]);
          sums[p][c] = _mm256_fmadd_ps(scaled, scale, sums[p][c]);
          if constexpr (kBits < 8) {
            sums[p][c] = _mm256_fmadd_ps(tiles[p]->min[s], sum, sums[p][c]);
          }
        }
      }
    }
  }
};

template <typename Bytes>
void Multiply(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  switch (p.w.type) {
    case Type::kQ4_0:
      return MultiplyQuantized<Avx2<Bytes>, ReadQ4_0>(p, row_begin, row_end);
    case Type::kQ4_1:
      return MultiplyQuantized<Avx2<Bytes>, ReadQ4_1>(p, row_begin, row_end);
    case Type::kQ5_0:
      return MultiplyQuantized<Avx2<Bytes>, ReadQ5_0>(p, row_begin, row_end);
    case Type::kQ5_1:
      return MultiplyQuantized<Avx2<Bytes>, ReadQ5_1>(p, row_begin, row_end);
    case Type::kQ8_0:
      return MultiplyQuantized<Avx2<Bytes>, ReadQ8_0>(p, row_begin, row_end);
    case Type::kQ3_K:
      return MultiplyQuantized<Avx2<Bytes>, ReadQ3_K>(p, row_begin, row_end);
    case Type::kQ4_K:
      return MultiplyQuantized<Avx2<Bytes>, ReadQ4_K>(p, row_begin, row_end);
    case Type::kQ5_K:
      return MultiplyQuantized<Avx2<Bytes>, ReadQ5_K>(p, row_begin, row_end);
    case Type::kQ6_K:
      return MultiplyQuantized<Avx2<Bytes>, ReadQ6_K>(p, row_begin, row_end);
    case Type::kIQ4_NL:
      return MultiplyQuantized<Avx2<Bytes>, ReadIQ4_NL>(p, row_begin, row_end);
    case Type::kIQ4_XS:
      return MultiplyQuantized<Avx2<Bytes>, ReadIQ4_XS>(p, row_begin, row_end);
    case Type::kF32:
    case Type::kF16:
    case Type::kBF16:
      return MultiplyFloatAvx2(p, row_begin, row_end);
  }
}

template <typename Bytes>
constexpr MatmulKernels kKernels = {Prepare, Multiply<Bytes>, kTileRows, PackRows<kTileRows>};

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_X86_AVX2_SIMD_H_
