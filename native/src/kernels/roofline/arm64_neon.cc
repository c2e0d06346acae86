#include <arm_neon.h>
#include <stdint.h>

#include "kernels/roofline/arm64_chains.h"
#include "kernels/roofline/implementations.h"

namespace mla {
namespace {

// As the kernels multiply here, 16 bits to 32.
uint32_t MultiplyIntegers(int64_t rounds, int8_t one) {
  const int16x4_t by = vdup_n_s16(one);
  return RunChains(rounds, [&](int32x4_t sums) { return vmlal_s16(sums, by, by); });
}

}  // namespace

uint64_t ReadNeon(const void* data, int64_t bytes) {
  const uint64_t* words = static_cast<const uint64_t*>(data);
  uint64x2_t sums[8];
  for (uint64x2_t& sum : sums) sum = vdupq_n_u64(0);
  for (int64_t i = 0; i < bytes / 8; i += 16) {
    for (int k = 0; k < 16; k += 8) __builtin_prefetch(words + i + k + 64);
    for (int k = 0; k < 8; ++k) sums[k] = vaddq_u64(sums[k], vld1q_u64(words + i + 2 * k));
  }
  for (int k = 1; k < 8; ++k) sums[0] = vaddq_u64(sums[0], sums[k]);
  return vaddvq_u64(sums[0]);
}

float MultiplyFloatsNeon(int64_t rounds, float one) {
  static_assert(kFloatsNeon == kChains * 4);
  const float32x4_t by = vdupq_n_f32(one);
  float32x4_t chains[kChains];
#pragma GCC unroll 16
  for (float32x4_t& chain : chains) chain = vdupq_n_f32(0);
  // fmla adds to the register that it writes, so x * one + one is summed up as one + one² + ...
  float32x4_t power = vdupq_n_f32(1);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (float32x4_t& chain : chains) chain = vfmaq_f32(chain, power, by);
    power = vmulq_f32(power, by);
  }
#pragma GCC unroll 16
  for (int k = 1; k < kChains; ++k) chains[0] = vaddq_f32(chains[0], chains[k]);
  return vaddvq_f32(chains[0]);
}

const RooflineKernels kRooflineNeon = {ReadNeon, MultiplyFloatsNeon, kFloatsNeon, MultiplyIntegers,
                                       kChains * 4};

}  // namespace mla
