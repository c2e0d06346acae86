// Bytes by vpdpbusd on AVX2's registers.
#include "kernels/matmul/x86_avx2_simd.h"
#include "kernels/x86_avxvnni_dots.h"

namespace mla {
namespace {

struct QuadsOfBytes {
  template <int kPanels, int kCols, int kSteps, int kBits>
  [[gnu::always_inline]] static inline void Sum(const __m256i* const weights[kPanels],
                                                const ActivationBlock* const x[kCols], int at,
                                                __m256i sums[kPanels][kCols]) {
    // Integer sums are exact in any order: where too few are under way to hide an instruction's
    // latency, split them.
    constexpr int kChains = kPanels * kCols < 4 ? 2 : 1;
    __m256i chains[kPanels][kCols][kChains];
#pragma GCC unroll 8
    for (int j = 0; j < kSteps; ++j) {
      const int k = j % kChains;
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) {
        const __m256i word = _mm256_set1_epi32(LoadWord(x[c]->q + at + 4 * j));
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
          const __m256i w = weights[p][j];
          const __m256i before = j < kChains ? _mm256_setzero_si256() : chains[p][c][k];
          // One factor must be unsigned: the sign of signed weights goes to the other.
          chains[p][c][k] = kBits == 8
                                ? DotBytes(before, _mm256_abs_epi8(w), _mm256_sign_epi8(word, w))
                                : DotBytes(before, w, word);
        }
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
        sums[p][c] = kChains == 1 ? chains[p][c][0]
                                  : _mm256_add_epi32(chains[p][c][0], chains[p][c][kChains - 1]);
      }
    }
  }
};

}  // namespace

const MatmulKernels kMatmulAvxVnni = kKernels<QuadsOfBytes>;

}  // namespace mla
