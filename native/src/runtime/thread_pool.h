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

#include "runtime/sleeping_word.h"

namespace mla {

// From now on the calling thread adds the nanoseconds that it waits at its teams' barriers to
// *nanos; null: no longer. Costs a branch a barrier where nothing is counted.
void CountWaits(int64_t* nanos);

// The members of one running region. Every member must make the same calls in the same order, and
// all of them must return from the region: no exception may leave it, so what can fail (allocation
// above all) is done before.
class Team {
 public:
  int size() const { return size_; }
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
    for (;;) {
      const int64_t begin = next_.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) break;
      fn(begin, std::min(n, begin + grain));
    }
    Meet();
  }
  // The same in ranges that shrink, from a part of all that is left to `least` (guided
  // self-scheduling, Polychronopoulos and Kuck 1987): few of them, and yet members of unequal speed
  // end together. Ranges start at multiples of `least`.
  template <typename Fn>
  void EachGuided(int64_t n, int64_t least, Fn&& fn) {
    assert(least > 0);
    if (size_ == 1) {
      if (n > 0) fn(int64_t{0}, n);
      return;
    }
    const auto range = [&](int64_t begin) {
      const int64_t share = (n - begin) / (2 * size_) / least * least;
      return std::min(n - begin, std::max(least, share));
    };
    int64_t begin = 0;
    for (int64_t index = 0;; ++index) {
      const int64_t mine = next_.fetch_add(1, std::memory_order_relaxed);
      for (; index < mine && begin < n; ++index) begin += range(begin);
      if (begin >= n) break;
      const int64_t end = begin + range(begin);
      fn(begin, end);
      begin = end;
    }
    Meet();
  }
  // fn() on one member, the first to come, then a barrier.
  template <typename Fn>
  void Single(Fn&& fn) {
    if (size_ == 1) {
      fn();
      return;
    }
    if (next_.fetch_add(1, std::memory_order_relaxed) == 0) fn();
    Meet();
  }

 private:
  friend class ThreadPool;
  Team() = default;
  void Meet();
  void Arrive();
  // Returns when `word` is no longer `old`.
  void Await(SleepingWord& word, uint32_t old);

  int size_ = 1;
  // False where members outnumber the cores: a spinning one would keep another from running.
  bool spin_ = true;
  // Waits that ended in sleep since the last spin that paid. Where other programs keep the members
  // from running side by side they all do, and spinning only takes the processor from the member
  // that is waited for.
  std::atomic<uint32_t> missed_{0};
  // What is still to be given out: the first index of Each, the number of EachGuided's range, or
  // whether Single was taken. Zero
  // whenever all members are between two calls: the last one to reach a barrier clears it.
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) SleepingWord phase_;  // barriers passed
};

// Idle workers sleep; they spin for some tens of microseconds first, since the next step of a
// running decode usually comes within that time. The pool grows to the largest team asked for and
// lives until the process ends.
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
  void Run(int threads, const std::function<void(Team&, int member)>& region);

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  struct State;
  ThreadPool();
  std::atomic<State*> state_;
};

}  // namespace mla
#endif  // MLA_RUNTIME_THREAD_POOL_H_
