// One pool of workers for the process. A step of the decoder runs as one parallel region: every
// member of the team executes the same function and they meet at barriers, so a step costs one
// wake-up and not one per operation.
#ifndef MLA_RUNTIME_THREAD_POOL_H_
#define MLA_RUNTIME_THREAD_POOL_H_

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/sleeping_word.h"

namespace mla {

// From now on the calling thread adds the nanoseconds that it waits at its teams' barriers to
// *nanos; null: no longer. Costs a branch a barrier where nothing is counted.
void CountWaits(int64_t* nanos);

// Whether a region's members meet after every call.
enum class Meetings {
  kOfAll,
  // As that, but while other programs keep members from running the team is loose (Team::loose).
  kOfThoseThere
};

// The members of one running region. Every member must make the same calls in the same order, and
// all of them must return from the region: no exception may leave it, so what can fail (allocation
// above all) is done before.
class Team {
 public:
  int size() const { return size_; }
  // A loose team waits for work, not for members: Each and EachFromOwn end when all that they
  // share out is done, and a member that was not running meanwhile passes over them when it
  // comes. So between calls it may read only what no later call of the region writes.
  bool loose() const { return loose_; }
  // Meets all members. Memory written before is visible after.
  void Barrier() {
    if (size_ > 1) Meet();
  }
  // fn(begin, end) over disjoint ranges that cover [0, n), each at most `grain` long and starting
  // at its multiple; ranges go to whoever is free. Ends with a barrier. Results must not depend on
  // who ran what.
  template <typename Fn>
  void Each(int64_t n, int64_t grain, Fn&& fn) {
    assert(grain > 0);
    if (size_ == 1) {
      for (int64_t begin = 0; begin < n; begin += grain) fn(begin, std::min(n, begin + grain));
      return;
    }
    if (Passes(n)) return;
    int64_t done = 0;
    for (int64_t begin; TakeNext(n, grain, &begin);) {
      const int64_t end = std::min(n, begin + grain);
      fn(begin, end);
      done += end - begin;
    }
    End(done, n);
  }
  // The same in ranges that shrink. Each member has a part of its own, the same one in every call
  // like this, and takes half of what is left of it at a time, from its beginning; then from the
  // ends of others' parts, so that members of unequal speed end together (work stealing, Blumofe
  // and Leiserson 1999). Claims thus stay in a member's own cache, and neighbouring ranges with one
  // member. Ranges start at multiples of `least`. A member that had any calls finish() after its
  // last.
  template <typename Fn, typename Finish = void (*)()>
  void EachFromOwn(
      int member, int64_t n, int64_t least, Fn&& fn, Finish&& finish = [] {}) {
    assert(least > 0);
    if (size_ == 1) {
      if (n <= 0) return;
      fn(int64_t{0}, n);
      finish();
      return;
    }
    if (Passes(n)) return;
    const Pieces pieces(n, least, loose_ ? OwnCall() : phase_.Load());
    int64_t done = 0;
    for (int i = 0; i < size_; ++i) {
      const int owner = member + i < size_ ? member + i : member + i - size_;
      for (Pieces::Range range; Claim(pieces, owner, owner == member, &range);) {
        fn(range.begin * pieces.length, std::min(n, range.end * pieces.length));
        done += range.end - range.begin;
      }
    }
    if (done > 0) finish();
    End(done, pieces.count);
  }

 private:
  friend class ThreadPool;

  // What EachFromOwn shares out: pieces of `length`, few enough that two of their numbers and the
  // call's own fit one word.
  struct Pieces {
    static constexpr int kBits = 20;
    static constexpr uint64_t kMost = (uint64_t{1} << kBits) - 1;
    // A part that was last claimed from in another call counts as whole. Calls repeat their number
    // after so many barriers; long before, parts are cleared (ClearParts).
    static constexpr uint32_t kCalls = uint32_t{1} << (64 - 2 * kBits);

    struct Range {
      int64_t begin, end;
    };

    Pieces(int64_t n, int64_t least, uint32_t phase) : call(phase % kCalls) {
      const int64_t most = static_cast<int64_t>(kMost);
      length = least * std::max(int64_t{1}, ((n + least - 1) / least + most - 1) / most);
      count = (n + length - 1) / length;
    }
    uint64_t Word(Range left) const {
      return (uint64_t{call} << (2 * kBits)) | (static_cast<uint64_t>(left.begin) << kBits) |
             static_cast<uint64_t>(left.end);
    }
    Range Left(uint64_t word, int owner, int members) const {
      const uint32_t of = static_cast<uint32_t>(word >> (2 * kBits));
      if (of != call) {
        // Who is late for a loose team's call finds that of a later one.
        if ((of - call) % kCalls < kCalls / 2) return {0, 0};
        return {count * owner / members, count * (owner + 1) / members};
      }
      return {static_cast<int64_t>((word >> kBits) & kMost), static_cast<int64_t>(word & kMost)};
    }

