#include "kernels/roofline/implementations.h"
#include "kernels/roofline/x86_avx2_loops.h"
#include "kernels/x86_avxvnni_dots.h"

namespace mla {
namespace {

uint32_t MultiplyIntegers(int64_t rounds, int8_t one) {
  __m256i by = _mm256_set1_epi8(one);
  __m256i chains[kChains];
  for (__m256i& chain : chains) chain = _mm256_setzero_si256();
  for (int64_t r = 0; r < rounds; ++r) {
    // The factor is another each time, as far as the compiler knows: else it would multiply once.
    asm volatile("" : "+x"(by));
    for (__m256i& chain : chains) chain = DotBytes(chain, by, by);
  }
  for (int k = 1; k < kChains; ++k) chains[0] = _mm256_add_epi32(chains[0], chains[k]);
  return SumLanes(chains[0]);
}

}  // namespace

const RooflineKernels kRooflineAvxVnni = {Read, MultiplyFloats, kChains * 8, MultiplyIntegers,
                                          32 * kChains};

}  // namespace mla
