// The lanes of four registers folded at once, for the x86_*.cc files that include it.
#ifndef MLA_KERNELS_X86_FOLD_H_
#define MLA_KERNELS_X86_FOLD_H_

#include <immintrin.h>

namespace mla {
namespace {

struct Adding {
  static __m128 Of(__m128 a, __m128 b) { return _mm_add_ps(a, b); }
  static __m256 Of(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
#if defined(__AVX512F__)
  static __m512 Of(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
#endif
};

struct TakingLargest {
  static __m128 Of(__m128 a, __m128 b) { return _mm_max_ps(a, b); }
  static __m256 Of(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
#if defined(__AVX512F__)
  static __m512 Of(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
#endif
};

// Registers are interleaved and folded, so that each 128-bit lane holds a part of all four results,
// then the lanes are.
template <class Op>
[[gnu::always_inline]] inline __m128 FoldFour(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 ab = Op::Of(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  const __m256 cd = Op::Of(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
  const __m256 lanes = Op::Of(_mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0)),
                              _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2)));
  return Op::Of(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
}

#if defined(__AVX512F__)
template <class Op>
[[gnu::always_inline]] inline __m128 FoldFour(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = Op::Of(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = Op::Of(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512 lanes = Op::Of(_mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0)),
                              _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2)));
  const __m256 half = Op::Of(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
  return Op::Of(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
#endif

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_X86_FOLD_H_
