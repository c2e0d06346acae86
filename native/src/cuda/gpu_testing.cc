#include "cuda/gpu_testing.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#if defined(MLA_WITH_CUDA)
#include "cuda/cuda_stream.h"
#endif

namespace mla {
namespace {

constexpr char kVariable[] = "MLA_TEST_GPU";

[[noreturn]] void NoDevice(const std::string& why) {
  std::fprintf(stderr, "%s=%s: %s\n", kVariable, std::getenv(kVariable), why.c_str());
  std::exit(1);
}

std::unique_ptr<GpuStream> OpenReal() {
  const std::string_view name = std::getenv(kVariable), prefix = "cuda:";
  int32_t index = -1;
  const char* end = name.data() + name.size();
  if (!name.starts_with(prefix) ||
      std::from_chars(name.data() + prefix.size(), end, index).ptr != end || index < 0) {
    NoDevice("expected the name of a device, as cuda:0");
  }
#if defined(MLA_WITH_CUDA)
  Result<std::unique_ptr<GpuStream>> stream = cuda::OpenStream(index);
  if (!stream.ok()) NoDevice(stream.status().message());
  return std::move(stream.value());
#else
  NoDevice("this build has no CUDA kernels, for CMake found no nvcc");
#endif
}

}  // namespace

bool TestsRealGpu() {
  static const bool real = std::getenv(kVariable) != nullptr;
  return real;
}

TestGpu::TestGpu(Emulator::Order order, int64_t memory_bytes) : memory_bytes_(memory_bytes) {
  if (TestsRealGpu()) {
    stream_ = OpenReal();
  } else {
    auto emulator = std::make_unique<Emulator>(order);
    emulator_ = emulator.get();
    stream_ = std::move(emulator);
  }
}

TestGpu::~TestGpu() {
  Finish(*stream_);
  for (const auto& [memory, bytes] : sizes_) stream_->Free(memory);
}

void* TestGpu::Allocate(int64_t bytes) {
  if (bytes > memory_bytes_ - allocated_) return nullptr;
  void* memory = stream_->Allocate(bytes);
  if (memory == nullptr) return nullptr;
  allocated_ += bytes;
  sizes_.emplace(memory, bytes);
  return memory;
}

void TestGpu::Free(void* memory) {
  if (const auto it = sizes_.find(memory); it != sizes_.end()) {
    allocated_ -= it->second;
    sizes_.erase(it);
  }
  stream_->Free(memory);
}

int TestGpu::processors() const { return Emulator::kProcessors; }
int TestGpu::shared_bytes() const { return std::min(shared_bytes_, stream_->shared_bytes()); }

const GpuKernels& tested::Kernels() {
#if defined(MLA_WITH_CUDA)
  if (TestsRealGpu()) return cuda::kKernels;
#endif
  return emulated::kKernels;
}

}  // namespace mla
