// What the implementation files of this folder export.
#ifndef MLA_KERNELS_NORM_IMPLEMENTATIONS_H_
#define MLA_KERNELS_NORM_IMPLEMENTATIONS_H_

#include "kernels/norm/norm.h"

namespace mla {

void RmsNormGeneric(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                    int64_t y_stride, int64_t n, int64_t d);
#if defined(__x86_64__)
void RmsNormAvx2(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                 int64_t y_stride, int64_t n, int64_t d);
void RmsNormAvx512(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                   int64_t y_stride, int64_t n, int64_t d);
#elif defined(__aarch64__)
void RmsNormNeon(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                 int64_t y_stride, int64_t n, int64_t d);
#endif

}  // namespace mla
#endif  // MLA_KERNELS_NORM_IMPLEMENTATIONS_H_
