#include "kernels/rope/implementations.h"

namespace mla {

void RopeRotateGeneric(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                       int64_t heads, int64_t rope_dim) {
  const int64_t pairs = rope_dim / 2;
  const int64_t step = layout == RopeLayout::kHalves ? 1 : 2;
  const int64_t apart = layout == RopeLayout::kHalves ? pairs : 1;
  for (int64_t h = 0; h < heads; ++h, x += stride) {
    for (int64_t i = 0; i < pairs; ++i) {
      const float a = x[i * step];
      const float b = x[i * step + apart];
      x[i * step] = a * cos_sin[2 * i] - b * cos_sin[2 * i + 1];
      x[i * step + apart] = a * cos_sin[2 * i + 1] + b * cos_sin[2 * i];
    }
  }
}

}  // namespace mla
