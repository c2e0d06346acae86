#include "kernels/rope/rope.h"

namespace mla {

// Pair i turns by its angle: (a, b) -> (a cos - b sin, a sin + b cos).
void RopeRotateReference(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                         int64_t heads, int64_t rope_dim) {
  const int64_t pairs = rope_dim / 2;
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < pairs; ++i) {
      float* first = x + h * stride + (layout == RopeLayout::kHalves ? i : 2 * i);
      float* second = layout == RopeLayout::kHalves ? first + pairs : first + 1;
      const double a = *first;
      const double b = *second;
      const double cos = cos_sin[2 * i];
      const double sin = cos_sin[2 * i + 1];
      *first = static_cast<float>(a * cos - b * sin);
      *second = static_cast<float>(a * sin + b * cos);
    }
  }
}

}  // namespace mla
