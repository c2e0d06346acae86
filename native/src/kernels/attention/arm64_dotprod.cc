// The tile kernels by sdot and udot.
#include <arm_neon.h>

#include "kernels/attention/arm64_neon_simd.h"
#include "kernels/attention/packed_kernels_simd.h"

namespace mla {
namespace {

struct DotprodVec : NeonVec {
  // sums + four signed bytes times those of word `word` of `words`.
  static Int DotAdd(Int sums, Int bytes, Int words, int word) {
    const int8x16_t a = vreinterpretq_s8_s32(bytes), b = vreinterpretq_s8_s32(words);
    switch (word) {
      case 0:
        return vdotq_laneq_s32(sums, a, b, 0);
      case 1:
        return vdotq_laneq_s32(sums, a, b, 1);
      case 2:
        return vdotq_laneq_s32(sums, a, b, 2);
      default:
        return vdotq_laneq_s32(sums, a, b, 3);
    }
  }
  static Int UnsignedDotAdd(Int sums, Int bytes, Int words, int word) {
    const uint32x4_t s = vreinterpretq_u32_s32(sums);
    const uint8x16_t a = vreinterpretq_u8_s32(bytes), b = vreinterpretq_u8_s32(words);
    switch (word) {
      case 0:
        return vreinterpretq_s32_u32(vdotq_laneq_u32(s, a, b, 0));
      case 1:
        return vreinterpretq_s32_u32(vdotq_laneq_u32(s, a, b, 1));
      case 2:
        return vreinterpretq_s32_u32(vdotq_laneq_u32(s, a, b, 2));
      default:
        return vreinterpretq_s32_u32(vdotq_laneq_u32(s, a, b, 3));
    }
  }
};

constexpr AttentionTileKernels kKernels = MakeAttentionTileKernels<DotprodVec>();

}  // namespace

const AttentionTileKernels& DotprodAttentionTileKernels() { return kKernels; }

}  // namespace mla
