#include <arm_neon.h>
#include <stdint.h>

#include "kernels/roofline/implementations.h"

namespace mla {
namespace {

// Enough for four multiplications a cycle that each take four.
constexpr int kChains = 16;

uint32_t MultiplyIntegers(int64_t rounds, int8_t one) {
  const int8x16_t by = vdupq_n_s8(one);
  int32x4_t chains[kChains];
  for (int32x4_t& chain : chains) chain = vdupq_n_s32(0);
  for (int64_t r = 0; r < rounds; ++r) {
    for (int32x4_t& chain : chains) chain = vdotq_s32(chain, by, by);
  }
  for (int k = 1; k < kChains; ++k) chains[0] = vaddq_s32(chains[0], chains[k]);
  return static_cast<uint32_t>(vaddvq_s32(chains[0]));
}

}  // namespace

const RooflineKernels kRooflineDotprod = {ReadNeon, MultiplyFloatsNeon, kFloatsNeon,
                                          MultiplyIntegers, kChains * 16};

}  // namespace mla
