// For the kernels' tests: memory that ends where the next byte is not readable, so that a read past
// the end is a crash in every build and not only under a sanitizer.
#ifndef MLA_KERNELS_GUARD_TESTING_H_
#define MLA_KERNELS_GUARD_TESTING_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace mla {

// `size` elements of T, the last one against a guard page, or as close to it as `alignment` bytes
// allow.
template <typename T>
class Guarded {
 public:
  explicit Guarded(int64_t size, int64_t alignment = alignof(T)) : size_(size) {
    const int64_t page = sysconf(_SC_PAGESIZE);
    const int64_t bytes = size * static_cast<int64_t>(sizeof(T));
    const int64_t rounded = (bytes + alignment - 1) / alignment * alignment;
    const int64_t data_pages = (rounded + page - 1) / page;
    mapped_ = (data_pages + 1) * page;
    void* base = mmap(nullptr, static_cast<size_t>(mapped_), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) std::abort();
    base_ = static_cast<uint8_t*>(base);
    uint8_t* end = base_ + data_pages * page;
    if (mprotect(end, static_cast<size_t>(page), PROT_NONE) != 0) std::abort();
    data_ = reinterpret_cast<T*>(end - rounded);
  }
  ~Guarded() { munmap(base_, static_cast<size_t>(mapped_)); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }

 private:
  uint8_t* base_;
  int64_t mapped_, size_;
  T* data_;
};

}  // namespace mla
#endif  // MLA_KERNELS_GUARD_TESTING_H_
