// Whether other programs keep a team's members from running, by how long they slept in regions.
#ifndef MLA_RUNTIME_CROWDING_H_
#define MLA_RUNTIME_CROWDING_H_

#include <algorithm>
#include <cstdint>

namespace mla {

// After two regions in a row whose members slept an eighth of their time, waiting for others, until
// regions have taken so long without that. Single-threaded.
class Crowding {
 public:
  static constexpr int64_t kNanos = 100'000'000;
  // To wake a thread takes some tens of microseconds, which are no other program's.
  static constexpr int64_t kLeastNanos = 200'000;

  bool crowded() const { return left_ > 0; }
  // After a region of so many members that took so long: what all of them slept.
  void Note(int64_t lost_nanos, int64_t nanos, int members) {
    const bool lost = lost_nanos > kLeastNanos && lost_nanos > nanos / 8 * members;
    if (lost && (lost_before_ || crowded())) {
      left_ = kNanos;
    } else {
      left_ -= std::min(left_, nanos);
    }
    lost_before_ = lost;
  }

 private:
  bool lost_before_ = false;
  int64_t left_ = 0;
};

}  // namespace mla
#endif  // MLA_RUNTIME_CROWDING_H_
