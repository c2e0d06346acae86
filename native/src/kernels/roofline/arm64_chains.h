// Chains of multiply-adds of whole numbers in NEON's registers. For the arm64_*.cc files of this
// folder.
#ifndef MLA_KERNELS_ROOFLINE_ARM64_CHAINS_H_
#define MLA_KERNELS_ROOFLINE_ARM64_CHAINS_H_

#include <arm_neon.h>
#include <stdint.h>

namespace mla {
namespace {

// Enough for four multiplications a cycle that each take four.
constexpr int kChains = 16;

// multiply_add(sums): the sums and what one instruction adds to them.
template <typename MultiplyAdd>
[[gnu::always_inline]] inline uint32_t RunChains(int64_t rounds, const MultiplyAdd& multiply_add) {
  int32x4_t chains[kChains];
  for (int32x4_t& chain : chains) chain = vdupq_n_s32(0);
  for (int64_t r = 0; r < rounds; ++r) {
    for (int32x4_t& chain : chains) chain = multiply_add(chain);
  }
  for (int k = 1; k < kChains; ++k) chains[0] = vaddq_s32(chains[0], chains[k]);
  return static_cast<uint32_t>(vaddvq_s32(chains[0]));
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ROOFLINE_ARM64_CHAINS_H_
