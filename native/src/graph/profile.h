// Where a decoder's time goes: by operation, and how long its threads wait for one another.
#ifndef MLA_GRAPH_PROFILE_H_
#define MLA_GRAPH_PROFILE_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "graph/operation.h"
#include "graph/step_work.h"

namespace mla {

// Allocates nothing once it is made. Members of a running step may call what takes a member, each
// for itself; everything else is for when no step runs.
class Profile {
 public:
  // `threads`: members of a team at most.
  explicit Profile(int32_t threads) : team_(static_cast<size_t>(threads)) {}

  // A member's part in a step; what it does outside of it is not counted.
  class Part {
   public:
    // profile may be null: nothing happens then.
    Part(Profile* profile, int members, int member);
    ~Part();
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;

   private:
    Profile* const profile_;
    const int member_;
  };
  // A call of the decoder by its caller's clock, which waking the team is part of.
  class Call {
   public:
    explicit Call(Profile* profile);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Profile* const profile_;
    const std::chrono::steady_clock::time_point begin_;
  };

  // A call that is one operation, all of it by its caller's clock.
  class Alone {
   public:
    Alone(Profile* profile, Operation operation);
    ~Alone();
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;

   private:
    Profile* const profile_;
    const Operation operation_;
    const std::chrono::steady_clock::time_point begin_;
  };

  // What this member does from now on, to its next call or the end of its part.
  void Begin(Operation operation, int member);
  // A step is done that appended n tokens.
  void CountStep(const OperationWork& work, int32_t n);

  struct Row {
    double seconds = 0;          // at work: the mean of the members
    double waiting_seconds = 0;  // at the operation's barriers: the mean of the members
    Work work;                   // what had to be done
  };
  Row row(Operation operation) const;
  // Of all calls.
  double seconds() const { return std::chrono::duration<double>(calls_).count(); }
  int64_t tokens() const { return tokens_; }
  int64_t steps() const { return steps_; }
  int32_t members() const { return members_; }  // of the last step's team

 private:
  using Clock = std::chrono::steady_clock;
  // A cache line's beginning each, so that members do not disturb one another.
  struct alignas(64) Member {
    Clock::time_point since;
    size_t operation = 0;
    int64_t waited = 0;  // nanoseconds since then
    std::array<int64_t, kOperations> working{}, waiting{};
  };
  static void End(Member& member, Clock::time_point now);

  std::vector<Member> team_;
  std::array<std::chrono::nanoseconds, kOperations> alone_{};
  OperationWork work_{};
  std::chrono::nanoseconds calls_{0};
  int64_t tokens_ = 0, steps_ = 0;
  int32_t members_ = 1;
};

}  // namespace mla
#endif  // MLA_GRAPH_PROFILE_H_
