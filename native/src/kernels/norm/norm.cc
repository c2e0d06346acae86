#include "kernels/norm/norm.h"

#include "kernels/norm/implementations.h"

namespace mla {

RmsNormKernel GetRmsNormKernel(Isa isa) {
  static_cast<void>(isa);  // the portable one serves all
  return RmsNormGeneric;
}

void RmsNorm(const float* x, int64_t x_stride, const float* w, float eps, float* y,
             int64_t y_stride, int64_t n, int64_t d) {
  static const RmsNormKernel kernel = GetRmsNormKernel(ChosenIsa().isa);
  kernel(x, x_stride, w, eps, y, y_stride, n, d);
}

}  // namespace mla
