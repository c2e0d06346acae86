#include "runtime/devices.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "mla/mla.h"
#include "runtime/log.h"
#if defined(MLA_WITH_CUDA)
#include "cuda/cuda_stream.h"
#endif

namespace mla {
namespace {

#if !defined(MLA_WITH_CUDA)
Status NoKernels() {
  return Status(MLA_UNSUPPORTED,
                "this build has no CUDA kernels: use that of a platform ending in -gpu");
}
#endif

Result<std::shared_ptr<GpuModel>> Upload([[maybe_unused]] std::shared_ptr<const Weights> weights,
                                         [[maybe_unused]] int32_t index,
                                         [[maybe_unused]] int32_t threads) {
#if defined(MLA_WITH_CUDA)
  Result<std::unique_ptr<GpuStream>> stream = cuda::OpenStream(index);
  if (!stream.ok()) return stream.status();
  return GpuModel::Create(std::move(weights), std::move(stream.value()), cuda::kKernels, threads);
#else
  return NoKernels();
#endif
}

// Those that somebody has. A model keeps its weights, so that their address names it.
struct Known {
  const Weights* weights;
  int32_t index;
  std::weak_ptr<GpuModel> model;
};

Result<std::shared_ptr<GpuModel>> Find(std::shared_ptr<const Weights> weights, int32_t index,
                                       int32_t threads) {
  static auto& mutex = *new std::mutex();
  static auto& known = *new std::vector<Known>();
  const std::lock_guard<std::mutex> lock(mutex);  // two who come together upload once
  known.erase(
      std::remove_if(known.begin(), known.end(), [](const Known& k) { return k.model.expired(); }),
      known.end());
  for (const Known& k : known) {
    if (k.weights != weights.get() || k.index != index) continue;
    if (std::shared_ptr<GpuModel> model = k.model.lock()) return model;
  }
  const Weights* key = weights.get();
  Result<std::shared_ptr<GpuModel>> model = Upload(std::move(weights), index, threads);
  if (model.ok()) known.push_back({key, index, model.value()});
  return model;
}

}  // namespace

Result<std::vector<GpuInfo>> ListGpus() {
#if defined(MLA_WITH_CUDA)
  const Result<std::vector<cuda::Device>> devices = cuda::ListDevices();
  if (!devices.ok()) return devices.status();
  std::vector<GpuInfo> gpus;
  for (const cuda::Device& d : devices.value()) {
    gpus.push_back({d.index, d.name, std::to_string(d.major) + "." + std::to_string(d.minor),
                    d.memory_bytes, d.problem});
  }
  return gpus;
#else
  return NoKernels();
#endif
}

Result<std::shared_ptr<GpuModel>> FindGpuModel(std::shared_ptr<const Weights> weights,
                                               int32_t device, int32_t threads) {
  if (device == MLA_DEVICE_CPU) return std::shared_ptr<GpuModel>();
  if (device != MLA_DEVICE_AUTO) return Find(std::move(weights), device - MLA_DEVICE_CUDA, threads);
  const Result<std::vector<GpuInfo>> gpus = ListGpus();
  std::string reasons = gpus.ok() ? "" : gpus.status().message();
  for (const GpuInfo& gpu : gpus.ok() ? gpus.value() : std::vector<GpuInfo>()) {
    Result<std::shared_ptr<GpuModel>> model = Find(weights, gpu.index, threads);
    if (model.ok()) return model;
    reasons += (reasons.empty() ? "" : "; ") + model.status().message();
  }
  Log(MLA_LOG_INFO, "the CPU is used: " + reasons);
  return std::shared_ptr<GpuModel>();
}

}  // namespace mla
