// Rotation in AVX2 and FMA: eight pairs at a time in halves, four interleaved ones.
#include <immintrin.h>

#include "kernels/rope/implementations.h"

namespace mla {
namespace {

void RotateHalves(const float* cos_sin, float* x, int64_t pairs) {
  float* first = x;
  float* second = x + pairs;
  int64_t i = 0;
  for (; i + 8 <= pairs; i += 8) {
    // c0 s0 .. c7 s7 to cosines and sines: within lanes first, then the 64-bit quarters in order.
    const __m256 low = _mm256_loadu_ps(cos_sin + 2 * i);
    const __m256 high = _mm256_loadu_ps(cos_sin + 2 * i + 8);
    const __m256 cos_mixed = _mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
    const __m256 sin_mixed = _mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1));
    const __m256 cos = _mm256_castpd_ps(
        _mm256_permute4x64_pd(_mm256_castps_pd(cos_mixed), _MM_SHUFFLE(3, 1, 2, 0)));
    const __m256 sin = _mm256_castpd_ps(
        _mm256_permute4x64_pd(_mm256_castps_pd(sin_mixed), _MM_SHUFFLE(3, 1, 2, 0)));
    const __m256 a = _mm256_loadu_ps(first + i);
    const __m256 b = _mm256_loadu_ps(second + i);
    _mm256_storeu_ps(first + i, _mm256_fmsub_ps(a, cos, _mm256_mul_ps(b, sin)));
    _mm256_storeu_ps(second + i, _mm256_fmadd_ps(a, sin, _mm256_mul_ps(b, cos)));
  }
  for (; i < pairs; ++i) {
    const float a = first[i];
    const float b = second[i];
    first[i] = a * cos_sin[2 * i] - b * cos_sin[2 * i + 1];
    second[i] = a * cos_sin[2 * i + 1] + b * cos_sin[2 * i];
  }
}

void RotateInterleaved(const float* cos_sin, float* x, int64_t pairs) {
  int64_t i = 0;
  for (; i + 4 <= pairs; i += 4) {
    const __m256 table = _mm256_loadu_ps(cos_sin + 2 * i);
    const __m256 cos = _mm256_moveldup_ps(table);
    const __m256 sin = _mm256_movehdup_ps(table);
    const __m256 ab = _mm256_loadu_ps(x + 2 * i);
    const __m256 ba = _mm256_permute_ps(ab, _MM_SHUFFLE(2, 3, 0, 1));
    _mm256_storeu_ps(x + 2 * i, _mm256_fmaddsub_ps(ab, cos, _mm256_mul_ps(ba, sin)));
  }
  for (; i < pairs; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * cos_sin[2 * i] - b * cos_sin[2 * i + 1];
    x[2 * i + 1] = a * cos_sin[2 * i + 1] + b * cos_sin[2 * i];
  }
}

}  // namespace

void RopeRotateAvx2(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                    int64_t heads, int64_t rope_dim) {
  for (int64_t h = 0; h < heads; ++h, x += stride) {
    if (layout == RopeLayout::kHalves) {
      RotateHalves(cos_sin, x, rope_dim / 2);
    } else {
      RotateInterleaved(cos_sin, x, rope_dim / 2);
    }
  }
}

}  // namespace mla
