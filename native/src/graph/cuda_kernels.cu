#include "cuda/simt.h"
#include "graph/gpu_kernels.h"

namespace mla::MLA_GPU {

const GpuKernels kKernels = {Launch, Launch, Launch, Launch, Launch, Launch,
                             Launch, Launch, Launch, Launch, Launch};

}  // namespace mla::MLA_GPU
