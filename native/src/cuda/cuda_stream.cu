#include <cuda_runtime.h>

#include <cstdlib>
#include <string_view>
#include <utility>

#include "cuda/cuda_stream.h"

namespace mla::cuda {
namespace {

// The oldest that kernels are compiled for: what they ask for is mma.m16n8k16 and cp.async.
constexpr int kOldestMajor = 8;
// The only ones that have wgmma, the oldest with bulk copies, and with launches that begin before
// the earlier ones end.
constexpr int kHopper = 9;

// MLA_CUDA_PDL=0 has launches follow each other strictly, for comparisons.
bool MayStartEarly() {
  static const char* const value = std::getenv("MLA_CUDA_PDL");
  return value == nullptr || std::string_view(value) != "0";
}

std::string Version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

Status Failure(cudaError_t error, const std::string& doing) {
  const bool memory = error == cudaErrorMemoryAllocation;
  return Status(memory ? MLA_OUT_OF_MEMORY : MLA_UNSUPPORTED,
                "CUDA: " + doing + ": " + cudaGetErrorString(error));
}

// Why no device can be counted, for people.
Status NoDevices(cudaError_t error) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  switch (error) {
    case cudaErrorInsufficientDriver:
      if (driver == 0) {
        return Status(MLA_UNSUPPORTED,
                      "CUDA: no NVIDIA driver found (libcuda.so.1 cannot be loaded)");
      }
      return Status(MLA_UNSUPPORTED, "CUDA: the NVIDIA driver knows CUDA " + Version(driver) +
                                         ", expected " + Version(runtime) +
                                         " or newer: update the driver");
    case cudaErrorNoDevice:
      return Status(MLA_UNSUPPORTED,
                    "CUDA: the driver shows no device (CUDA_VISIBLE_DEVICES may hide them)");
    default:
      return Failure(error, "counting devices");
  }
}

class Recording final : public GpuRecording {
 public:
  explicit Recording(cudaGraphExec_t graph) : graph_(graph) {}
  ~Recording() override { cudaGraphExecDestroy(graph_); }
  cudaGraphExec_t graph() const { return graph_; }

 private:
  cudaGraphExec_t graph_;
};

class Mark final : public GpuMark {
 public:
  Mark(int device, cudaStream_t stream, cudaEvent_t event)
      : device_(device), stream_(stream), event_(event) {}
  ~Mark() override { cudaEventDestroy(event_); }
  // Errors are sticky: the stream's next call meets them.
  void Set() override {
    cudaSetDevice(device_);
    cudaEventRecord(event_, stream_);
  }
  void Wait() override { cudaEventSynchronize(event_); }

 private:
  const int device_;
  const cudaStream_t stream_;
  const cudaEvent_t event_;
};

class Stream final : public GpuStream {
 public:
  Stream(int device, cudaStream_t stream, int processors, int shared_bytes, int major)
      : device_(device),
        stream_(stream),
        processors_(processors),
        shared_bytes_(shared_bytes),
        major_(major),
        starts_early_(major >= kHopper && MayStartEarly()) {}
  ~Stream() override {
    Use();
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }

  void* Allocate(int64_t bytes) override {
    Use();
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(bytes));
    if (error == cudaSuccess) return memory;
    cudaGetLastError();  // the caller is told by null, later launches are not to find it
    if (error != cudaErrorMemoryAllocation) Keep(error, "allocating memory");
    return nullptr;
  }
  void Free(void* memory) override {
    Use();
    Keep(cudaStreamSynchronize(stream_), "freeing memory");
    Keep(cudaFree(memory), "freeing memory");
  }

  void* AllocateHost(int64_t bytes) override {
    Use();
    void* memory = nullptr;
    if (cudaHostAlloc(&memory, static_cast<size_t>(bytes), cudaHostAllocDefault) == cudaSuccess) {
      return memory;
    }
    cudaGetLastError();
    return nullptr;
  }
  void FreeHost(void* memory) override {
    Use();
    Keep(cudaFreeHost(memory), "freeing the host's memory");
  }

