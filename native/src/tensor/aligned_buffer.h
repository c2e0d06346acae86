// Owned memory for vectors of any type, aligned for every instruction set.
#ifndef MLA_TENSOR_ALIGNED_BUFFER_H_
#define MLA_TENSOR_ALIGNED_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace mla {

// Uninitialized bytes at a 64-byte boundary. Throws std::bad_alloc.
class AlignedBuffer {
 public:
  static constexpr size_t kAlignment = 64;

  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t bytes)
      : bytes_(bytes),
        data_(static_cast<uint8_t*>(::operator new(static_cast<size_t>(bytes > 0 ? bytes : 1),
                                                   std::align_val_t(kAlignment)))) {}

  uint8_t* data() const { return data_.get(); }
  float* floats() const { return reinterpret_cast<float*>(data_.get()); }
  int64_t size() const { return bytes_; }

 private:
  struct Free {
    void operator()(uint8_t* p) const { ::operator delete(p, std::align_val_t(kAlignment)); }
  };
  int64_t bytes_ = 0;
  std::unique_ptr<uint8_t, Free> data_;
};

}  // namespace mla
#endif  // MLA_TENSOR_ALIGNED_BUFFER_H_
