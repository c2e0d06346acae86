#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#include "kernels/norm/implementations.h"

namespace mla {
namespace {

float SumLanes(__m256 v) {
  __m128 h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  h = _mm_add_ps(h, _mm_movehl_ps(h, h));
  return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
}

}  // namespace

void RmsNormAvx2(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                 int64_t y_stride, int64_t n, int64_t d) {
  const int64_t whole = d / 8 * 8;
  for (int64_t i = 0; i < n; ++i, x += x_stride, y += y_stride) {
    __m256 squares[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                         _mm256_setzero_ps()};
    int64_t c = 0;
    for (; c + 32 <= d; c += 32) {
      for (int k = 0; k < 4; ++k) {
        const __m256 v = _mm256_loadu_ps(x + c + 8 * k);
        squares[k] = _mm256_fmadd_ps(v, v, squares[k]);
      }
    }
    for (; c < whole; c += 8) {
      const __m256 v = _mm256_loadu_ps(x + c);
      squares[0] = _mm256_fmadd_ps(v, v, squares[0]);
    }
    float sum = SumLanes(_mm256_add_ps(_mm256_add_ps(squares[0], squares[1]),
                                       _mm256_add_ps(squares[2], squares[3])));
    for (c = whole; c < d; ++c) sum += x[c] * x[c];
    const float scale = 1.0f / sqrtf(sum / static_cast<float>(d) + eps);
    for (c = 0; c < whole; c += 8) {
      const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + c), _mm256_set1_ps(scale));
      _mm256_storeu_ps(y + c, _mm256_mul_ps(v, _mm256_loadu_ps(w + c)));
    }
    for (c = whole; c < d; ++c) y[c] = x[c] * scale * w[c];
  }
}

}  // namespace mla