  void Upload(void* to, const void* from, int64_t bytes) override {
    CopyBytes(to, from, bytes, cudaMemcpyHostToDevice);
  }
  void Download(void* to, const void* from, int64_t bytes) override {
    CopyBytes(to, from, bytes, cudaMemcpyDeviceToHost);
  }
  void Copy(void* to, const void* from, int64_t bytes) override {
    CopyBytes(to, from, bytes, cudaMemcpyDeviceToDevice);
  }
  void Zero(void* memory, int64_t bytes) override {
    Use();
    Keep(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream_), "clearing memory");
  }

  Result<std::unique_ptr<GpuRecording>> Record(const std::function<void()>& launches) override {
    Use();
    cudaError_t error = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    if (error != cudaSuccess) return Failure(error, "recording");
    launches();
    cudaGraph_t graph = nullptr;
    error = cudaStreamEndCapture(stream_, &graph);
    if (error != cudaSuccess) return Failure(error, "recording");
    cudaGraphExec_t executable = nullptr;
    error = cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    if (error != cudaSuccess) return Failure(error, "recording");
    return std::unique_ptr<GpuRecording>(new Recording(executable));
  }
  void Replay(const GpuRecording& recording) override {
    Use();
    Keep(cudaGraphLaunch(static_cast<const Recording&>(recording).graph(), stream_), "replaying");
  }

  std::unique_ptr<GpuMark> NewMark() override {
    Use();
    cudaEvent_t event = nullptr;
    if (cudaEventCreateWithFlags(&event, cudaEventDisableTiming) != cudaSuccess) {
      cudaGetLastError();
      return nullptr;
    }
    return std::make_unique<Mark>(device_, stream_, event);
  }

  Status Synchronize() override {
    Use();
    Keep(cudaStreamSynchronize(stream_), "running");
    return TakeErrors();
  }
  Status TakeErrors() override {
    Use();
    // Launches do not say whether they were accepted.
    Keep(cudaGetLastError(), "launching");
    return std::exchange(failed_, Status());
  }

  int processors() const override { return processors_; }
  int shared_bytes() const override { return shared_bytes_; }
  bool has_group_mma() const override { return major_ == kHopper; }
  bool has_bulk_copies() const override { return major_ >= kHopper; }
  bool starts_early() const override { return starts_early_; }
  void* native() override {
    Use();
    return stream_;
  }

 private:
  // CUDA has a current device a thread, and any thread may use the stream.
  void Use() { Keep(cudaSetDevice(device_), "choosing the device"); }
  void Keep(cudaError_t error, const char* doing) {
    if (error == cudaSuccess || !failed_.ok()) return;
    // nvcc takes an assignment for a result that nobody looks at.
    static_cast<void>(failed_ = Failure(error, doing));
  }
  void CopyBytes(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
    Use();
    Keep(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream_), "copying");
  }

  const int device_;
  const cudaStream_t stream_;
  const int processors_;
  const int shared_bytes_;
  const int major_;
  const bool starts_early_;
  Status failed_;
};

int Attribute(int device, cudaDeviceAttr attribute) {
  int value = 0;
  cudaDeviceGetAttribute(&value, attribute, device);
  return value;
}

std::string ProblemOf(int major, int minor) {
  if (major >= kOldestMajor) return "";
  return "compute capability " + std::to_string(major) + "." + std::to_string(minor) +
         ", expected " + std::to_string(kOldestMajor) + ".0 (Ampere) or newer";
}

}  // namespace

Result<std::vector<Device>> ListDevices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return NoDevices(error);
  }
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    const cudaError_t unknown = cudaGetDeviceProperties(&properties, i);
    if (unknown != cudaSuccess) {
      cudaGetLastError();
      devices.push_back({i, "unknown", 0, 0, 0, cudaGetErrorString(unknown)});
      continue;
    }
    devices.push_back({i, properties.name, properties.major, properties.minor,
                       static_cast<int64_t>(properties.totalGlobalMem),
                       ProblemOf(properties.major, properties.minor)});
  }
  return devices;
}

Result<std::unique_ptr<GpuStream>> OpenStream(int32_t device) {
  Result<std::vector<Device>> devices = ListDevices();
  if (!devices.ok()) return devices.status();
  const int32_t count = static_cast<int32_t>(devices.value().size());
  if (device < 0 || device >= count) {
    return Status(MLA_INVALID_ARGUMENT,
                  "CUDA: there is no device cuda:" + std::to_string(device) +
                      ", expected cuda:0 to cuda:" + std::to_string(count - 1));
  }
  const Device& chosen = devices.value()[static_cast<size_t>(device)];
  if (!chosen.problem.empty()) {
    return Status(MLA_UNSUPPORTED,
                  "cuda:" + std::to_string(device) + " (" + chosen.name + "): " + chosen.problem);
  }
  cudaError_t error = cudaSetDevice(device);
  cudaStream_t stream = nullptr;
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return Failure(error, "opening cuda:" + std::to_string(device) + " (" + chosen.name + ")");
  }
  return std::unique_ptr<GpuStream>(
      new Stream(device, stream, Attribute(device, cudaDevAttrMultiProcessorCount),
                 Attribute(device, cudaDevAttrMaxSharedMemoryPerBlockOptin), chosen.major));
}

}  // namespace mla::cuda
