// A cache's page, shared by the caches that were forked from one another.
#ifndef MLA_CACHE_PAGE_H_
#define MLA_CACHE_PAGE_H_

#include <atomic>
#include <cstdint>
#include <new>
#include <utility>

#include "cache/page_memory.h"

namespace mla {

// A counted reference to memory of a PageMemory that outlives it. References to one page may be
// copied and dropped in different threads, each reference by one at a time. Whoever writes makes
// sure before that nobody else has the page.
class Page {
 public:
  Page() = default;
  Page(const Page& other) : data_(other.data_), owner_(other.owner_) {
    if (owner_ != nullptr) owner_->users.fetch_add(1, std::memory_order_relaxed);
  }
  Page(Page&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), owner_(std::exchange(other.owner_, nullptr)) {}
  Page& operator=(Page other) noexcept {
    std::swap(data_, other.data_);
    std::swap(owner_, other.owner_);
    return *this;
  }
  ~Page() {
    if (owner_ != nullptr && owner_->users.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      owner_->memory.Free(data_);
      delete owner_;
    }
  }

  // A new page of zeros; empty where there is no memory.
  static Page Allocate(PageMemory& memory, int64_t bytes) {
    Page page;
    uint8_t* data = memory.Allocate(bytes);
    if (data == nullptr) return page;
    page.owner_ = new (std::nothrow) Owner{1, memory};
    if (page.owner_ == nullptr) {
      memory.Free(data);
    } else {
      page.data_ = data;
    }
    return page;
  }

  explicit operator bool() const { return data_ != nullptr; }
  uint8_t* get() const { return data_; }
  // What another thread read of the page before it dropped it was read before this says no.
  bool IsShared() const { return owner_->users.load(std::memory_order_acquire) > 1; }

 private:
  // The host's, wherever the page is.
  struct Owner {
    std::atomic<int32_t> users;
    PageMemory& memory;
  };

  uint8_t* data_ = nullptr;
  Owner* owner_ = nullptr;
};

}  // namespace mla
#endif  // MLA_CACHE_PAGE_H_
