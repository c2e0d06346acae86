// Where the tokens go that a GPU chooses for one sequence.
#ifndef MLA_GRAPH_GPU_CHOICES_H_
#define MLA_GRAPH_GPU_CHOICES_H_

#include <array>
#include <cstdint>
#include <memory>

#include "cuda/gpu_stream.h"
#include "kernels/sampling/choice.h"
#include "tensor/status.h"

namespace mla {

// Two places, of the last step and of one that may be under way, in turns.
class GpuChoices {
 public:
  // The stream outlives it. MLA_OUT_OF_MEMORY.
  static Result<std::unique_ptr<GpuChoices>> Create(GpuStream& stream, int32_t vocabulary);
  // Waits for the stream.
  ~GpuChoices();
  GpuChoices(const GpuChoices&) = delete;
  GpuChoices& operator=(const GpuChoices&) = delete;

  struct Place {
    float* logits;                  // [vocabulary], the GPU's
    Choice* chosen;                 // the GPU's
    Choice* arrived;                // the host's, when `done` was waited for
    std::unique_ptr<GpuMark> done;  // behind the step and the download
  };
  Place& last() { return places_[turn_]; }
  Place& next() { return places_[1 - turn_]; }
  // The next one is the last now.
  void Turn() { turn_ = 1 - turn_; }

  int64_t bytes() const { return bytes_; }

 private:
  explicit GpuChoices(GpuStream& stream) : stream_(stream) {}

  GpuStream& stream_;
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
  void* arrived_ = nullptr;
  std::array<Place, 2> places_ = {};
  size_t turn_ = 0;
};

}  // namespace mla
#endif  // MLA_GRAPH_GPU_CHOICES_H_
