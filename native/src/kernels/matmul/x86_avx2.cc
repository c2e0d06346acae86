// Quantized weights by vpmaddwd: weights and activations are 16-bit numbers, so a column of 32 sums
// up exactly in 32-bit integers before it meets its scales.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/matmul/implementations.h"
#include "kernels/matmul/panels.h"
#include "kernels/matmul/x86_avx2_blocks.h"

namespace mla {
namespace {

float LargestMagnitude(const __m256 x[4]) {
  // Magnitudes order like their bits, and NaN above all.
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i m = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    m = _mm256_max_epu32(m, _mm256_and_si256(_mm256_castps_si256(x[i]), magnitude));
  }
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

void PrepareBlock(const float* x, ActivationBlock* block) {
  __m256 values[4];
  for (int i = 0; i < 4; ++i) values[i] = _mm256_loadu_ps(x + 8 * i);
  const float largest = LargestMagnitude(values);
  const bool finite = largest <= 3.402823466e38f;
  block->scale = finite ? largest / kActivationLimit : __builtin_nanf("");
  const __m256 inverse =
      _mm256_set1_ps(finite && largest > kSmallestActivation ? kActivationLimit / largest : 0.0f);
  // Columns 0, 2, 1, 3 of every 4.
  const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0, 1,
                                         4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
  int32_t sums[2];
  for (int h = 0; h < 2; ++h) {
    const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(values[2 * h], inverse));
    const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(values[2 * h + 1], inverse));
    sums[h] = SumLanes(_mm256_add_epi32(a, b));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(block->q + 32 * h),
                        _mm256_shuffle_epi8(packed, order));
  }
  for (int h = 0; h < 2; ++h) block->half_sum[h] = block->scale * static_cast<float>(sums[h]);
  block->sum = block->half_sum[0] + block->half_sum[1];
  block->fine = 1;
}

void Prepare(ActivationForm form, const float* x, int64_t x_stride, int64_t, int64_t cols,
             void* prepared, int64_t begin, int64_t end) {
  PrepareRows(form, x, x_stride, cols, prepared, begin, end,
              [](const float* row, ActivationBlock* blocks, int64_t count) {
                for (int64_t b = 0; b < count; ++b) PrepareBlock(row + 32 * b, blocks + b);
              });
}

struct Avx2 {
  static constexpr int kRows = kTileRows, kPanels = 2, kColumns = 2;
  static constexpr bool kArranges = false;
  template <int kScales>
  using Tile = mla::Tile<kScales>;
  using BlockRows = mla::BlockRows;
  using PackedBlock = mla::PackedBlock;
  using Sums = __m256;

  static Sums Zero() { return _mm256_setzero_ps(); }
  static Sums LoadSums(const float* at) { return _mm256_load_ps(at); }
  static void StoreSums(float* at, Sums sums) { _mm256_store_ps(at, sums); }
  // Lanes [begin, end) to y, with bias (may be null) and what is there already, if wanted.
  static void Finish(float* y, const float* bias, bool accumulate, int begin, int end, Sums sums) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(begin), lanes),
                                             _mm256_cmpgt_epi32(_mm256_set1_epi32(end), lanes));
    if (bias != nullptr) sums = _mm256_add_ps(sums, _mm256_maskload_ps(bias, mask));
    if (accumulate) sums = _mm256_add_ps(sums, _mm256_maskload_ps(y, mask));
    _mm256_maskstore_ps(y, mask, sums);
  }

  // sums[p][c] += tile p · x[c], over 32 columns of weights.
  template <int kPanels, int kCols, int kScales>
  [[gnu::always_inline]] static inline void MultiplyTile(
      const mla::Tile<kScales>* const tiles[kPanels], const ActivationBlock* const x[kCols],
      __m256 sums[kPanels][kCols]) {
    constexpr int kSteps = 16 / kScales;
#pragma GCC unroll 2
    for (int s = 0; s < kScales; ++s) {
      __m256i dots[kPanels][kCols];
#pragma GCC unroll 16
      for (int j = 0; j < kSteps; ++j) {
#pragma GCC unroll 4
        for (int c = 0; c < kCols; ++c) {
          const __m256i pair = _mm256_set1_epi32(LoadWord(x[c]->q + 4 * (s * kSteps + j)));
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p) {
            const __m256i product = _mm256_madd_epi16(tiles[p]->q[s * kSteps + j], pair);
            dots[p][c] = j == 0 ? product : _mm256_add_epi32(dots[p][c], product);
          }
        }
      }
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) {
        const __m256 scale = _mm256_set1_ps(x[c]->scale);
        const __m256 sum = _mm256_set1_ps(kScales == 1 ? x[c]->sum : x[c]->half_sum[s]);
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
          const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(dots[p][c]), tiles[p]->scale[s]);
          sums[p][c] = _mm256_fmadd_ps(scaled, scale, sums[p][c]);
          sums[p][c] = _mm256_fmadd_ps(tiles[p]->min[s], sum, sums[p][c]);
        }
      }
    }
  }
};

void Multiply(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  switch (p.w.type) {
    case Type::kQ4_0:
      return MultiplyQuantized<Avx2, ReadQ4_0>(p, row_begin, row_end);
    case Type::kQ4_1:
      return MultiplyQuantized<Avx2, ReadQ4_1>(p, row_begin, row_end);
    case Type::kQ8_0:
      return MultiplyQuantized<Avx2, ReadQ8_0>(p, row_begin, row_end);
    case Type::kQ4_K:
      return MultiplyQuantized<Avx2, ReadQ4_K>(p, row_begin, row_end);
    case Type::kQ6_K:
      return MultiplyQuantized<Avx2, ReadQ6_K>(p, row_begin, row_end);
    case Type::kF32:
    case Type::kF16:
    case Type::kBF16:
      return MultiplyFloatAvx2(p, row_begin, row_end);
  }
}

}  // namespace

const MatmulKernels kMatmulAvx2 = {Prepare, Multiply, kTileRows, PackRows<kTileRows>};

}  // namespace mla
