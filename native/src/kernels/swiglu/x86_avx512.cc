#include <immintrin.h>
#include <stdint.h>

#include "kernels/swiglu/implementations.h"

namespace mla {
namespace {

// exp(x) = 2^k * exp(r), |r| <= ln(2) / 2, by its Taylor polynomial of degree 6 (1.2e-7). Beyond
// the range of floats it is 0 or infinity; NaN stays.
__m512 Exp(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-200), _mm512_min_ps(_mm512_set1_ps(200), x));
  const __m512 k = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // ln(2) in two parts, so that k times the first is exact.
  __m512 r = _mm512_fnmadd_ps(k, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(k, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.0f / 720);
  const float coefficients[] = {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  for (float c : coefficients) {
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  }
  return _mm512_scalef_ps(p, k);
}

__m512 SwiGlu(__m512 gate, __m512 up) {
  const __m512 one = _mm512_set1_ps(1);
  const __m512 minus = _mm512_sub_ps(_mm512_setzero_ps(), gate);
  return _mm512_mul_ps(_mm512_div_ps(gate, _mm512_add_ps(one, Exp(minus))), up);
}

}  // namespace

void SwiGluAvx512(const float* gate, const float* up, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    _mm512_storeu_ps(y + i, SwiGlu(_mm512_loadu_ps(gate + i), _mm512_loadu_ps(up + i)));
  }
  const __mmask16 rest = static_cast<__mmask16>((1u << (n - i)) - 1);
  _mm512_mask_storeu_ps(
      y + i, rest,
      SwiGlu(_mm512_maskz_loadu_ps(rest, gate + i), _mm512_maskz_loadu_ps(rest, up + i)));
}

}  // namespace mla
