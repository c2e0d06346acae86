// RMS norm of rows on the GPU, where no product can do it on the way (kernels/matmul/gpu.h).
#ifndef MLA_KERNELS_NORM_GPU_H_
#define MLA_KERNELS_NORM_GPU_H_

#include <cstdint>

#include "cuda/gpu_stream.h"

namespace mla {

// out[i][h] = x[i][h] / sqrt(mean(x[i][h]²) + epsilon) * weight[h], i < n, h < heads, of `length`
// floats each; strides in floats. out may be x.
struct GpuRmsNorm {
  const float* x;
  int64_t x_stride, x_head_stride;
  const float* weight;
  int64_t weight_head_stride;  // 0: all heads have the same weights
  float epsilon;
  float* out;
  int64_t out_stride, out_head_stride;
  int32_t n, heads;
  int64_t length;
};

namespace cuda {
void Launch(GpuStream& stream, const GpuRmsNorm& args);
}  // namespace cuda
namespace emulated {
void Launch(GpuStream& stream, const GpuRmsNorm& args);
}  // namespace emulated

}  // namespace mla
#endif  // MLA_KERNELS_NORM_GPU_H_
