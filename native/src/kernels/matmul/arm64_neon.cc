// Quantized weights for processors without sdot: weights are widened to 16 bits, activations are
// whole numbers of 15 bits, and smlal sums up a column of 32 exactly in 32-bit integers before it
// meets its scales. Four columns lie in the lanes of a row's sum until then.
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/matmul/arm64_panel_simd.h"

namespace mla {
namespace {

void PrepareBlock(const float* x, ActivationBlock* block) {
  float32x4_t values[8];
  for (int i = 0; i < 8; ++i) values[i] = vld1q_f32(x + 4 * i);
  const uint32_t bits = LargestBits(values);
  float largest;
  memcpy(&largest, &bits, sizeof(largest));
  const bool finite = bits < 0x7f800000;
  block->scale = finite ? largest / kActivationLimit : __builtin_nanf("");
  const float inverse = finite && largest > kSmallestActivation ? kActivationLimit / largest : 0.0f;
  int32x4_t sums[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
  for (int i = 0; i < 8; ++i) {
    const int32x4_t q = vcvtnq_s32_f32(vmulq_n_f32(values[i], inverse));
    sums[i / 4] = vaddq_s32(sums[i / 4], q);
    vst1_u8(block->q + 8 * i, vreinterpret_u8_s16(vmovn_s32(q)));
  }
  for (int h = 0; h < 2; ++h) {
    block->half_sum[h] = block->scale * static_cast<float>(vaddvq_s32(sums[h]));
  }
  block->sum = block->half_sum[0] + block->half_sum[1];
  block->fine = 1;
}

void Prepare(ActivationForm form, const float* x, int64_t x_stride, int64_t, int64_t cols,
             void* prepared, int64_t begin, int64_t end) {
  PrepareRows(form, x, x_stride, cols, prepared, begin, end,
              [](const float* row, ActivationBlock* blocks, int64_t count) {
                for (int64_t b = 0; b < count; ++b) PrepareBlock(row + 32 * b, blocks + b);
              });
}

struct Neon : Arm64Panel {
  static constexpr int kColumns = 2, kTogether = 2, kFewColumns = 8;

  // sums[p][c] += tile p · x[c], over 32 columns of weights.
  template <int kPanels, int kCols, int kScales>
  [[gnu::always_inline]] static inline void MultiplyTile(const Tile<kScales>* const tiles[kPanels],
                                                         const ActivationBlock* const x[kCols],
                                                         Sums sums[kPanels][kCols]) {
    static_assert(kPanels == 1);
    constexpr int kWords = 8 / kScales;
    const Tile<kScales>& tile = *tiles[0];
#pragma GCC unroll 2
    for (int s = 0; s < kScales; ++s) {
      int32x4_t rows[kCols][kTileRows];
#pragma GCC unroll 2
      for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll 8
        for (int r = 0; r < kTileRows; ++r) rows[c][r] = vdupq_n_s32(0);
      }
#pragma GCC unroll 8
      for (int j = 0; j < kWords; ++j) {
        int16x8_t four[kCols];  // columns, twice
#pragma GCC unroll 2
        for (int c = 0; c < kCols; ++c) {
          int64_t columns;
          memcpy(&columns, x[c]->q + 8 * (s * kWords + j), sizeof(columns));
          four[c] = vreinterpretq_s16_s64(vdupq_n_s64(columns));
        }
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
          const int8x16_t w = vreinterpretq_s8_u8(tile.q[s * kWords + j].v[i]);
          const int16x8_t first = vmovl_s8(vget_low_s8(w)), second = vmovl_high_s8(w);
#pragma GCC unroll 2
          for (int c = 0; c < kCols; ++c) {
            int32x4_t* quad = rows[c] + 4 * i;
            quad[0] = vmlal_s16(quad[0], vget_low_s16(first), vget_low_s16(four[c]));
            quad[1] = vmlal_high_s16(quad[1], first, four[c]);
            quad[2] = vmlal_s16(quad[2], vget_low_s16(second), vget_low_s16(four[c]));
            quad[3] = vmlal_high_s16(quad[3], second, four[c]);
          }
        }
      }
#pragma GCC unroll 2
      for (int c = 0; c < kCols; ++c) {
        int32x4_t dots[2];
        for (int i = 0; i < 2; ++i) {
          const int32x4_t* quad = rows[c] + 4 * i;
          dots[i] = vpaddq_s32(vpaddq_s32(quad[0], quad[1]), vpaddq_s32(quad[2], quad[3]));
        }
        AddScaled<kScales>(dots, tile.scale[s], tile.min[s], s, *x[c], &sums[0][c]);
      }
    }
  }
};

}  // namespace

const MatmulKernels kMatmulNeon = {Prepare, MultiplyWith<Neon>, kTileRows, PackRows<kTileRows>};

}  // namespace mla
