#include "kernels/norm/norm.h"

#include "kernels/norm/implementations.h"

namespace mla {

RmsNormKernel GetRmsNormKernel(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return RmsNormAvx512;
    case Isa::kAvxVnni:
    case Isa::kAvx2:
      return RmsNormAvx2;
#elif defined(__aarch64__)
    case Isa::kI8mm:
    case Isa::kDotprod:
    case Isa::kNeon:
      return RmsNormNeon;
#endif
    default:
      return RmsNormGeneric;
  }
}

void RmsNorm(const float* x, int64_t x_stride, const float* w, float eps, float* y,
             int64_t y_stride, int64_t n, int64_t d) {
  static const RmsNormKernel kernel = GetRmsNormKernel(ChosenIsa().isa);
  kernel(x, x_stride, w, eps, y, y_stride, n, d);
}

}  // namespace mla