    uint32_t call;
    int64_t length, count;
  };
  struct Part {
    alignas(64) std::atomic<uint64_t> left{0};  // Pieces::Word
  };

  Team() = default;
  void ClearParts();  // not while a region runs
  // Half of what is left of the owner's part: its first half, or for others the second.
  bool Claim(const Pieces& pieces, int owner, bool own, Pieces::Range* range) {
    std::atomic<uint64_t>& word = parts_[static_cast<size_t>(owner)].left;
    uint64_t before = word.load(std::memory_order_relaxed);
    for (;;) {
      const Pieces::Range left = pieces.Left(before, owner, size_);
      if (left.begin >= left.end) return false;
      const int64_t half = (left.end - left.begin + 1) / 2;
      *range = own ? Pieces::Range{left.begin, left.begin + half}
                   : Pieces::Range{left.end - half, left.end};
      const Pieces::Range rest =
          own ? Pieces::Range{range->end, left.end} : Pieces::Range{left.begin, range->begin};
      if (word.compare_exchange_weak(before, pieces.Word(rest), std::memory_order_relaxed)) {
        return true;
      }
    }
  }
  // Whether this member has nothing to do with its next call, on n: a loose team's that has ended,
  // or that shares out nothing.
  bool Passes(int64_t n) {
    if (!loose_) return false;
    if (n <= 0) return true;
    if (phase_.Load() == OwnCall()) return false;
    ++OwnCall();
    return true;
  }
  bool TakeNext(int64_t n, int64_t grain, int64_t* begin) {
    if (!loose_) {
      *begin = next_.fetch_add(grain, std::memory_order_relaxed);
      return *begin < n;
    }
    const int64_t first = FirstOf(OwnCall());
    int64_t before = next_.load(std::memory_order_relaxed);
    do {
      *begin = before - first;
      if (*begin < 0 || *begin >= n) return false;
    } while (!next_.compare_exchange_weak(before, before + grain, std::memory_order_relaxed));
    return true;
  }
  // Where a loose team's calls begin to count in next_: far from each other.
  static int64_t FirstOf(uint32_t call) {
    return static_cast<int64_t>(call % (uint32_t{1} << 22)) << 41;
  }
  // After `done` of the call's `total`.
  void End(int64_t done, int64_t total) { loose_ ? Complete(done, total) : Meet(); }
  void Complete(int64_t done, int64_t total);
  // Of a loose team: the number of the calling member's next call.
  static uint32_t& OwnCall();
  void Meet();
  void Arrive();
  // Returns when `word` is no longer `old`.
  void Await(SleepingWord& word, uint32_t old);

  int size_ = 1;
  bool loose_ = false;
  uint32_t first_call_ = 0;             // phase_ when the region began
  std::atomic<int64_t> lost_nanos_{0};  // slept by members that waited for others
  // False where members outnumber the cores: a spinning one would keep another from running.
  bool spin_ = true;
  // Waits that ended in sleep since the last spin that paid. Where other programs keep the members
  // from running side by side they all do, and spinning only takes the processor from the member
  // that is waited for.
  std::atomic<uint32_t> missed_{0};
  // What Each is still to give out: its first index, of a loose team counted from FirstOf(call).
  // Who ends a call sets it for the next one.
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint32_t> arrived_{0};
  std::atomic<int64_t> done_{0};    // of a loose team's call
  alignas(64) SleepingWord phase_;  // barriers passed
  std::vector<Part> parts_;         // of members
  uint32_t parts_cleared_ = 0;      // phase_ when they were
};

// Idle workers sleep; they spin for some tens of microseconds first, since the next step of a
// running decode usually comes within that time. The pool grows to the largest team asked for and
// lives until the process ends. Where the machine has several memory nodes, workers run on the
// cores of their own (memory_nodes.h); callers stay where they are.
class ThreadPool {
 public:
  // Never destroyed, so that threads which still run while the process exits find it. In the child
  // of a fork it starts anew, without workers.
  static ThreadPool& Shared();
  // All cores that the process may use (affinity and cgroup quota respected).
  static int DefaultThreads();
  // Runs region(team, member) on `threads` members, the caller among them as member 0, and returns
  // when all are done; on fewer where the system refuses more threads (team.size() tells). Regions
  // of several callers run one after the other, in order of arrival; a region of one thread needs
  // no worker and waits for nobody. Any thread may call, except from inside a region.
  void Run(int threads, const std::function<void(Team&, int member)>& region,
           Meetings meetings = Meetings::kOfAll);
  // For tests: all teams that may be loose are, or as it is found.
  void LoosenTeams(bool always);

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  struct State;
  ThreadPool();
  std::atomic<State*> state_;
};

}  // namespace mla
#endif  // MLA_RUNTIME_THREAD_POOL_H_
