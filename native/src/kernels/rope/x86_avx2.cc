// Rotation in AVX2 and FMA.
#include <immintrin.h>

#include "kernels/rope/implementations.h"
#include "kernels/rope/rotation_simd.h"

namespace mla {
namespace {

struct Avx2 {
  static constexpr int64_t kHalves = 8, kInterleaved = 4;

  static void Halves(const float* cos_sin, float* first, float* second) {
    // c0 s0 .. c7 s7 to cosines and sines: within lanes first, then the 64-bit quarters in order.
    const __m256 low = _mm256_loadu_ps(cos_sin);
    const __m256 high = _mm256_loadu_ps(cos_sin + 8);
    const __m256 cos_mixed = _mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
    const __m256 sin_mixed = _mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1));
    const __m256 cos = _mm256_castpd_ps(
        _mm256_permute4x64_pd(_mm256_castps_pd(cos_mixed), _MM_SHUFFLE(3, 1, 2, 0)));
    const __m256 sin = _mm256_castpd_ps(
        _mm256_permute4x64_pd(_mm256_castps_pd(sin_mixed), _MM_SHUFFLE(3, 1, 2, 0)));
    const __m256 a = _mm256_loadu_ps(first);
    const __m256 b = _mm256_loadu_ps(second);
    _mm256_storeu_ps(first, _mm256_fmsub_ps(a, cos, _mm256_mul_ps(b, sin)));
    _mm256_storeu_ps(second, _mm256_fmadd_ps(a, sin, _mm256_mul_ps(b, cos)));
  }

  static void Interleaved(const float* cos_sin, float* x) {
    const __m256 table = _mm256_loadu_ps(cos_sin);
    const __m256 cos = _mm256_moveldup_ps(table);
    const __m256 sin = _mm256_movehdup_ps(table);
    const __m256 ab = _mm256_loadu_ps(x);
    const __m256 ba = _mm256_permute_ps(ab, _MM_SHUFFLE(2, 3, 0, 1));
    _mm256_storeu_ps(x, _mm256_fmaddsub_ps(ab, cos, _mm256_mul_ps(ba, sin)));
  }
};

}  // namespace

void RopeRotateAvx2(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                    int64_t heads, int64_t rope_dim) {
  Rotate<Avx2>(layout, cos_sin, x, stride, heads, rope_dim);
}

}  // namespace mla
