#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/swiglu/implementations.h"

namespace mla {
namespace {

// exp(x) = 2^k * exp(r), |r| <= ln(2) / 2, by its Taylor polynomial of degree 6 (1.2e-7). x is held
// to a range in which the bits of 2^k are those of a normal float or, from 2^128 on, of infinity;
// NaN stays.
float32x4_t Exp(float32x4_t x) {
  x = vmaxq_f32(vdupq_n_f32(-87), vminq_f32(vdupq_n_f32(89), x));
  const float32x4_t k = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(1.44269504f)));
  // ln(2) in two parts, so that k times the first is exact.
  float32x4_t r = vfmsq_f32(x, k, vdupq_n_f32(0.693359375f));
  r = vfmsq_f32(r, k, vdupq_n_f32(-2.12194440e-4f));
  float32x4_t p = vdupq_n_f32(1.0f / 720);
  const float coefficients[] = {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  for (float c : coefficients) p = vfmaq_f32(vdupq_n_f32(c), p, r);
  const int32x4_t exponent = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(k), vdupq_n_s32(127)), 23);
  return vmulq_f32(p, vreinterpretq_f32_s32(exponent));
}

float32x4_t SwiGlu(float32x4_t gate, float32x4_t up) {
  const float32x4_t one = vdupq_n_f32(1);
  return vmulq_f32(vdivq_f32(gate, vaddq_f32(one, Exp(vnegq_f32(gate)))), up);
}

}  // namespace

void SwiGluNeon(const float* gate, const float* up, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) vst1q_f32(y + i, SwiGlu(vld1q_f32(gate + i), vld1q_f32(up + i)));
  if (i == n) return;
  const size_t rest = static_cast<size_t>(n - i) * sizeof(float);
  float gates[4] = {}, ups[4] = {};
  memcpy(gates, gate + i, rest);
  memcpy(ups, up + i, rest);
  vst1q_f32(gates, SwiGlu(vld1q_f32(gates), vld1q_f32(ups)));
  memcpy(y + i, gates, rest);
}

}  // namespace mla
