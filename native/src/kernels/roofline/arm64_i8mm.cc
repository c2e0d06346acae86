#include <arm_neon.h>
#include <stdint.h>

#include "kernels/roofline/arm64_chains.h"
#include "kernels/roofline/implementations.h"

namespace mla {
namespace {

uint32_t MultiplyIntegers(int64_t rounds, int8_t one) {
  const int8x16_t by = vdupq_n_s8(one);
  return RunChains(rounds, [&](int32x4_t sums) { return vmmlaq_s32(sums, by, by); });
}

}  // namespace

const RooflineKernels kRooflineI8mm = {ReadNeon, MultiplyFloatsNeon, kFloatsNeon, MultiplyIntegers,
                                       kChains * 32};

}  // namespace mla
