// RMS norm of rows: y = x / sqrt(mean(x²) + eps) * w.
#ifndef MLA_KERNELS_NORM_NORM_H_
#define MLA_KERNELS_NORM_NORM_H_

#include <cstdint>

#include "kernels/isa.h"

namespace mla {

// x, y [n, d] with strides in floats; w [d]. y may be x.
void RmsNorm(const float* x, int64_t x_stride, const float* w, float eps, float* y,
             int64_t y_stride, int64_t n, int64_t d);

using RmsNormKernel = void (*)(const float* x, int64_t x_stride, const float* w, float eps,
                               float* y, int64_t y_stride, int64_t n, int64_t d);
RmsNormKernel GetRmsNormKernel(Isa isa);
void RmsNormReference(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                      int64_t y_stride, int64_t n, int64_t d);

}  // namespace mla
#endif  // MLA_KERNELS_NORM_NORM_H_
