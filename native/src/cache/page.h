// Memory of a cache's page, shared by the caches that were forked from one another.
#ifndef MLA_CACHE_PAGE_H_
#define MLA_CACHE_PAGE_H_

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace mla {

// A counted reference. References to one page may be copied and dropped in different threads, each
// reference by one at a time. Whoever writes makes sure before that nobody else has the page.
class Page {
 public:
  Page() = default;
  Page(const Page& other) : data_(other.data_) {
    if (data_ != nullptr) users().fetch_add(1, std::memory_order_relaxed);
  }
  Page(Page&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  Page& operator=(Page other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~Page() {
    if (data_ != nullptr && users().fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::free(data_ - kHeaderBytes);
    }
  }

  // A new page, aligned to 64 bytes; empty where there is no memory. Zeros, so that what no token
  // has filled is the same in every run and every saved file.
  static Page Allocate(int64_t bytes) {
    const int64_t rounded = (bytes + kHeaderBytes - 1) / kHeaderBytes * kHeaderBytes;
    const size_t size = static_cast<size_t>(kHeaderBytes + rounded);
    auto* memory = static_cast<uint8_t*>(std::aligned_alloc(kHeaderBytes, size));
    Page page;
    if (memory == nullptr) return page;
    std::memset(memory, 0, size);
    new (memory) Counter(1);
    page.data_ = memory + kHeaderBytes;
    return page;
  }

  explicit operator bool() const { return data_ != nullptr; }
  uint8_t* get() const { return data_; }
  // What another thread read of the page before it dropped it was read before this says no.
  bool IsShared() const { return users().load(std::memory_order_acquire) > 1; }

 private:
  using Counter = std::atomic<int32_t>;
  static constexpr int64_t kHeaderBytes = 64;

  Counter& users() const { return *std::launder(reinterpret_cast<Counter*>(data_ - kHeaderBytes)); }

  uint8_t* data_ = nullptr;
};

}  // namespace mla
#endif  // MLA_CACHE_PAGE_H_
