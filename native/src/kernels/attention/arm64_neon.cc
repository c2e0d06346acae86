// The tile kernels for processors without sdot: four products in 16 bits and two widening
// additions make one of its steps.
#include <arm_neon.h>

#include "kernels/attention/arm64_neon_simd.h"
#include "kernels/attention/packed_kernels_simd.h"

namespace mla {
namespace {

struct PlainNeonVec : NeonVec {
  static Int Broadcast(Int words, int word) {
    switch (word) {
      case 0:
        return vdupq_laneq_s32(words, 0);
      case 1:
        return vdupq_laneq_s32(words, 1);
      case 2:
        return vdupq_laneq_s32(words, 2);
      default:
        return vdupq_laneq_s32(words, 3);
    }
  }
  // sums + four signed bytes times those of word `word` of `words`. Two products of fields up to
  // 15, or of bytes and digits of 6 bits, fit 16 bits.
  static Int DotAdd(Int sums, Int bytes, Int words, int word) {
    const int8x16_t a = vreinterpretq_s8_s32(bytes);
    const int8x16_t b = vreinterpretq_s8_s32(Broadcast(words, word));
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    return vpadalq_s16(sums, vpaddq_s16(low, vmull_high_s8(a, b)));
  }
  static Int UnsignedDotAdd(Int sums, Int bytes, Int words, int word) {
    const uint8x16_t a = vreinterpretq_u8_s32(bytes);
    const uint8x16_t b = vreinterpretq_u8_s32(Broadcast(words, word));
    const uint16x8_t low = vmull_u8(vget_low_u8(a), vget_low_u8(b));
    return vreinterpretq_s32_u32(
        vpadalq_u16(vreinterpretq_u32_s32(sums), vpaddq_u16(low, vmull_high_u8(a, b))));
  }
};

constexpr AttentionTileKernels kKernels = MakeAttentionTileKernels<PlainNeonVec>();

}  // namespace

const AttentionTileKernels& NeonAttentionTileKernels() { return kKernels; }

}  // namespace mla
