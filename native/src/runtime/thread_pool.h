// One pool of workers for the process. A step of the decoder runs as one parallel region: every member of the team
// executes the same function and they meet at barriers, so a step costs one wake-up and not one per operation.
#ifndef MLA_RUNTIME_THREAD_POOL_H_
#define MLA_RUNTIME_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

namespace mla {

// The members of one running region. Every member must make the same calls in the same order.
class Team {
 public:
  int size() const;
  // Meets all members. Memory written before is visible after.
  void Barrier();
  // fn(begin, end) over disjoint ranges that cover [0, n), each at most `grain` long and starting at its multiple; ranges go to whoever is
  // free. Ends with a barrier. Results must not depend on who ran what.
  template <typename Fn>
  void Each(int64_t n, int64_t grain, Fn&& fn);
  // fn() on one member, then a barrier.
  template <typename Fn>
  void Single(Fn&& fn);
};

class ThreadPool {
 public:
  static ThreadPool& Shared();
  // All cores that the process may use (affinity and cgroup quota respected).
  static int DefaultThreads();
  // Runs region(team, member) on `threads` members, the caller among them, and returns when all are done. Regions of
  // several callers run one after the other, in order of arrival.
  void Run(int threads, const std::function<void(Team&, int member)>& region);
};

}  // namespace mla
#endif  // MLA_RUNTIME_THREAD_POOL_H_
