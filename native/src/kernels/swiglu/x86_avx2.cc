#include <immintrin.h>
#include <stdint.h>

#include "kernels/swiglu/implementations.h"

namespace mla {
namespace {

// exp(x) = 2^k * exp(r), |r| <= ln(2) / 2, by its Taylor polynomial of degree 6 (1.2e-7). x is held
// to a range in which the bits of 2^k are those of a normal float or, from 2^128 on, of infinity;
// NaN stays.
__m256 Exp(__m256 x) {
  x = _mm256_max_ps(_mm256_set1_ps(-87), _mm256_min_ps(_mm256_set1_ps(89), x));
  const __m256 k = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // ln(2) in two parts, so that k times the first is exact.
  __m256 r = _mm256_fnmadd_ps(k, _mm256_set1_ps(0.693359375f), x);
  r = _mm256_fnmadd_ps(k, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 p = _mm256_set1_ps(1.0f / 720);
  const float coefficients[] = {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  for (float c : coefficients) {
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c));
  }
  const __m256i exponent =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(k), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
}

__m256 SwiGlu(__m256 gate, __m256 up) {
  const __m256 one = _mm256_set1_ps(1);
  const __m256 minus = _mm256_sub_ps(_mm256_setzero_ps(), gate);
  return _mm256_mul_ps(_mm256_div_ps(gate, _mm256_add_ps(one, Exp(minus))), up);
}

}  // namespace

void SwiGluAvx2(const float* gate, const float* up, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(y + i, SwiGlu(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
  }
  const __m256i rest = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n - i)),
                                          _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  _mm256_maskstore_ps(y + i, rest,
                      SwiGlu(_mm256_maskload_ps(gate + i, rest), _mm256_maskload_ps(up + i, rest)));
}

}  // namespace mla
