#include "runtime/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/cpu_limit.h"
#include "runtime/crowding.h"
#include "runtime/memory_nodes.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif

namespace mla {
namespace {

// Longer than the imbalance of one operation, much shorter than a time slice.
constexpr std::chrono::microseconds kSpin{50};
// After so many waits in a row that spinning did not shorten, only one in kProbe still spins, to
// find out whether the machine has become free.
constexpr uint32_t kPatience = 4;
constexpr uint32_t kProbe = 32;

void Relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

using Clock = std::chrono::steady_clock;

int64_t NanosSince(Clock::time_point begin) {
  return std::chrono::nanoseconds(Clock::now() - begin).count();
}

// Returns when `word` is no longer `old`, and how many nanoseconds it slept; 0: spinning was
// enough.
int64_t AwaitChange(SleepingWord& word, uint32_t old, bool spin) {
  if (spin) {
    Clock::time_point end{};
    for (uint32_t polls = 1;; ++polls) {
      if (word.Load() != old) return 0;
      Relax();
      if (polls % 32 != 0) continue;
      const auto now = Clock::now();
      if (polls == 32) {
        end = now + kSpin;
      } else if (now >= end) {
        break;
      }
    }
  }
  if (word.Load() != old) return 0;
  const Clock::time_point begin = Clock::now();
  word.Sleep(old);
  return std::max<int64_t>(1, NanosSince(begin));
}

// Blocks what the process handles elsewhere while a worker is created, which inherits the mask.
// Faults stay open: a blocked one would end the process without the JVM's crash report.
class SignalsBlocked {
 public:
#if defined(__unix__) || defined(__APPLE__)
  SignalsBlocked() {
    sigset_t set;
    sigfillset(&set);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGPROF}) {
      sigdelset(&set, fault);
    }
    pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
#else
  SignalsBlocked() {}
#endif
};

// True in workers, and in a caller while its region runs.
thread_local bool inside_region = false;

thread_local int64_t* waited_nanos = nullptr;

thread_local uint32_t own_call = 0;

// Calls wait(), whose time counts where waits are counted.
template <typename Wait>
void Counted(const Wait& wait) {
  if (waited_nanos == nullptr) {
    wait();
    return;
  }
  const Clock::time_point begin = Clock::now();
  wait();
  *waited_nanos += NanosSince(begin);
}

}  // namespace

void CountWaits(int64_t* nanos) { waited_nanos = nanos; }

void Team::Await(SleepingWord& word, uint32_t old) {
  const uint32_t missed = missed_.load(std::memory_order_relaxed);
  const bool spin = spin_ && (missed < kPatience || missed % kProbe == 0);
  if (const int64_t slept = AwaitChange(word, old, spin); slept > 0) {
    missed_.fetch_add(1, std::memory_order_relaxed);
    lost_nanos_.fetch_add(slept, std::memory_order_relaxed);
  } else if (spin && missed != 0) {
    missed_.store(0, std::memory_order_relaxed);
  }
}

uint32_t& Team::OwnCall() { return own_call; }

void Team::Meet() {
  Counted([this] { Arrive(); });
}

void Team::Complete(int64_t done, int64_t total) {
  const uint32_t call = own_call++;
  // In what it adds, every member hands on what it wrote.
  if (done > 0 && done_.fetch_add(done, std::memory_order_acq_rel) + done == total) {
    done_.store(0, std::memory_order_relaxed);
    next_.store(FirstOf(call + 1), std::memory_order_relaxed);
    phase_.Store(call + 1);
    return;
  }
  Counted([&] { Await(phase_, call); });
}

void Team::ClearParts() {
  const uint32_t phase = phase_.Load();
  // As if last claimed from in the call before.
  const uint64_t word = Pieces(0, 1, phase - 1).Word({0, 0});
  for (Part& part : parts_) part.left.store(word, std::memory_order_relaxed);
  parts_cleared_ = phase;
}

void Team::Arrive() {
  const uint32_t phase = phase_.Load();
  own_call = phase + 1;
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < static_cast<uint32_t>(size_)) {
    Await(phase_, phase);
    return;
  }
  next_.store(loose_ ? FirstOf(phase + 1) : 0, std::memory_order_relaxed);
  arrived_.store(0, std::memory_order_relaxed);
  phase_.Store(phase + 1);
}

// Workers and the region that runs now. Everything but the queue belongs to the caller whose turn
// it is and, from the wake-up of a worker until it counts itself out of `running`, to that worker.
struct ThreadPool::State {
  struct Worker {
    alignas(64) SleepingWord calls;  // regions it was called to
  };
  struct Waiter {
    bool turn = false;
    std::condition_variable called;
    Waiter* next = nullptr;
  };

  std::mutex mutex;  // guards the queue
  bool taken = false;
  Waiter* first = nullptr;
  Waiter* last = nullptr;

  std::vector<std::unique_ptr<Worker>> workers;  // worker i is member i + 1
  Team team;
  Crowding crowding;
  std::atomic<bool> loosen{false};
  const std::function<void(Team&, int)>* region = nullptr;
  alignas(64) SleepingWord running;  // workers that have not left the region

