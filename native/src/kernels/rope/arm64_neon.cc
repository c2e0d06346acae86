// Rotation in NEON.
#include <arm_neon.h>

#include "kernels/rope/implementations.h"
#include "kernels/rope/rotation_simd.h"

namespace mla {
namespace {

struct Neon {
  static constexpr int64_t kHalves = 4, kInterleaved = 4;

  // (a, b) by four angles of a table.
  static float32x4x2_t Turned(float32x4_t a, float32x4_t b, const float* cos_sin) {
    const float32x4x2_t table = vld2q_f32(cos_sin);
    const float32x4_t cos = table.val[0], sin = table.val[1];
    return {{vfmsq_f32(vmulq_f32(a, cos), b, sin), vfmaq_f32(vmulq_f32(b, cos), a, sin)}};
  }

  static void Halves(const float* cos_sin, float* first, float* second) {
    const float32x4x2_t turned = Turned(vld1q_f32(first), vld1q_f32(second), cos_sin);
    vst1q_f32(first, turned.val[0]);
    vst1q_f32(second, turned.val[1]);
  }

  static void Interleaved(const float* cos_sin, float* x) {
    const float32x4x2_t ab = vld2q_f32(x);
    vst2q_f32(x, Turned(ab.val[0], ab.val[1], cos_sin));
  }
};

}  // namespace

void RopeRotateNeon(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                    int64_t heads, int64_t rope_dim) {
  Rotate<Neon>(layout, cos_sin, x, stride, heads, rope_dim);
}

}  // namespace mla
