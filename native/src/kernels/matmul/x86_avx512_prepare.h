// Activations to blocks of bytes (implementations.h), sixteen blocks at a time: what needs a sum or
// a maximum across lanes is found for all of them at once, and nothing depends on whether a block
// is fine. For x86_avx512.cc alone.
#ifndef MLA_KERNELS_MATMUL_X86_AVX512_PREPARE_H_
#define MLA_KERNELS_MATMUL_X86_AVX512_PREPARE_H_

#include <immintrin.h>
#include <stdint.h>

#include "kernels/matmul/implementations.h"

namespace mla {
namespace {

constexpr int kPreparedTogether = 16;

inline __m512i Magnitudes(__m512 x) {
  return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}

inline float SumMagnitudes(const float* x, int64_t cols) {
  const auto load = [x](int64_t i) {
    return _mm512_castsi512_ps(Magnitudes(_mm512_loadu_ps(x + i)));
  };
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                    _mm512_setzero_ps()};
  int64_t i = 0;
  for (; i + 64 <= cols; i += 64) {
    for (int s = 0; s < 4; ++s) sums[s] = _mm512_add_ps(sums[s], load(i + 16 * s));
  }
  for (; i < cols; i += 16) sums[0] = _mm512_add_ps(sums[0], load(i));
  return _mm512_reduce_add_ps(
      _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

// Lane r of `first`: `combine` of lanes 0 to 7 of rows[r]; of `second`, of lanes 8 to 15.
template <typename Combine>
[[gnu::always_inline]] inline void CombineHalves(const __m512i rows[16], Combine combine,
                                                 __m512i* first, __m512i* second) {
  __m512i fours[4];  // each quarter of them has rows 4 i to 4 i + 3
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512i* r = rows + 4 * i;
    const __m512i even =
        combine(_mm512_unpacklo_epi32(r[0], r[1]), _mm512_unpackhi_epi32(r[0], r[1]));
    const __m512i odd =
        combine(_mm512_unpacklo_epi32(r[2], r[3]), _mm512_unpackhi_epi32(r[2], r[3]));
    fours[i] = combine(_mm512_unpacklo_epi64(even, odd), _mm512_unpackhi_epi64(even, odd));
  }
  __m512i eights[2];  // quarters: rows 0 to 3 of it, their first half and their second, 4 to 7
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    eights[i] = combine(_mm512_shuffle_i32x4(fours[2 * i], fours[2 * i + 1], 0x88),
                        _mm512_shuffle_i32x4(fours[2 * i], fours[2 * i + 1], 0xdd));
  }
  *first = _mm512_shuffle_i32x4(eights[0], eights[1], 0x88);
  *second = _mm512_shuffle_i32x4(eights[0], eights[1], 0xdd);
}

// SetScale of sixteen blocks.
struct BlockScales {
  alignas(64) float scale[kPreparedTogether];
  // Steps in 1: of the low byte where a block is fine, else of the high one, which is so many bits
  // more.
  alignas(64) float inverse[kPreparedTogether];
  alignas(64) int32_t shift[kPreparedTogether];
  uint32_t fine;

