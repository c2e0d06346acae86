#include <cmath>

#include "kernels/norm/implementations.h"

namespace mla {

void RmsNormGeneric(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                    int64_t y_stride, int64_t n, int64_t d) {
  constexpr int64_t kLanes = 8;
  for (int64_t i = 0; i < n; ++i, x += x_stride, y += y_stride) {
    float lanes[kLanes] = {};
    int64_t c = 0;
    for (; c + kLanes <= d; c += kLanes) {
      for (int64_t l = 0; l < kLanes; ++l) lanes[l] += x[c + l] * x[c + l];
    }
    for (; c < d; ++c) lanes[c % kLanes] += x[c] * x[c];
    float squares = 0;
    for (float lane : lanes) squares += lane;
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(d) + eps);
    for (c = 0; c < d; ++c) y[c] = x[c] * scale * w[c];
  }
}

}  // namespace mla
