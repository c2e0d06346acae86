// Where the pages of caches lie: in the host's memory, or in a GPU's (gpu_page_memory.h). What is
// in them is the same to the byte.
#ifndef MLA_CACHE_PAGE_MEMORY_H_
#define MLA_CACHE_PAGE_MEMORY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tensor/status.h"

namespace mla {

// Of all caches that share it; it outlives their pages. Free may be called by any thread, the rest
// by whoever may use what the memory belongs to (a GPU's stream).
class PageMemory {
 public:
  struct Span {
    uint8_t* data;
    int64_t bytes;
  };

  virtual ~PageMemory() = default;

  // Zeros, so that what no token has filled is the same in every run and every saved file. Aligned
  // to 64 bytes; null: there is no memory.
  virtual uint8_t* Allocate(int64_t bytes) = 0;
  virtual void Free(uint8_t* memory) = 0;
  virtual void Copy(uint8_t* to, const uint8_t* from, int64_t bytes) = 0;
  // From the host's own memory, which stays as it is until the GPU's stream is synchronized.
  virtual void Upload(uint8_t* to, const void* from, int64_t bytes) = 0;

  // What is in pages, one after the other, in memory that the host can read or write while it is
  // shown it. Errors: the GPU's.
  virtual Status Read(const std::vector<Span>& pages,
                      const std::function<void(const uint8_t* page, int64_t bytes)>& visit) = 0;
  virtual Status Fill(const std::vector<Span>& pages,
                      const std::function<void(uint8_t* page, int64_t bytes)>& fill) = 0;
};

std::shared_ptr<PageMemory> HostMemory();

}  // namespace mla
#endif  // MLA_CACHE_PAGE_MEMORY_H_