  void Set(__m512 largest, float coarse_below) {
    const __mmask16 finite =
        _mm512_cmp_ps_mask(largest, _mm512_set1_ps(3.402823466e38f), _CMP_LE_OQ);
    const __mmask16 is_fine =
        _mm512_cmp_ps_mask(largest, _mm512_set1_ps(coarse_below), _CMP_NLT_UQ);
    const __m512 most =
        _mm512_mask_blend_ps(is_fine, _mm512_set1_ps(kCoarseMost), _mm512_set1_ps(kFineMost));
    _mm512_store_ps(scale,
                    _mm512_mask_div_ps(_mm512_set1_ps(__builtin_nanf("")), finite, largest, most));
    const __mmask16 counts =
        _mm512_mask_cmp_ps_mask(finite, largest, _mm512_set1_ps(kSmallestActivation), _CMP_GT_OQ);
    const __m512 high_steps = _mm512_maskz_div_ps(counts, most, largest);
    _mm512_store_ps(inverse,
                    _mm512_mask_mul_ps(high_steps, is_fine, high_steps, _mm512_set1_ps(256)));
    _mm512_store_si512(
        shift, _mm512_mask_blend_epi32(is_fine, _mm512_set1_epi32(8), _mm512_setzero_si512()));
    fine = is_fine;
  }
};

// As many blocks as go together, or fewer.
inline void PrepareSome(const float* x, int count, float coarse_below, ActivationBlock* blocks) {
  __m512i rows[kPreparedTogether];
  for (int b = 0; b < kPreparedTogether; ++b) rows[b] = _mm512_setzero_si512();
  // Magnitudes order like their bits, and NaN above all.
  const auto larger = [](__m512i a, __m512i b) { return _mm512_max_epu32(a, b); };
  for (int b = 0; b < count; ++b) {
    rows[b] = larger(Magnitudes(_mm512_loadu_ps(x + 32 * b)),
                     Magnitudes(_mm512_loadu_ps(x + 32 * b + 16)));
  }
  __m512i first, second;
  CombineHalves(rows, larger, &first, &second);
  BlockScales scales;
  scales.Set(_mm512_castsi512_ps(larger(first, second)), coarse_below);

  for (int b = 0; b < count; ++b) {
    const __m512 inverse = _mm512_set1_ps(scales.inverse[b]);
    const __m512i shift = _mm512_set1_epi32(scales.shift[b]);
    const auto half = [&](const float* from) {
      const __m512 steps = _mm512_mul_ps(_mm512_loadu_ps(from), inverse);
      return _mm512_sllv_epi32(_mm512_cvtps_epi32(steps), shift);
    };
    // high * 256 + low, 16 bits each, whose order the packing mixes.
    const __m512i mixed = _mm512_packs_epi32(half(x + 32 * b), half(x + 32 * b + 16));
    const __m512i words =
        _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), mixed);
    const __m512i high = _mm512_srli_epi16(_mm512_add_epi16(words, _mm512_set1_epi16(128)), 8);
    auto* out = reinterpret_cast<__m256i*>(blocks[b].q);
    _mm256_storeu_si256(out, _mm512_cvtepi16_epi8(high));
    _mm256_storeu_si256(out + 1, _mm512_cvtepi16_epi8(words));
    rows[b] = _mm512_madd_epi16(words, _mm512_set1_epi16(1));
  }
  CombineHalves(
      rows, [](__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }, &first, &second);
  const __m512 scale = _mm512_load_ps(scales.scale);
  const auto sum = [&](__m512i q) {
    return _mm512_mul_ps(scale, _mm512_mul_ps(_mm512_cvtepi32_ps(q), _mm512_set1_ps(1.0f / 256)));
  };
  alignas(64) float half_sums[2][kPreparedTogether], whole_sums[kPreparedTogether];
  _mm512_store_ps(half_sums[0], sum(first));
  _mm512_store_ps(half_sums[1], sum(second));
  _mm512_store_ps(whole_sums, _mm512_add_ps(sum(first), sum(second)));
  for (int b = 0; b < count; ++b) {
    blocks[b].scale = scales.scale[b];
    blocks[b].sum = whole_sums[b];
    blocks[b].half_sum[0] = half_sums[0][b];
    blocks[b].half_sum[1] = half_sums[1][b];
    blocks[b].fine = static_cast<int32_t>(scales.fine >> b & 1);
  }
}

// A row's, in even parts.
inline void PrepareBlocks(const float* x, int64_t count, float coarse_below,
                          ActivationBlock* blocks) {
  const int64_t parts = (count + kPreparedTogether - 1) / kPreparedTogether;
  for (int64_t i = 0, begin = 0; i < parts; ++i) {
    const int64_t some = (count - begin) / (parts - i);
    PrepareSome(x + 32 * begin, static_cast<int>(some), coarse_below, blocks + begin);
    begin += some;
  }
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_X86_AVX512_PREPARE_H_