  void Enter() {
    std::unique_lock<std::mutex> lock(mutex);
    if (!taken) {
      taken = true;
      return;
    }
    Waiter self;
    (last == nullptr ? first : last->next) = &self;
    last = &self;
    self.called.wait(lock, [&] { return self.turn; });
  }

  void Leave() {
    std::lock_guard<std::mutex> lock(mutex);
    Waiter* waiter = first;
    if (waiter == nullptr) {
      taken = false;
      return;
    }
    first = waiter->next;
    if (first == nullptr) last = nullptr;
    waiter->turn = true;
    waiter->called
        .notify_one();  // under the lock: the waiter lives on a stack that it is about to leave
  }

  // As many workers as the system grants, up to `count`.
  void Grow(size_t count) {
    if (workers.size() >= count) return;
    const SignalsBlocked blocked;
    try {
      workers.reserve(count);
      while (workers.size() < count) {
        auto worker = std::make_unique<Worker>();
        const int member = static_cast<int>(workers.size()) + 1;
        std::thread([this, member, w = worker.get()] { Work(member, *w); }).detach();
        workers.push_back(std::move(worker));
      }
    } catch (const std::system_error&) {  // no more threads
    } catch (const std::bad_alloc&) {     // no more memory
    }
  }

  // Calls go out as a tree, so that a large team wakes in a logarithm of its size.
  void CallChildren(int member) {
    for (int child = 2 * member + 1; child <= 2 * member + 2 && child < team.size(); ++child) {
      Worker& worker = *workers[child - 1];
      worker.calls.Add(1);
    }
  }

  [[noreturn]] void Work(int member, Worker& self) noexcept {
    inside_region = true;
#if defined(__linux__)
    pthread_setname_np(pthread_self(), "mla-worker");
#endif
    const std::vector<Cores>& nodes = MemoryNodes().nodes;
    int placed_for = 0;  // size of the team
    bool spin = false;
    for (uint32_t calls = 0;; ++calls) {
      AwaitChange(self.calls, calls, spin);
      spin = team.spin_ && team.missed_.load(std::memory_order_relaxed) < kPatience;
      CallChildren(member);
      if (!nodes.empty() && team.size() != placed_for) {
        placed_for = team.size();
        RunOn(nodes[NodeOfMember(nodes, member, placed_for)]);
      }
      own_call = team.first_call_;
      (*region)(team, member);
      running.CountDown();
    }
  }

  // As large a team as there are workers and parts for.
  void SetTeam(int threads) {
    Grow(static_cast<size_t>(threads) - 1);
    const size_t most = std::min(static_cast<size_t>(threads), workers.size() + 1);
    bool clear = team.phase_.Load() - team.parts_cleared_ >= Team::Pieces::kCalls / 4;
    if (team.parts_.size() < most) {
      try {
        team.parts_ = std::vector<Team::Part>(most);
        clear = true;
      } catch (const std::bad_alloc&) {
      }
    }
    if (clear) team.ClearParts();
    team.size_ = static_cast<int>(std::clamp(team.parts_.size(), size_t{1}, most));
    team.spin_ = team.size_ <= DefaultThreads();
  }

  void Run(const std::function<void(Team&, int)>& work, Meetings meetings) noexcept {
    const bool may_be_loose = meetings == Meetings::kOfThoseThere;
    team.loose_ = may_be_loose && (crowding.crowded() || loosen.load(std::memory_order_relaxed));
    own_call = team.first_call_ = team.phase_.Load();
    team.next_.store(team.loose_ ? Team::FirstOf(own_call) : 0, std::memory_order_relaxed);
    team.lost_nanos_.store(0, std::memory_order_relaxed);
    region = &work;
    running.Set(static_cast<uint32_t>(team.size() - 1));
    const Clock::time_point begin = Clock::now();
    CallChildren(0);
    work(team, 0);
    for (uint32_t left; (left = running.Load()) != 0;) team.Await(running, left);
    if (may_be_loose) {
      crowding.Note(team.lost_nanos_.load(std::memory_order_relaxed), NanosSince(begin),
                    team.size());
    }
  }
};

namespace {

ThreadPool* shared_pool = nullptr;  // for the fork handler, which must not create the pool

}  // namespace

ThreadPool::ThreadPool() : state_(new State) {
  shared_pool = this;
#if defined(__unix__) || defined(__APPLE__)
  // The child has none of the workers, and its copy of the state may be of the midst of a region.
  pthread_atfork(nullptr, nullptr, [] { shared_pool->state_ = new State; });
#endif
}

ThreadPool& ThreadPool::Shared() {
  static ThreadPool* const pool = new ThreadPool;
  return *pool;
}

int ThreadPool::DefaultThreads() {
  static const int threads = UsableCores();
  return threads;
}

void ThreadPool::LoosenTeams(bool always) {
  state_.load(std::memory_order_relaxed)->loosen.store(always, std::memory_order_relaxed);
}

void ThreadPool::Run(int threads, const std::function<void(Team&, int member)>& region,
                     Meetings meetings) {
  assert(!inside_region);
  if (threads <= 1) {
    Team alone;
    region(alone, 0);
    return;
  }
  State& state = *state_.load(std::memory_order_relaxed);
  state.Enter();
  state.SetTeam(threads);
  inside_region = true;
  state.Run(region, meetings);
  inside_region = false;
  state.Leave();
}

}  // namespace mla
