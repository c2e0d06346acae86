// Bytes by vpmaddubsw: some products sum up in 16-bit integers.
#include "kernels/matmul/x86_avx2_simd.h"

namespace mla {
namespace {

// Holds a running sum where it is. GCC takes integer vectors' sums for its own to reorder, and then
// moves what waits for its turn to memory and back: that cost three quarters of the speed.
inline void Hold(__m256i& sum) { asm("" : "+x"(sum)); }

struct PairsOfBytes {
  template <int kPanels, int kCols, int kSteps, int kBits>
  [[gnu::always_inline]] static inline void Sum(const __m256i* const weights[kPanels],
                                                const ActivationBlock* const x[kCols], int at,
                                                __m256i sums[kPanels][kCols]) {
    // Pairs of products that a 16-bit integer holds: twice 127 times the largest weight each.
    constexpr int kLargest = kBits == 8 ? 128 : (1 << kBits) - 1;
    constexpr int kMost = 32767 / (2 * 127 * kLargest), kRun = kMost < kSteps ? kMost : kSteps;
    static_assert(kSteps % kRun == 0);
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i run[kPanels][kCols];
#pragma GCC unroll 8
    for (int j = 0; j < kSteps; ++j) {
      __m256i w[kPanels];
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
        w[p] = weights[p][j];
        Hold(w[p]);
      }
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) {
        const __m256i word = _mm256_set1_epi32(LoadWord(x[c]->q + at + 4 * j));
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
          // One factor must be unsigned: the sign of signed weights goes to the other.
          const __m256i pairs =
              kBits == 8 ? _mm256_maddubs_epi16(_mm256_abs_epi8(w[p]), _mm256_sign_epi8(word, w[p]))
                         : _mm256_maddubs_epi16(w[p], word);
          run[p][c] = j % kRun == 0 ? pairs : _mm256_add_epi16(run[p][c], pairs);
          Hold(run[p][c]);
          if ((j + 1) % kRun != 0) continue;
          const __m256i sum = _mm256_madd_epi16(run[p][c], ones);
          sums[p][c] = j + 1 == kRun ? sum : _mm256_add_epi32(sums[p][c], sum);
          Hold(sums[p][c]);
        }
      }
    }
  }
};

}  // namespace

const MatmulKernels kMatmulAvx2 = kKernels<PairsOfBytes>;

}  // namespace mla
