// What a decoder launches on a GPU: a real one's kernels, or the emulated one's in tests.
#ifndef MLA_GRAPH_GPU_KERNELS_H_
#define MLA_GRAPH_GPU_KERNELS_H_

#include "cuda/gpu_stream.h"
#include "kernels/append/gpu.h"
#include "kernels/attention/gpu.h"
#include "kernels/matmul/gpu.h"
#include "kernels/norm/gpu.h"
#include "kernels/prompt/gpu.h"
#include "kernels/sampling/gpu.h"

namespace mla {

struct GpuKernels {
  void (*mat_vec)(GpuStream&, const GpuMatVec&);
  void (*mat_mul)(GpuStream&, const GpuMatMul&);
  void (*lookup)(GpuStream&, const GpuLookup&);
  void (*head_product)(GpuStream&, const GpuHeadProduct&);
  void (*head_mat_mul)(GpuStream&, const GpuHeadMatMul&);
  void (*rms_norm)(GpuStream&, const GpuRmsNorm&);
  void (*append)(GpuStream&, const GpuAppend&);
  void (*attention)(GpuStream&, const GpuAttention&);
  void (*prompt)(GpuStream&, const GpuPrompt&);
  void (*sample)(GpuStream&, const GpuSampling&);
  void (*score)(GpuStream&, const GpuScores&);
};

namespace cuda {
extern const GpuKernels kKernels;
}  // namespace cuda
namespace emulated {
extern const GpuKernels kKernels;
}  // namespace emulated

}  // namespace mla
#endif  // MLA_GRAPH_GPU_KERNELS_H_
