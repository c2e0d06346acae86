#include "kernels/rope/rope.h"

#include <cmath>

#include "kernels/rope/implementations.h"

namespace mla {

void RopeAngles(const float* frequencies, int64_t pairs, int64_t position, float factor,
                float* cos_sin) {
  for (int64_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(position) * static_cast<double>(frequencies[i]);
    cos_sin[2 * i] = static_cast<float>(factor * std::cos(angle));
    cos_sin[2 * i + 1] = static_cast<float>(factor * std::sin(angle));
  }
}

RopeKernel GetRopeKernel(Isa isa) {
#if defined(__x86_64__)
  if (isa != Isa::kGeneric) return RopeRotateAvx2;
#elif defined(__aarch64__)
  if (isa != Isa::kGeneric) return RopeRotateNeon;
#endif
  static_cast<void>(isa);
  return RopeRotateGeneric;
}

void RopeRotate(RopeLayout layout, const float* cos_sin, float* x, int64_t stride, int64_t heads,
                int64_t rope_dim) {
  static const RopeKernel kernel = GetRopeKernel(ChosenIsa().isa);
  kernel(layout, cos_sin, x, stride, heads, rope_dim);
}

}  // namespace mla
