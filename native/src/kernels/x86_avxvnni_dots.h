// AVX-VNNI's two instructions. Where its files are compiled for AVX-512 instead, so that machines
// which have that and not this can test them (MLA_AVXVNNI_BY_AVX512 in CMake), the same ones of
// there. For x86_avxvnni*.cc alone.
#ifndef MLA_KERNELS_X86_AVXVNNI_DOTS_H_
#define MLA_KERNELS_X86_AVXVNNI_DOTS_H_

#include <immintrin.h>

namespace mla {
namespace {

// sums + four unsigned bytes times four signed ones.
inline __m256i DotBytes(__m256i sums, __m256i bytes, __m256i digits) {
#if defined(__AVXVNNI__)
  return _mm256_dpbusd_avx_epi32(sums, bytes, digits);
#else
  return _mm256_dpbusd_epi32(sums, bytes, digits);
#endif
}

// sums + two 16-bit products.
inline __m256i DotShorts(__m256i sums, __m256i a, __m256i b) {
#if defined(__AVXVNNI__)
  return _mm256_dpwssd_avx_epi32(sums, a, b);
#else
  return _mm256_dpwssd_epi32(sums, a, b);
#endif
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_X86_AVXVNNI_DOTS_H_
