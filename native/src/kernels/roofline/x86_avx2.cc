#include "kernels/roofline/implementations.h"
#include "kernels/roofline/x86_avx2_loops.h"

namespace mla {
namespace {

// Products of bytes that are summed in 16 bits: as many as of 4-bit weights fit there.
constexpr int kRun = 8;

// Bytes, whose products 16 bits hold for a while.
uint32_t MultiplyIntegers(int64_t rounds, int8_t one) {
  const __m256i pairs = _mm256_set1_epi16(1);
  const __m256i signed_by = _mm256_set1_epi8(one);
  __m256i by = signed_by;
  __m256i chains[kChains];
  for (__m256i& chain : chains) chain = _mm256_setzero_si256();
  for (int64_t r = 0; r < rounds; ++r) {
    for (__m256i& chain : chains) {
      __m256i run = _mm256_setzero_si256();
      for (int i = 0; i < kRun; ++i) {
        // The factor is another each time, as far as the compiler knows: else it would multiply
        // once.
        asm volatile("" : "+x"(by));
        run = _mm256_add_epi16(run, _mm256_maddubs_epi16(by, signed_by));
      }
      chain = _mm256_add_epi32(chain, _mm256_madd_epi16(run, pairs));
    }
  }
  for (int k = 1; k < kChains; ++k) chains[0] = _mm256_add_epi32(chains[0], chains[k]);
  return SumLanes(chains[0]);
}

}  // namespace

const RooflineKernels kRooflineAvx2 = {Read, MultiplyFloats, kChains * 8, MultiplyIntegers,
                                       32 * kChains* kRun};

}  // namespace mla
