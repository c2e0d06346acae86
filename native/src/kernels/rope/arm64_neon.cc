// Rotation in NEON: four pairs at a time.
#include <arm_neon.h>

#include "kernels/rope/implementations.h"

namespace mla {
namespace {

// (a, b) by four angles of a table.
float32x4x2_t Rotate(float32x4_t a, float32x4_t b, const float* cos_sin) {
  const float32x4x2_t table = vld2q_f32(cos_sin);
  const float32x4_t cos = table.val[0], sin = table.val[1];
  return {{vfmsq_f32(vmulq_f32(a, cos), b, sin), vfmaq_f32(vmulq_f32(b, cos), a, sin)}};
}

void RotateHalves(const float* cos_sin, float* x, int64_t pairs) {
  float* first = x;
  float* second = x + pairs;
  int64_t i = 0;
  for (; i + 4 <= pairs; i += 4) {
    const float32x4x2_t turned =
        Rotate(vld1q_f32(first + i), vld1q_f32(second + i), cos_sin + 2 * i);
    vst1q_f32(first + i, turned.val[0]);
    vst1q_f32(second + i, turned.val[1]);
  }
  for (; i < pairs; ++i) {
    const float a = first[i];
    const float b = second[i];
    first[i] = a * cos_sin[2 * i] - b * cos_sin[2 * i + 1];
    second[i] = a * cos_sin[2 * i + 1] + b * cos_sin[2 * i];
  }
}

void RotateInterleaved(const float* cos_sin, float* x, int64_t pairs) {
  int64_t i = 0;
  for (; i + 4 <= pairs; i += 4) {
    const float32x4x2_t ab = vld2q_f32(x + 2 * i);
    vst2q_f32(x + 2 * i, Rotate(ab.val[0], ab.val[1], cos_sin + 2 * i));
  }
  for (; i < pairs; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * cos_sin[2 * i] - b * cos_sin[2 * i + 1];
    x[2 * i + 1] = a * cos_sin[2 * i + 1] + b * cos_sin[2 * i];
  }
}

}  // namespace

void RopeRotateNeon(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                    int64_t heads, int64_t rope_dim) {
  for (int64_t h = 0; h < heads; ++h, x += stride) {
    if (layout == RopeLayout::kHalves) {
      RotateHalves(cos_sin, x, rope_dim / 2);
    } else {
      RotateInterleaved(cos_sin, x, rope_dim / 2);
    }
  }
}

}  // namespace mla
