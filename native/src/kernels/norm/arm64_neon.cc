#include <arm_neon.h>
#include <math.h>
#include <stdint.h>

#include "kernels/norm/implementations.h"

namespace mla {

void RmsNormNeon(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                 int64_t y_stride, int64_t n, int64_t d) {
  const int64_t whole = d / 4 * 4;
  for (int64_t i = 0; i < n; ++i, x += x_stride, y += y_stride) {
    float32x4_t squares[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    int64_t c = 0;
    for (; c + 16 <= d; c += 16) {
      for (int k = 0; k < 4; ++k) {
        const float32x4_t v = vld1q_f32(x + c + 4 * k);
        squares[k] = vfmaq_f32(squares[k], v, v);
      }
    }
    for (; c < whole; c += 4) {
      const float32x4_t v = vld1q_f32(x + c);
      squares[0] = vfmaq_f32(squares[0], v, v);
    }
    float sum =
        vaddvq_f32(vaddq_f32(vaddq_f32(squares[0], squares[1]), vaddq_f32(squares[2], squares[3])));
    for (c = whole; c < d; ++c) sum += x[c] * x[c];
    const float scale = 1.0f / sqrtf(sum / static_cast<float>(d) + eps);
    for (c = 0; c < whole; c += 4) {
      const float32x4_t v = vmulq_n_f32(vld1q_f32(x + c), scale);
      vst1q_f32(y + c, vmulq_f32(v, vld1q_f32(w + c)));
    }
    for (c = whole; c < d; ++c) y[c] = x[c] * scale * w[c];
  }
}

}  // namespace mla
