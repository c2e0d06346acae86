// Real GPUs: which there are, and a queue of work on one of them.
#ifndef MLA_CUDA_CUDA_STREAM_H_
#define MLA_CUDA_CUDA_STREAM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/gpu_stream.h"
#include "tensor/status.h"

namespace mla::cuda {

struct Device {
  int32_t index;  // as CUDA counts them: CUDA_VISIBLE_DEVICES is heeded
  std::string name;
  int32_t major, minor;  // compute capability
  int64_t memory_bytes;
  // Empty, or why the kernels do not run there.
  std::string problem;
};

// All that the driver shows, at least one. Error (MLA_UNSUPPORTED): why there is none, and what to
// do about it.
Result<std::vector<Device>> ListDevices();

// Errors name the device and say what is missing; MLA_OUT_OF_MEMORY where it is memory.
Result<std::unique_ptr<GpuStream>> OpenStream(int32_t device);

}  // namespace mla::cuda
#endif  // MLA_CUDA_CUDA_STREAM_H_
