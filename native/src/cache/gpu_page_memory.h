// Pages in a GPU's memory.
#ifndef MLA_CACHE_GPU_PAGE_MEMORY_H_
#define MLA_CACHE_GPU_PAGE_MEMORY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "cache/page_memory.h"
#include "cuda/gpu_stream.h"

namespace mla {

// Pages of one size are cut from slabs: the GPU's own allocation is slow, and waits. A page that
// was given back is used again without waiting, since what used it before comes before in the
// stream. So whoever drops a page has enqueued everything that uses it, and all of that on this
// stream.
class GpuPageMemory final : public PageMemory {
 public:
  explicit GpuPageMemory(std::shared_ptr<GpuStream> stream);
  // Waits for the stream. By whoever may use it.
  ~GpuPageMemory() override;

  uint8_t* Allocate(int64_t bytes) override;
  void Free(uint8_t* memory) override;
  void Copy(uint8_t* to, const uint8_t* from, int64_t bytes) override;
  void Upload(uint8_t* to, const void* from, int64_t bytes) override;
  // Both wait, and hold a few MiB of the host's memory meanwhile, or a page where that is more.
  Status Read(const std::vector<Span>& pages,
              const std::function<void(const uint8_t*, int64_t)>& visit) override;
  Status Fill(const std::vector<Span>& pages,
              const std::function<void(uint8_t*, int64_t)>& fill) override;

  // Gives slabs of no page in use back to the GPU. Allocate does so before it fails.
  void ReleaseUnused();
  int64_t slab_bytes() const;  // the GPU's memory that this holds

 private:
  struct Slab {
    uint8_t* begin;
    int64_t page_bytes;
    int64_t pages;
    int64_t cut = 0;  // pages from here on were never used, and are zeros
    std::vector<uint8_t*> returned;

    int64_t used() const { return cut - static_cast<int64_t>(returned.size()); }
    bool full() const { return used() == pages; }
  };
  struct Pool {  // of one size
    int64_t pages = 0;
    std::vector<Slab*> open;  // that are not full
  };

  Slab* AddSlab(int64_t page_bytes, Pool& pool);
  void ReleaseUnusedLocked();

  const std::shared_ptr<GpuStream> stream_;
  mutable std::mutex mutex_;  // of everything below
  std::map<const uint8_t*, Slab> slabs_;
  std::map<int64_t, Pool> pools_;
};

}  // namespace mla
#endif  // MLA_CACHE_GPU_PAGE_MEMORY_H_
