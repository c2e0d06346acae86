#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#include "kernels/norm/implementations.h"

namespace mla {

void RmsNormAvx512(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                   int64_t y_stride, int64_t n, int64_t d) {
  const int64_t whole = d / 16 * 16;
  const __mmask16 rest = static_cast<__mmask16>((1u << (d - whole)) - 1);
  for (int64_t i = 0; i < n; ++i, x += x_stride, y += y_stride) {
    __m512 squares[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                         _mm512_setzero_ps()};
    int64_t c = 0;
    for (; c + 64 <= d; c += 64) {
      for (int k = 0; k < 4; ++k) {
        const __m512 v = _mm512_loadu_ps(x + c + 16 * k);
        squares[k] = _mm512_fmadd_ps(v, v, squares[k]);
      }
    }
    for (; c < whole; c += 16) {
      const __m512 v = _mm512_loadu_ps(x + c);
      squares[0] = _mm512_fmadd_ps(v, v, squares[0]);
    }
    const __m512 last = _mm512_maskz_loadu_ps(rest, x + whole);
    squares[1] = _mm512_fmadd_ps(last, last, squares[1]);
    const float sum = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(squares[0], squares[1]),
                                                         _mm512_add_ps(squares[2], squares[3])));
    const __m512 scale = _mm512_set1_ps(1.0f / sqrtf(sum / static_cast<float>(d) + eps));
    for (c = 0; c < whole; c += 16) {
      const __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + c), scale);
      _mm512_storeu_ps(y + c, _mm512_mul_ps(v, _mm512_loadu_ps(w + c)));
    }
    const __m512 weights = _mm512_maskz_loadu_ps(rest, w + whole);
    _mm512_mask_storeu_ps(y + whole, rest, _mm512_mul_ps(_mm512_mul_ps(last, scale), weights));
  }
}

}  // namespace mla
