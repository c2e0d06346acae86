// Prompts by smmla, which multiplies 8 columns of two rows with those of two activations: twice an
// sdot's work. A few columns, whose time goes to unpacking, and all preparation are as with sdot.
// Where activations have one byte, scaling the sums is as much work as making them.
#include <arm_neon.h>
#include <stdint.h>

#include "kernels/matmul/arm64_dotprod_simd.h"

namespace mla {
namespace {

struct I8mm : Dotprod {
  static constexpr bool kArranges = true;

  // Two words of 4 columns of 8 rows to 8 columns of rows 0 and 1, 2 and 3; 4 and 5, 6 and 7.
  template <int kScales>
  static void Arrange(Tile<kScales>* tile) {
    for (int j = 0; j < 8; j += 2) {
      uint32x4_t a[2], b[2];
      for (int i = 0; i < 2; ++i) {
        a[i] = vreinterpretq_u32_u8(tile->q[j].v[i]);
        b[i] = vreinterpretq_u32_u8(tile->q[j + 1].v[i]);
      }
      for (int i = 0; i < 2; ++i) {
        tile->q[j + i].v[0] = vreinterpretq_u8_u32(vzip1q_u32(a[i], b[i]));
        tile->q[j + i].v[1] = vreinterpretq_u8_u32(vzip2q_u32(a[i], b[i]));
      }
    }
  }

  // As MultiplyTile, to the last bit.
  template <int kPanels, int kCols, int kScales>
  [[gnu::always_inline]] static inline void MultiplyArranged(
      const Tile<kScales>* const tiles[kPanels], const ActivationBlock* const x[kCols],
      Sums sums[kPanels][kCols]) {
    static_assert(kPanels == 1);
    constexpr int kPairs = (kCols + 1) / 2, kLoads = 2 / kScales;
    const bool fine = AnyFine<kCols>(x);
    const float unit = fine ? kLowUnit : 1.0f;
#pragma GCC unroll 2
    for (int s = 0; s < kScales; ++s) {
      int32x4_t dots[kPairs][4];  // of two rows: the first with both activations, the second
#pragma GCC unroll 2
      for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) dots[p][r] = vdupq_n_s32(0);
      }
      AddPairs<kCols, kPairs, kLoads>(tiles[0]->q + 4 * s, x, 16 * s, dots);
      if (fine) {
#pragma GCC unroll 2
        for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 4
          for (int r = 0; r < 4; ++r) dots[p][r] = vshlq_n_s32(dots[p][r], 8);
        }
        AddPairs<kCols, kPairs, kLoads>(tiles[0]->q + 4 * s, x, 32 + 16 * s, dots);
      }
      const Floats scale = Times(tiles[0]->scale[s], unit);
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) {
        const int32x4_t* of_pair = dots[c / 2];
        int32x4_t of_column[2];
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
          of_column[i] = c % 2 == 0 ? vuzp1q_s32(of_pair[2 * i], of_pair[2 * i + 1])
                                    : vuzp2q_s32(of_pair[2 * i], of_pair[2 * i + 1]);
        }
        AddScaled<kScales>(of_column, scale, tiles[0]->min[s], s, *x[c], &sums[0][c]);
      }
    }
  }

 private:
  // dots += words q times the bytes of x from `at` on; an odd column is its own second.
  template <int kCols, int kPairs, int kLoads>
  [[gnu::always_inline]] static inline void AddPairs(const Words* q,
                                                     const ActivationBlock* const x[kCols], int at,
                                                     int32x4_t (&dots)[kPairs][4]) {
#pragma GCC unroll 2
    for (int l = 0; l < kLoads; ++l) {
      int8x16_t eight[kPairs][2];  // columns of both
#pragma GCC unroll 2
      for (int p = 0; p < kPairs; ++p) {
        const int second = 2 * p + 1 < kCols ? 2 * p + 1 : 2 * p;
        const uint64x2_t a = vreinterpretq_u64_u8(vld1q_u8(x[2 * p]->q + at + 16 * l));
        const uint64x2_t b = vreinterpretq_u64_u8(vld1q_u8(x[second]->q + at + 16 * l));
        eight[p][0] = vreinterpretq_s8_u64(vzip1q_u64(a, b));
        eight[p][1] = vreinterpretq_s8_u64(vzip2q_u64(a, b));
      }
#pragma GCC unroll 2
      for (int k = 0; k < 2; ++k) {
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
          const int8x16_t w = vreinterpretq_s8_u8(q[4 * l + 2 * k + r / 2].v[r % 2]);
#pragma GCC unroll 2
          for (int p = 0; p < kPairs; ++p) dots[p][r] = vmmlaq_s32(dots[p][r], w, eight[p][k]);
        }
      }
    }
  }
};

}  // namespace

const MatmulKernels kMatmulI8mm = {Prepare, MultiplyWith<I8mm>, kTileRows, PackRows<kTileRows>};

}  // namespace mla
