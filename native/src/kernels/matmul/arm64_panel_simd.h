// What the instruction sets of arm64 have in common for panels.h: sums, one per row of a panel
// of 8.
#ifndef MLA_KERNELS_MATMUL_ARM64_PANEL_SIMD_H_
#define MLA_KERNELS_MATMUL_ARM64_PANEL_SIMD_H_

#include <arm_neon.h>
#include <stdint.h>

#include "kernels/matmul/arm64_blocks.h"
#include "kernels/matmul/implementations.h"
#include "kernels/matmul/panels.h"

namespace mla {
namespace {

struct Arm64Panel {
  static constexpr int kRows = kTileRows, kPanels = 1;
  static constexpr bool kArranges = false;
  using BlockRows = mla::BlockRows;
  using PackedBlock = mla::PackedBlock;
  using Sums = Floats;

  static Sums Zero() { return {{vdupq_n_f32(0), vdupq_n_f32(0)}}; }
  static Sums LoadSums(const float* at) { return {{vld1q_f32(at), vld1q_f32(at + 4)}}; }
  static void StoreSums(float* at, const Sums& sums) {
    vst1q_f32(at, sums.v[0]);
    vst1q_f32(at + 4, sums.v[1]);
  }
  // Lanes [begin, end) to y, with bias (may be null) and what is there already, if wanted.
  static void Finish(float* y, const float* bias, bool accumulate, int begin, int end, Sums sums) {
    if (begin > 0 || end < kRows) {
      float rows[kRows];
      StoreSums(rows, sums);
      for (int r = begin; r < end; ++r) {
        const float sum = bias == nullptr ? rows[r] : rows[r] + bias[r];
        y[r] = accumulate ? sum + y[r] : sum;
      }
      return;
    }
    for (int i = 0; i < 2; ++i) {
      if (bias != nullptr) sums.v[i] = vaddq_f32(sums.v[i], vld1q_f32(bias + 4 * i));
      if (accumulate) sums.v[i] = vaddq_f32(sums.v[i], vld1q_f32(y + 4 * i));
    }
    StoreSums(y, sums);
  }

  // sums += scale * dots * the block's scale + min * the block's sum, of the tile's scale s.
  template <int kScales>
  [[gnu::always_inline]] static inline void AddScaled(const int32x4_t dots[2], const Floats& scale,
                                                      const Floats& min, int s,
                                                      const ActivationBlock& x, Sums* sums) {
    const float32x4_t numbers = vld1q_f32(&x.scale);  // scale, sum, half_sum
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(dots[i]), scale.v[i]);
      float32x4_t sum = vfmaq_laneq_f32(sums->v[i], scaled, numbers, 0);
      if (kScales == 1) {
        sum = vfmaq_laneq_f32(sum, min.v[i], numbers, 1);
      } else if (s == 0) {
        sum = vfmaq_laneq_f32(sum, min.v[i], numbers, 2);
      } else {
        sum = vfmaq_laneq_f32(sum, min.v[i], numbers, 3);
      }
      sums->v[i] = sum;
    }
  }
};
static_assert(sizeof(ActivationBlock) >= offsetof(ActivationBlock, scale) + 16 &&
              offsetof(ActivationBlock, half_sum) == offsetof(ActivationBlock, scale) + 8);

// Magnitudes order like their bits, and NaN above all.
uint32_t LargestBits(const float32x4_t x[8]) {
  uint32x4_t most = vdupq_n_u32(0);
  for (int i = 0; i < 8; ++i) most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(x[i])));
  return vmaxvq_u32(most);
}

template <typename Simd>
void MultiplyWith(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  switch (p.w.type) {
    case Type::kQ4_0:
      return MultiplyQuantized<Simd, ReadQ4_0>(p, row_begin, row_end);
    case Type::kQ4_1:
      return MultiplyQuantized<Simd, ReadQ4_1>(p, row_begin, row_end);
    case Type::kQ5_0:
      return MultiplyQuantized<Simd, ReadQ5_0>(p, row_begin, row_end);
    case Type::kQ5_1:
      return MultiplyQuantized<Simd, ReadQ5_1>(p, row_begin, row_end);
    case Type::kQ8_0:
      return MultiplyQuantized<Simd, ReadQ8_0>(p, row_begin, row_end);
    case Type::kQ3_K:
      return MultiplyQuantized<Simd, ReadQ3_K>(p, row_begin, row_end);
    case Type::kQ4_K:
      return MultiplyQuantized<Simd, ReadQ4_K>(p, row_begin, row_end);
    case Type::kQ5_K:
      return MultiplyQuantized<Simd, ReadQ5_K>(p, row_begin, row_end);
    case Type::kQ6_K:
      return MultiplyQuantized<Simd, ReadQ6_K>(p, row_begin, row_end);
    case Type::kIQ4_NL:
      return MultiplyQuantized<Simd, ReadIQ4_NL>(p, row_begin, row_end);
    case Type::kIQ4_XS:
      return MultiplyQuantized<Simd, ReadIQ4_XS>(p, row_begin, row_end);
    case Type::kF32:
    case Type::kF16:
    case Type::kBF16:
      return MultiplyFloatNeon(p, row_begin, row_end);
  }
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_ARM64_PANEL_SIMD_H_
