// One queue of a GPU's work, with the memory that it works on: what the launchers of kernels and
// the decoder on the GPU need, whether the GPU is real (cuda_stream.h) or emulated in tests.
#ifndef MLA_CUDA_GPU_STREAM_H_
#define MLA_CUDA_GPU_STREAM_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "tensor/status.h"

namespace mla {

// Of what Allocate gives, in bytes.
inline constexpr int64_t kGpuAlignment = 256;

// Launches that were recorded once, to be repeated at the cost of one. Their arguments are those of
// the recording; what changes from one repetition to the next lies in the GPU's memory.
class GpuRecording {
 public:
  virtual ~GpuRecording() = default;
};

// A place in the order of a stream's work.
class GpuMark {
 public:
  virtual ~GpuMark() = default;
  // After what was asked of the stream so far, and no longer where it was.
  virtual void Set() = 0;
  // Until what comes before is done; at once where it was never set. By any thread, while no other
  // one sets it. What went wrong, the stream knows.
  virtual void Wait() = 0;
};

// Everything here is done in the order of the calls and, but for Synchronize, without waiting. Not
// thread-safe. An error stays with the stream: later work is void, and Synchronize says so.
class GpuStream {
 public:
  virtual ~GpuStream() = default;

  // Device memory of no particular content, aligned to kGpuAlignment; null: there is none left.
  virtual void* Allocate(int64_t bytes) = 0;
  // Waits for what was asked for before. Null is allowed.
  virtual void Free(void* memory) = 0;

  // The host's memory that copies need not wait for, nor for which they wait; 64-byte aligned.
  // Null: there is none left.
  virtual void* AllocateHost(int64_t bytes) = 0;
  // Nothing that was asked for still uses it. Null is allowed.
  virtual void FreeHost(void* memory) = 0;

  // The host's memory must stay as it is until the stream is synchronized, or a mark behind was
  // waited for.
  virtual void Upload(void* to, const void* from, int64_t bytes) = 0;
  virtual void Download(void* to, const void* from, int64_t bytes) = 0;
  virtual void Copy(void* to, const void* from, int64_t bytes) = 0;
  virtual void Zero(void* memory, int64_t bytes) = 0;

  // Calls `launches`, whose launches and copies on the stream are recorded and not done.
  virtual Result<std::unique_ptr<GpuRecording>> Record(const std::function<void()>& launches) = 0;
  virtual void Replay(const GpuRecording& recording) = 0;

  // Null: the GPU has none left.
  virtual std::unique_ptr<GpuMark> NewMark() = 0;

  // Waits for everything. Errors: what the GPU reported since the last call.
  virtual Status Synchronize() = 0;
  // The errors alone, of what was waited for by marks.
  virtual Status TakeErrors() = 0;

  // How many blocks of threads run side by side, at one a processor.
  virtual int processors() const = 0;
  // Shared memory that a block may have.
  virtual int shared_bytes() const = 0;
  // Whether groups of warps multiply: code for sm_90a, which is compute capability 9.0 alone.
  virtual bool has_group_mma() const { return false; }
  // Whether memory is copied to shared memory in bulk: compute capability 9.0 and later.
  virtual bool has_bulk_copies() const { return false; }
  // Whether a launch may begin while the one before it ends (WaitForEarlier of simt.h).
  virtual bool starts_early() const { return false; }
  // What the launchers launch on.
  virtual void* native() = 0;
};

}  // namespace mla
#endif  // MLA_CUDA_GPU_STREAM_H_
