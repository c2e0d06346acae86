// Pages on a GPU that are full of noise from the start: zeros are no measure, a GPU multiplies them
// with less power and so at a higher clock.
#ifndef MLA_GPU_BENCH_NOISE_MEMORY_H_
#define MLA_GPU_BENCH_NOISE_MEMORY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cache/gpu_page_memory.h"
#include "cuda/gpu_stream.h"

namespace mla {

// Read as halves or floats the noise is finite, at most 1 and at least 1/8, of either sign: of any
// type's rows and scales something that can be computed with.
class NoiseMemory final : public PageMemory {
 public:
  explicit NoiseMemory(std::shared_ptr<GpuStream> stream);
  ~NoiseMemory() override;
  NoiseMemory(const NoiseMemory&) = delete;
  NoiseMemory& operator=(const NoiseMemory&) = delete;

  uint8_t* Allocate(int64_t bytes) override;
  void Free(uint8_t* memory) override { pages_.Free(memory); }
  void Copy(uint8_t* to, const uint8_t* from, int64_t bytes) override {
    pages_.Copy(to, from, bytes);
  }
  void Upload(uint8_t* to, const void* from, int64_t bytes) override {
    pages_.Upload(to, from, bytes);
  }
  Status Read(const std::vector<Span>& pages,
              const std::function<void(const uint8_t*, int64_t)>& visit) override {
    return pages_.Read(pages, visit);
  }
  Status Fill(const std::vector<Span>& pages,
              const std::function<void(uint8_t*, int64_t)>& fill) override {
    return pages_.Fill(pages, fill);
  }

 private:
  const std::shared_ptr<GpuStream> stream_;
  GpuPageMemory pages_;
  uint8_t* noise_ = nullptr;  // null: there was no memory, so that there are no pages either
  int64_t next_ = 0;          // where in it the next page begins
};

}  // namespace mla
#endif  // MLA_GPU_BENCH_NOISE_MEMORY_H_
