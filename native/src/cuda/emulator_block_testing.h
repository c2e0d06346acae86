// A block of threads of the emulated GPU, one fiber each; what its threads do to it is in the other
// emulator_*_testing.cc.
#ifndef MLA_CUDA_EMULATOR_BLOCK_TESTING_H_
#define MLA_CUDA_EMULATOR_BLOCK_TESTING_H_

#include <ucontext.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "cuda/emulator_races_testing.h"
#include "cuda/emulator_testing.h"

namespace mla {

inline constexpr int kWarp = 32;
inline constexpr uint8_t kPoison = 0xff;  // as floats and as halves: NaN

// What a kernel did wrong, by printf's rules, and the program's end.
[[noreturn]] void EmulatorFails(const char* format, ...);

// The block that runs: its fibers, kept for the next one.
class Emulator::Block {
 public:
  Block() = default;
  Block(const Block&) = delete;

  // `begun` is released by what the launch comes after, `before` by what it may not run beside of
  // even before it waits for earlier ones; `ended` is for all of its threads to release.
  struct Launched {
    const void* before;
    const void* begun;
    const void* ended;
    size_t crew;  // of fibers that are its threads
  };
  // What a fiber was in one block is before what it is in the next, and its barriers tell all of
  // its block so. Not to take that for an order of blocks and launches, two blocks in a row have
  // different fibers, and so have two launches.
  static constexpr size_t kCrews = kSeesRaces ? 4 : 1;
  void Run(const Call& call, std::array<int, 3> at, Order order, const Launched& launched);

  struct Gate {  // where threads wait for each other
    int expected = 0;
    // Addresses of this gate and block alone: of odd openings, and of even ones, since a thread may
    // be at the next before another one has left this.
    uint64_t* order = nullptr;
    int arrived = 0;
    int64_t opened = 0;
    const char* by = "";  // what the first that arrived waits for
  };
  struct Turns {  // a barrier of them
    Gate gate;
    std::unique_ptr<uint64_t[]> order;
    bool copied = false;  // copies brought something that nobody has shown
  };
  struct PendingCopy {
    void* to;
    const void* from;
    int bytes;
    int64_t group;
  };
  struct BulkCopy {
    uint64_t* barrier;
    void* to;
    const void* from;
    int bytes;
  };
  // Where a fiber goes on. swapcontext would do, but keeps the signal mask by two system calls a
  // switch, most of a kernel's time.
  struct Place {
    void* buffer[5];
  };
  // A group's, of `tiles` eights of columns.
  struct PendingMma {
    float (*d)[4];
    int tiles;
    const uint32_t* a;      // registers; null: where `a_rows` are
    const uint8_t* a_rows;  // in shared memory, as b's
    const uint8_t* b;
    bool b_is_transposed;  // its rows are columns of the product
    int step;
    MmaFloat of;
    int64_t group;
  };
  struct Fiber {
    explicit Fiber(const RaceFiber* origin) : races(origin) {}
    ucontext_t context;  // where it begins
    bool began = false;
    Place place;
    std::unique_ptr<uint8_t[]> stack;
    ThreadState state;
    Gate* waits_at = nullptr;
    int64_t waits_for = 0;
    bool ended = true;
    std::vector<PendingCopy> copies;
    int64_t group = 0;  // of the copies to come
    std::vector<PendingMma> mmas;
    int64_t mma_group = 0;
    bool mmas_begun = false;
    bool shown = true;    // what it wrote, to groups that multiply
    bool sees = true;     // what copies brought that it waited for, shown to its group
    bool waited = false;  // for earlier launches
    int64_t exchanges = 0;
    void* fake_stack = nullptr;  // ASan's
    RaceFiber races;
  };

  Fiber& current() { return *current_; }
  void WaitForEarlier() {
    current_->waited = true;
    AcquireAt(launched_.begun);
  }
  // With a `b` of so many rows.
  void AddMma(PendingMma mma, int b_rows);
  // Memory is in order between threads that meet only where they meet for that.
  enum class Memory { kStays, kOrdered };
  void Arrive(Gate& gate, const char* by, Memory memory);
  Gate& block_gate() { return block_gate_; }
  Gate& group_gate() {
    return group_gates_[static_cast<size_t>(current_->state.index / (4 * kWarp))];
  }
  Gate& warp_gate() { return warp_gates_[static_cast<size_t>(current_->state.index / kWarp)]; }
  // [kWarp] of the current thread's warp, of its next exchange.
  uint8_t* Slots() {
    const size_t warp = static_cast<size_t>(current_->state.index / kWarp);
    const size_t parity = static_cast<size_t>(current_->exchanges++ % 2);
    return slots_.data() + (warp * 2 + parity) * kWarp * kSlotBytes;
  }
  bool IsShared(const void* memory, int64_t bytes) const {
    const auto* p = static_cast<const uint8_t*>(memory);
    return p >= shared_ && p + bytes <= shared_ + shared_bytes_;
  }

  Turns& TurnsAt(const uint64_t* barrier);
  void WaitAt(Gate& gate);

  static thread_local Block* running;
  bool all_shown = true;  // at every barrier yet
  bool copies_at_once = false;
  std::vector<BulkCopy> bulk_copies;  // that nobody has waited for
  RaceFiber bulk_races;               // who brings them
  std::map<const uint64_t*, Turns> turns;

 private:
  static void Enter();
  // ThreadSanitizer counts calls and returns, which jumps are not.
  MLA_UNSEEN_BY_TSAN [[gnu::noinline]] static void GoTo(Place& to) {
    __builtin_longjmp(to.buffer, 1);
  }
  MLA_UNSEEN_BY_TSAN [[gnu::noinline]] static void Begin(Place& from, Fiber& fiber) {
    if (__builtin_setjmp(from.buffer) == 0) {
      RaceFiber::Switch(fiber.races.get());
      setcontext(&fiber.context);
    }
  }
  MLA_UNSEEN_BY_TSAN [[gnu::noinline]] static void Switch(Place& from, Place& to, void* races) {
    if (__builtin_setjmp(from.buffer) == 0) {
      RaceFiber::Switch(races);
      GoTo(to);
    }
  }
  void RunKernel();
  void Prepare(Fiber& fiber, const ThreadState& state);
  void Resume(Fiber& fiber);
  void Yield(bool for_good);

  std::array<std::vector<std::unique_ptr<Fiber>>, kCrews> crews_;
  Fiber* current_ = nullptr;
  Place scheduler_;
  void* scheduler_races_ = nullptr;
  RaceFiber origin_;                       // of the fibers
  const void* scheduler_stack_ = nullptr;  // ASan's
  size_t scheduler_stack_bytes_ = 0;
  void* scheduler_fake_stack_ = nullptr;
  Gate block_gate_;
  std::vector<Gate> group_gates_, warp_gates_;
  std::vector<uint8_t> slots_;
  uint8_t* shared_ = nullptr;
  int shared_bytes_ = 0;
  const std::function<void()>* kernel_ = nullptr;
  Launched launched_ = {};
};

}  // namespace mla
#endif  // MLA_CUDA_EMULATOR_BLOCK_TESTING_H_
