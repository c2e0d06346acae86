// The walk over heads and pairs that vector implementations share. For the files of instruction
// sets in this folder.
#ifndef MLA_KERNELS_ROPE_ROTATION_SIMD_H_
#define MLA_KERNELS_ROPE_ROTATION_SIMD_H_

#include <cstdint>

#include "kernels/rope/implementations.h"

namespace mla {
namespace {

// Simd turns kHalves pairs at a time that lie in two rows (Halves), or kInterleaved ones that lie
// side by side (Interleaved), by angles of the table cos0 sin0 cos1 sin1 ..., in place.
template <typename Simd>
[[gnu::always_inline]] inline void Rotate(RopeLayout layout, const float* cos_sin, float* x,
                                          int64_t stride, int64_t heads, int64_t rope_dim) {
  const int64_t pairs = rope_dim / 2;
  const bool halves = layout == RopeLayout::kHalves;
  const int64_t step = halves ? 1 : 2, apart = halves ? pairs : 1;
  for (int64_t h = 0; h < heads; ++h, x += stride) {
    int64_t i = 0;
    if (halves) {
      for (; i + Simd::kHalves <= pairs; i += Simd::kHalves) {
        Simd::Halves(cos_sin + 2 * i, x + i, x + pairs + i);
      }
    } else {
      for (; i + Simd::kInterleaved <= pairs; i += Simd::kInterleaved) {
        Simd::Interleaved(cos_sin + 2 * i, x + 2 * i);
      }
    }
    for (; i < pairs; ++i) {
      const float a = x[i * step], b = x[i * step + apart];
      x[i * step] = a * cos_sin[2 * i] - b * cos_sin[2 * i + 1];
      x[i * step + apart] = a * cos_sin[2 * i + 1] + b * cos_sin[2 * i];
    }
  }
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ROPE_ROTATION_SIMD_H_
