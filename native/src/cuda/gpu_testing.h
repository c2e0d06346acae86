// The GPU that tests run on, an emulated one, or where the environment has MLA_TEST_GPU=cuda:0 the
// real one of that name: the same tests, the same launches. Arrays in its memory for them.
#ifndef MLA_CUDA_GPU_TESTING_H_
#define MLA_CUDA_GPU_TESTING_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cuda/emulator_testing.h"
#include "cuda/gpu_stream.h"
#include "graph/gpu_kernels.h"

namespace mla {

// A real one says of its size what the emulated one says, so that tests reach the same kernels
// there, cut in the same way. Where MLA_TEST_GPU names a device that cannot be had, the program
// ends with a sentence about it.
class TestGpu final : public GpuStream {
 public:
  static constexpr int64_t kMemoryBytes = int64_t{8} << 30;
  static constexpr int kSharedBytes = 160 << 10;  // a little less than sm_80's

  // `order` is the emulated one's; a real one has its own. Of more memory than this none is given.
  explicit TestGpu(Emulator::Order order = Emulator::Order::kForward,
                   int64_t memory_bytes = kMemoryBytes);
  // What failed on the stream and nobody was told fails the test.
  ~TestGpu() override;

  void* Allocate(int64_t bytes) override;
  void Free(void* memory) override;
  void* AllocateHost(int64_t bytes) override { return stream_->AllocateHost(bytes); }
  void FreeHost(void* memory) override { stream_->FreeHost(memory); }
  void Upload(void* to, const void* from, int64_t bytes) override {
    stream_->Upload(to, from, bytes);
  }
  void Download(void* to, const void* from, int64_t bytes) override {
    stream_->Download(to, from, bytes);
  }
  void Copy(void* to, const void* from, int64_t bytes) override { stream_->Copy(to, from, bytes); }
  void Zero(void* memory, int64_t bytes) override { stream_->Zero(memory, bytes); }
  Result<std::unique_ptr<GpuRecording>> Record(const std::function<void()>& launches) override {
    return stream_->Record(launches);
  }
  void Replay(const GpuRecording& recording) override { stream_->Replay(recording); }
  std::unique_ptr<GpuMark> NewMark() override { return stream_->NewMark(); }
  Status Synchronize() override { return stream_->Synchronize(); }
  Status TakeErrors() override { return stream_->TakeErrors(); }
  int processors() const override;
  int shared_bytes() const override;
  bool has_group_mma() const override { return group_mma_ && stream_->has_group_mma(); }
  bool has_bulk_copies() const override { return bulk_copies_ && stream_->has_bulk_copies(); }
  bool starts_early() const override { return stream_->starts_early(); }
  void* native() override { return stream_->native(); }

  // Without, it is as older ones are.
  void set_has_group_mma(bool has) { group_mma_ = has; }
  void set_has_bulk_copies(bool has) { bulk_copies_ = has; }
  // More than kSharedBytes, as newer ones have.
  void set_shared_bytes(int bytes) { shared_bytes_ = bytes; }
  int64_t allocated_bytes() const { return allocated_; }
  // Null: it is real.
  Emulator* emulator() { return emulator_; }

 private:
  std::unique_ptr<GpuStream> stream_;
  Emulator* emulator_ = nullptr;
  const int64_t memory_bytes_;
  int64_t allocated_ = 0;
  bool group_mma_ = true, bulk_copies_ = true;
  int shared_bytes_ = kSharedBytes;
  std::unordered_map<void*, int64_t> sizes_;
};

inline constexpr Emulator::Order kOrders[] = {Emulator::Order::kForward, Emulator::Order::kBackward,
                                              Emulator::Order::kShuffled};

// Whether MLA_TEST_GPU names a real one.
bool TestsRealGpu();

// The kernels of the GPU under test.
namespace tested {

const GpuKernels& Kernels();

template <typename Args>
void Launch(GpuStream& gpu, const Args& args) {
#if defined(MLA_WITH_CUDA)
  if (TestsRealGpu()) return cuda::Launch(gpu, args);
#endif
  emulated::Launch(gpu, args);
}

}  // namespace tested

// Waits for everything; what failed fails the test.
inline void Finish(GpuStream& gpu) {
  const Status status = gpu.Synchronize();
  EXPECT_TRUE(status.ok()) << status.message();
}

// What is in a GPU's memory when all before is done.
template <typename T>
std::vector<T> Fetch(GpuStream& gpu, const T* from, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  if (count > 0) gpu.Download(values.data(), from, count * static_cast<int64_t>(sizeof(T)));
  Finish(gpu);
  return values;
}

// An array in a GPU's memory, exactly as long as it says, as sanitizers of either GPU see. The GPU
// outlives it. Everything waits until it is done; what fails fails the test.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(GpuStream& gpu, const T* values, int64_t count)
      : gpu_(&gpu),
        count_(count),
        data_(static_cast<T*>(gpu.Allocate(std::max<int64_t>(1, bytes())))) {
    EXPECT_NE(data_, nullptr) << "no memory for " << bytes() << " bytes";
    Upload(values);
  }
  DeviceArray(GpuStream& gpu, const std::vector<T>& values)
      : DeviceArray(gpu, values.data(), static_cast<int64_t>(values.size())) {}
  DeviceArray(DeviceArray&& other) noexcept { Swap(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~DeviceArray() {
    if (data_ != nullptr) gpu_->Free(data_);
  }

  T* data() const { return data_; }
  int64_t count() const { return count_; }
  // As many as there are.
  void Write(const std::vector<T>& values) {
    ASSERT_EQ(static_cast<int64_t>(values.size()), count_);
    Upload(values.data());
  }
  std::vector<T> Read() const { return Fetch(*gpu_, data_, count_); }

 private:
  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(T)); }
  void Swap(DeviceArray& other) {
    std::swap(gpu_, other.gpu_);
    std::swap(count_, other.count_);
    std::swap(data_, other.data_);
  }
  void Upload(const T* values) {
    if (count_ == 0 || data_ == nullptr) return;
    gpu_->Upload(data_, values, bytes());
    Finish(*gpu_);
  }

  GpuStream* gpu_ = nullptr;
  int64_t count_ = 0;
  T* data_ = nullptr;
};

}  // namespace mla
#endif  // MLA_CUDA_GPU_TESTING_H_
