// What sessions may run on: the CPU, and the GPUs that this build has kernels for.
#ifndef MLA_RUNTIME_DEVICES_H_
#define MLA_RUNTIME_DEVICES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "graph/gpu_model.h"
#include "graph/weights.h"
#include "tensor/status.h"

namespace mla {

struct GpuInfo {
  int32_t index;  // of cuda:index
  std::string name;
  std::string capability;  // "9.0"
  int64_t memory_bytes;
  std::string problem;  // empty: it can be used
};

// At least one, or why there is none.
Result<std::vector<GpuInfo>> ListGpus();

// The model on a device (MLA_DEVICE_*), shared by all who ask for the same; null for the CPU. The
// first takes as long as the weights' upload, with so many threads. MLA_DEVICE_AUTO is the first
// GPU that takes the model, or else the CPU, and the log says why. Errors of others say what is
// missing.
Result<std::shared_ptr<GpuModel>> FindGpuModel(std::shared_ptr<const Weights> weights,
                                               int32_t device, int32_t threads);

}  // namespace mla
#endif  // MLA_RUNTIME_DEVICES_H_
