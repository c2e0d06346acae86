// Areas of one piece of memory, one after the other: handed out twice, first to count them.
#ifndef MLA_GRAPH_ARENA_H_
#define MLA_GRAPH_ARENA_H_

#include <cstdint>

namespace mla {

class Arena {
 public:
  // Null: only counts, and hands out null.
  Arena(uint8_t* base, int64_t alignment) : base_(base), alignment_(alignment) {}

  uint8_t* Take(int64_t bytes) {
    uint8_t* out = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + alignment_ - 1) / alignment_ * alignment_;
    return out;
  }
  float* Floats(int64_t count) { return reinterpret_cast<float*>(Take(count * 4)); }
  int64_t used() const { return used_; }

 private:
  uint8_t* base_;
  int64_t alignment_;
  int64_t used_ = 0;
};

}  // namespace mla
#endif  // MLA_GRAPH_ARENA_H_
