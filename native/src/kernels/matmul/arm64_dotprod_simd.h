// Quantized weights by sdot. Activations are signed bytes, one or two each (implementations.h), so
// a product with a weight is exact and a column of 32 sums up in 32-bit integers before it meets
// its scales. An sdot takes a word of activations from any lane of a register, so that these are
// loaded as they are.
#ifndef MLA_KERNELS_MATMUL_ARM64_DOTPROD_SIMD_H_
#define MLA_KERNELS_MATMUL_ARM64_DOTPROD_SIMD_H_

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/matmul/arm64_panel_simd.h"

namespace mla {
namespace {

// One half of a block: 16 activations to high and low bytes; the sum of high + low / 256.
float PrepareHalf(const float32x4_t x[4], float inverse, bool fine, uint8_t* high, uint8_t* low) {
  const float by = fine ? 256 * inverse : inverse;
  int32x4_t h[4], l[4], sum = vdupq_n_s32(0);
  for (int i = 0; i < 4; ++i) {
    const int32x4_t q = vcvtnq_s32_f32(vmulq_n_f32(x[i], by));
    sum = vaddq_s32(sum, q);
    h[i] = fine ? vrshrq_n_s32(q, 8) : q;
    l[i] = vsubq_s32(q, fine ? vshlq_n_s32(h[i], 8) : h[i]);
  }
  const auto narrow = [](const int32x4_t v[4]) {
    const int16x8_t a = vmovn_high_s32(vmovn_s32(v[0]), v[1]);
    const int16x8_t b = vmovn_high_s32(vmovn_s32(v[2]), v[3]);
    return vreinterpretq_u8_s8(vmovn_high_s16(vmovn_s16(a), b));
  };
  vst1q_u8(high, narrow(h));
  vst1q_u8(low, narrow(l));
  return static_cast<float>(vaddvq_s32(sum)) * (fine ? 1.0f / 256 : 1.0f);
}

void PrepareBlock(const float* x, float coarse_below, ActivationBlock* block) {
  float32x4_t values[8];
  for (int i = 0; i < 8; ++i) values[i] = vld1q_f32(x + 4 * i);
  const uint32_t bits = LargestBits(values);
  float largest;
  memcpy(&largest, &bits, sizeof(largest));
  const float inverse = SetScale(largest, coarse_below, block);
  const bool fine = block->fine != 0;
  const float first = PrepareHalf(values, inverse, fine, block->q, block->q + 32);
  const float second = PrepareHalf(values + 4, inverse, fine, block->q + 16, block->q + 48);
  block->half_sum[0] = block->scale * first;
  block->half_sum[1] = block->scale * second;
  block->sum = block->half_sum[0] + block->half_sum[1];
}

float SumMagnitudes(const float* x, int64_t cols) {
  float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
  for (int64_t c = 0; c < cols; c += 16) {
    for (int i = 0; i < 4; ++i) sums[i] = vaddq_f32(sums[i], vabsq_f32(vld1q_f32(x + c + 4 * i)));
  }
  const float32x4_t sum = vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3]));
  return vaddvq_f32(sum);
}

void Prepare(ActivationForm form, const float* x, int64_t x_stride, int64_t, int64_t cols,
             void* prepared, int64_t begin, int64_t end) {
  PrepareByteRows(form, x, x_stride, cols, prepared, begin, end, SumMagnitudes,
                  PrepareEachBlock<PrepareBlock>);
}

// dots + 4 columns of each of 4 rows times word `word` of x.
[[gnu::always_inline]] inline int32x4_t DotWord(int32x4_t dots, uint8x16_t w, int8x16_t x,
                                                int word) {
  const int8x16_t q = vreinterpretq_s8_u8(w);
  switch (word) {
    case 0:
      return vdotq_laneq_s32(dots, q, x, 0);
    case 1:
      return vdotq_laneq_s32(dots, q, x, 1);
    case 2:
      return vdotq_laneq_s32(dots, q, x, 2);
    default:
      return vdotq_laneq_s32(dots, q, x, 3);
  }
}

// Whether blocks need their low bytes. Where all those are zero, both ways give the same to the
// last bit: a power of two is exact.
template <int kCols>
[[gnu::always_inline]] inline bool AnyFine(const ActivationBlock* const x[kCols]) {
  int32_t fine = 0;
#pragma GCC unroll 4
  for (int c = 0; c < kCols; ++c) fine |= x[c]->fine;
  return fine != 0;
}
constexpr float kLowUnit = 1.0f / 256;

struct Dotprod : Arm64Panel {
  static constexpr int kColumns = 4, kTogether = 4, kFewColumns = 8;

  // sums[p][c] += tile p · x[c], over 32 columns of weights. One panel: of its 8 rows and 4 columns
  // of activations the 8 sums and as many dots stay in registers with what they are made of, and a
  // load of weights meets 4 sdots, one of activations 8. A single column has as many sdots as loads
  // and steps of unpacking: it is bound by those, or by memory.
  template <int kPanels, int kCols, int kScales>
  [[gnu::always_inline]] static inline void MultiplyTile(const Tile<kScales>* const tiles[kPanels],
                                                         const ActivationBlock* const x[kCols],
                                                         Sums sums[kPanels][kCols]) {
    static_assert(kPanels == 1);
    constexpr int kLoads = 2 / kScales;  // of 16 activations each
    const bool fine = AnyFine<kCols>(x);
    const float unit = fine ? kLowUnit : 1.0f;
#pragma GCC unroll 2
    for (int s = 0; s < kScales; ++s) {
      int32x4_t dots[kCols][2];
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) dots[c][0] = dots[c][1] = vdupq_n_s32(0);
      AddDots<kCols, kLoads>(tiles[0]->q + 4 * s, x, 16 * s, dots);
      if (fine) {
#pragma GCC unroll 4
        for (int c = 0; c < kCols; ++c) {
          dots[c][0] = vshlq_n_s32(dots[c][0], 8);
          dots[c][1] = vshlq_n_s32(dots[c][1], 8);
        }
        AddDots<kCols, kLoads>(tiles[0]->q + 4 * s, x, 32 + 16 * s, dots);
      }
      const Floats scale = Times(tiles[0]->scale[s], unit);
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) {
        AddScaled<kScales>(dots[c], scale, tiles[0]->min[s], s, *x[c], &sums[0][c]);
      }
    }
  }

 private:
  // dots += words q times the bytes of x from `at` on.
  template <int kCols, int kLoads>
  [[gnu::always_inline]] static inline void AddDots(const Words* q,
                                                    const ActivationBlock* const x[kCols], int at,
                                                    int32x4_t (&dots)[kCols][2]) {
#pragma GCC unroll 2
    for (int l = 0; l < kLoads; ++l) {
      int8x16_t bytes[kCols];
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) {
        bytes[c] = vreinterpretq_s8_u8(vld1q_u8(x[c]->q + at + 16 * l));
      }
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
          const uint8x16_t w = q[4 * l + j].v[i];
#pragma GCC unroll 4
          for (int c = 0; c < kCols; ++c) dots[c][i] = DotWord(dots[c][i], w, bytes[c], j);
        }
      }
    }
  }
};

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_ARM64_DOTPROD_SIMD_H_
