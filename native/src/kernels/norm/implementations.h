// What the implementation files of this folder export.
#ifndef MLA_KERNELS_NORM_IMPLEMENTATIONS_H_
#define MLA_KERNELS_NORM_IMPLEMENTATIONS_H_

#include "kernels/norm/norm.h"

namespace mla {

void RmsNormGeneric(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                    int64_t y_stride, int64_t n, int64_t d);

}  // namespace mla
#endif  // MLA_KERNELS_NORM_IMPLEMENTATIONS_H_
