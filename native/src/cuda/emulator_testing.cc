#include "cuda/emulator_testing.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <utility>

#include "tensor/convert.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace mla {
namespace {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 256 << 10;
constexpr uint8_t kPoison = 0xff;  // as floats and as halves: NaN

[[noreturn]] void Fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fputs("emulated GPU: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
  std::abort();
}

// No rounding up: what lies behind the end is ASan's to see. Null: there is no memory.
void* Poisoned(size_t alignment, int64_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, static_cast<size_t>(std::max<int64_t>(bytes, 1))) != 0) {
    return nullptr;
  }
  std::memset(memory, kPoison, static_cast<size_t>(bytes));
  return memory;
}

void Check(const Emulator::Call& call, int most_shared) {
  if (call.threads < kWarp || call.threads > 1024 || call.threads % kWarp != 0) {
    Fail("a block of %d threads, expected whole warps, at most 1024 threads", call.threads);
  }
  if (call.shared_bytes < 0 || call.shared_bytes > most_shared) {
    Fail("%d bytes of shared memory, expected at most %d", call.shared_bytes, most_shared);
  }
  if (call.grid[0] < 1 || call.grid[1] < 1 || call.grid[2] < 1 || call.grid[1] > 65535 ||
      call.grid[2] > 65535) {
    Fail("a grid of %d x %d x %d blocks", call.grid[0], call.grid[1], call.grid[2]);
  }
}

}  // namespace

// The block that runs: its fibers, kept for the next one.
class Emulator::Block {
 public:
  Block() = default;
  Block(const Block&) = delete;

  void Run(const Call& call, std::array<int, 3> at, Order order);

  struct Gate {  // where threads wait for each other
    int expected = 0;
    int arrived = 0;
    int64_t opened = 0;
    const char* by = "";  // what the first that arrived waits for
  };
  struct PendingCopy {
    void* to;
    const void* from;
    int bytes;
    int64_t group;
  };
  // Where a fiber goes on. swapcontext would do, but keeps the signal mask by two system calls a
  // switch, most of a kernel's time.
  struct Place {
    void* buffer[5];
  };
  struct PendingMma {
    float (*d)[4];
    const uint32_t* a;
    const uint8_t* b;
    int step;
    int64_t group;
  };
  struct Fiber {
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
    bool waited = false;  // for earlier launches
    int64_t exchanges = 0;
    void* fake_stack = nullptr;  // ASan's
  };

  Fiber& current() { return *current_; }
  void Arrive(Gate& gate, const char* by);
  Gate& block_gate() { return block_gate_; }
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

  static thread_local Block* running;
  bool all_shown = true;  // at every barrier yet
  bool copies_at_once = false;
  struct BulkCopy {
    uint64_t* barrier;
    void* to;
    const void* from;
    int bytes;
  };
  std::vector<BulkCopy> bulk_copies;  // that nobody has waited for

 private:
  static void Enter();
  [[gnu::noinline]] static void GoTo(Place& to) { __builtin_longjmp(to.buffer, 1); }
  [[gnu::noinline]] static void Begin(Place& from, Fiber& fiber) {
    if (__builtin_setjmp(from.buffer) == 0) setcontext(&fiber.context);
  }
  [[gnu::noinline]] static void Switch(Place& from, Place& to) {
    if (__builtin_setjmp(from.buffer) == 0) GoTo(to);
  }
  void Prepare(Fiber& fiber, const ThreadState& state);
  void Resume(Fiber& fiber);
  void Yield(bool for_good);

  std::vector<std::unique_ptr<Fiber>> fibers_;
  Fiber* current_ = nullptr;
  Place scheduler_;
  const void* scheduler_stack_ = nullptr;  // ASan's
  size_t scheduler_stack_bytes_ = 0;
  void* scheduler_fake_stack_ = nullptr;
  Gate block_gate_;
  std::vector<Gate> warp_gates_;
  std::vector<uint8_t> slots_;
  uint8_t* shared_ = nullptr;
  int shared_bytes_ = 0;
  const std::function<void()>* kernel_ = nullptr;
};

thread_local Emulator::Block* Emulator::Block::running = nullptr;

// Not in line: of a function that returns twice, as getcontext may, g++ fears for the caller's
// loop.
[[gnu::noinline]] void Emulator::Block::Prepare(Fiber& fiber, const ThreadState& state) {
  fiber.state = state;
  fiber.began = false;
  fiber.waits_at = nullptr;
  fiber.ended = false;
  fiber.copies.clear();
  fiber.group = 0;
  fiber.mmas.clear();
  fiber.mma_group = 0;
  fiber.mmas_begun = false;
  fiber.shown = true;
  fiber.waited = false;
  fiber.exchanges = 0;
  fiber.fake_stack = nullptr;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, &Block::Enter, 0);
}

void Emulator::Block::Run(const Call& call, std::array<int, 3> at, Order order) {
  const size_t threads = static_cast<size_t>(call.threads);
  const size_t warps = threads / kWarp;
  // Exactly as large as asked for, so that ASan sees what lies beyond.
  const std::unique_ptr<uint8_t, void (*)(void*)> shared(
      static_cast<uint8_t*>(std::aligned_alloc(
          1024, static_cast<size_t>(std::max(1024, (call.shared_bytes + 1023) / 1024 * 1024)))),
      std::free);
  shared_ = shared.get();
  shared_bytes_ = call.shared_bytes;
  std::fill_n(shared_, std::max(1024, (call.shared_bytes + 1023) / 1024 * 1024), kPoison);
  block_gate_ = {call.threads, 0, 0, ""};
  warp_gates_.assign(warps, {kWarp, 0, 0, ""});
  slots_.assign(warps * 2 * kWarp * kSlotBytes, kPoison);
  kernel_ = &call.kernel;
  all_shown = true;
  bulk_copies.clear();
  copies_at_once = order == Order::kBackward;
  running = this;
  while (fibers_.size() < threads) {
    fibers_.push_back(std::make_unique<Fiber>());
    fibers_.back()->stack = std::make_unique<uint8_t[]>(kStackBytes);
  }
  for (size_t i = 0; i < threads; ++i) {
    Prepare(*fibers_[i], {static_cast<int>(i), call.threads, at, call.grid, shared_});
  }
  std::vector<size_t> turns(threads);
  std::iota(turns.begin(), turns.end(), size_t{0});
  if (order == Order::kBackward) std::reverse(turns.begin(), turns.end());
  std::minstd_rand random(static_cast<unsigned>(at[0] * 31 + at[1] * 7 + at[2] + 1));
  for (bool going = true; going;) {
    if (order == Order::kShuffled) std::shuffle(turns.begin(), turns.end(), random);
    going = false;
    bool moved = false;
    for (const size_t turn : turns) {
      Fiber& fiber = *fibers_[turn];
      if (fiber.ended) continue;
      going = true;
      if (fiber.waits_at != nullptr && fiber.waits_at->opened < fiber.waits_for) continue;
      moved = true;
      Resume(fiber);
    }
    if (!going || moved) continue;
    for (const auto& fiber : fibers_) {
      if (fiber->ended || fiber->waits_at == nullptr) continue;
      Fail("block (%d, %d, %d) of %d threads hangs: thread %d waits for %s with %d others", at[0],
           at[1], at[2], call.threads, fiber->state.index, fiber->waits_at->by,
           fiber->waits_at->arrived - 1);
    }
  }
  running = nullptr;
}

void Emulator::Block::Enter() {
  Block& block = *running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack_, &block.scheduler_stack_bytes_);
#endif
  (*block.kernel_)();
  if (!block.current_->waited) {
    Fail("thread %d ends and did not wait for earlier launches", block.current_->state.index);
  }
  if (!block.current_->copies.empty()) {
    Fail("thread %d ends with copies on their way", block.current_->state.index);
  }
  if (!block.current_->mmas.empty()) {
    Fail("thread %d ends while its group multiplies", block.current_->state.index);
  }
  block.current_->ended = true;
  block.Yield(true);
}

void Emulator::Block::Resume(Fiber& fiber) {
  current_ = &fiber;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_fake_stack_, fiber.stack.get(), kStackBytes);
#endif
  if (fiber.began) {
    Switch(scheduler_, fiber.place);
  } else {
    fiber.began = true;
    Begin(scheduler_, fiber);
  }
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_fake_stack_, nullptr, nullptr);
#endif
}

void Emulator::Block::Yield([[maybe_unused]] bool for_good) {
  Fiber& self = *current_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &self.fake_stack, scheduler_stack_,
                                 scheduler_stack_bytes_);
#endif
  Switch(self.place, scheduler_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(self.fake_stack, &scheduler_stack_, &scheduler_stack_bytes_);
#endif
}

void Emulator::Block::Arrive(Gate& gate, const char* by) {
  if (gate.arrived == 0) {
    gate.by = by;
  } else if (std::strcmp(gate.by, by) != 0) {
    Fail("thread %d comes to %s where its neighbours wait for %s", current_->state.index, by,
         gate.by);
  }
  if (++gate.arrived == gate.expected) {
    gate.arrived = 0;
    ++gate.opened;
    return;
  }
  current_->waits_at = &gate;
  current_->waits_for = gate.opened + 1;
  Yield(false);
  current_->waits_at = nullptr;
}

struct Emulator::Recording final : public GpuRecording {
  std::vector<std::function<void()>> work;
};

class Emulator::Mark final : public GpuMark {
 public:
  explicit Mark(Emulator& gpu) : gpu_(gpu) {}
  void Set() override { at_ = gpu_.arrived_ + static_cast<int64_t>(gpu_.arrivals_.size()); }
  void Wait() override { gpu_.Arrive(at_); }

 private:
  Emulator& gpu_;
  int64_t at_ = 0;
};

Emulator::Emulator(Order order) : order_(order), block_(std::make_unique<Block>()) {}

Emulator::~Emulator() {
  for (void* memory : memory_) std::free(memory);
}

void* Emulator::Allocate(int64_t bytes) {
  void* memory = Poisoned(kGpuAlignment, bytes);
  if (memory != nullptr) memory_.push_back(memory);
  return memory;
}

void Emulator::Free(void* memory) {
  if (memory == nullptr) return;
  const auto it = std::find(memory_.begin(), memory_.end(), memory);
  if (it == memory_.end()) Fail("freed what was not allocated");
  Arrive(arrived_ + static_cast<int64_t>(arrivals_.size()));
  memory_.erase(it);
  std::free(memory);
}

void* Emulator::AllocateHost(int64_t bytes) { return Poisoned(64, bytes); }

void Emulator::FreeHost(void* memory) { std::free(memory); }

void Emulator::Do(std::function<void()> work) {
  if (recording_ != nullptr) {
    recording_->work.push_back(std::move(work));
  } else {
    work();
  }
}

void Emulator::Upload(void* to, const void* from, int64_t bytes) { Copy(to, from, bytes); }
void Emulator::Download(void* to, const void* from, int64_t bytes) {
  Do([=, this] {
    const auto* begin = static_cast<const uint8_t*>(from);
    arrivals_.push_back({to, {begin, begin + bytes}});
  });
}
void Emulator::Copy(void* to, const void* from, int64_t bytes) {
  Do([=] { std::memcpy(to, from, static_cast<size_t>(bytes)); });
}
void Emulator::Zero(void* memory, int64_t bytes) {
  Do([=] { std::memset(memory, 0, static_cast<size_t>(bytes)); });
}

Result<std::unique_ptr<GpuRecording>> Emulator::Record(const std::function<void()>& launches) {
  auto recording = std::make_unique<Recording>();
  recording_ = recording.get();
  launches();
  recording_ = nullptr;
  return std::unique_ptr<GpuRecording>(std::move(recording));
}

void Emulator::Replay(const GpuRecording& recording) {
  for (const auto& work : static_cast<const Recording&>(recording).work) work();
}

std::unique_ptr<GpuMark> Emulator::NewMark() { return std::make_unique<Mark>(*this); }

void Emulator::Arrive(int64_t download) {
  for (; arrived_ < download; ++arrived_) {
    const Arrival& first = arrivals_.front();
    std::memcpy(first.to, first.bytes.data(), first.bytes.size());
    arrivals_.pop_front();
  }
}

Status Emulator::Synchronize() {
  Arrive(arrived_ + static_cast<int64_t>(arrivals_.size()));
  return Status::Ok();
}

void Emulator::Launch(Call call) {
  Check(call, shared_bytes());
  Do([this, call = std::move(call)] {
    ++launches_;
    const int blocks = call.grid[0] * call.grid[1] * call.grid[2];
    for (int i = 0; i < blocks; ++i) {
      const int b = order_ == Order::kForward ? i : blocks - 1 - i;
      block_->Run(
          call,
          {b % call.grid[0], b / call.grid[0] % call.grid[1], b / (call.grid[0] * call.grid[1])},
          order_);
    }
  });
}

const Emulator::ThreadState& Emulator::Thread() { return Block::running->current().state; }

void Emulator::WaitForEarlier() { Block::running->current().waited = true; }

void Emulator::SyncBlock() {
  Block& block = *Block::running;
  block.all_shown = block.all_shown && block.current().shown;
  block.Arrive(block.block_gate(), "the block");
}

void Emulator::SyncWarp() {
  Block& block = *Block::running;
  block.Arrive(block.warp_gate(), "the warp");
}

const void* Emulator::ExchangeBytes(const void* value, size_t size) {
  Block& block = *Block::running;
  uint8_t* slots = block.Slots();
  std::memcpy(slots + static_cast<size_t>(Thread().index % kWarp) * size, value, size);
  block.Arrive(block.warp_gate(), "an exchange of values");
  return slots;
}

namespace {

float HalfOf(uint32_t pair, int which) {
  return HalfToFloat(static_cast<uint16_t>(pair >> (16 * which)));
}

}  // namespace

void Emulator::Mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Fragment {
    float a[4][2];
    float b[2][2];
  };
  Fragment own;
  for (int i = 0; i < 8; ++i) own.a[i / 2][i % 2] = HalfOf(a[i / 2], i % 2);
  for (int i = 0; i < 4; ++i) own.b[i / 2][i % 2] = HalfOf(b[i / 2], i % 2);
  const Fragment* lanes = Exchange(own);
  const int lane = Thread().index % kWarp;
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    float sum = 0.0f;
    for (int k = 0; k < 16; ++k) {
      const int by = k % 8 / 2;  // the lane of four that holds element k
      sum += lanes[row % 8 * 4 + by].a[row / 8 + k / 8 * 2][k % 2] *
             lanes[column * 4 + by].b[k / 8][k % 2];
    }
    d[i] += sum;
  }
}

void Emulator::LoadMatrices(uint32_t (&to)[4], const void* row, bool transposed) {
  if (!Block::running->IsShared(row, 16) || reinterpret_cast<uintptr_t>(row) % 16 != 0) {
    Fail("thread %d: a matrix row outside shared memory or its 16-byte boundaries", Thread().index);
  }
  const void* const* rows = Exchange(row);
  const int lane = Thread().index % kWarp;
  const int g = lane / 4, t = lane % 4;
  for (int m = 0; m < 4; ++m) {
    uint16_t pair[2];
    for (int i = 0; i < 2; ++i) {
      const int from = transposed ? 2 * t + i : g, element = transposed ? g : 2 * t + i;
      std::memcpy(&pair[i], static_cast<const uint8_t*>(rows[m * 8 + from]) + element * 2, 2);
    }
    to[m] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
  // A lane must not overwrite shared memory that another one still reads here.
  Block::running->Arrive(Block::running->warp_gate(), "the loading of matrices");
}

void Emulator::CopyAsync(void* shared, const void* global, int bytes) {
  Block& block = *Block::running;
  const uintptr_t alignment = static_cast<uintptr_t>(bytes);
  if (!block.IsShared(shared, bytes) || reinterpret_cast<uintptr_t>(shared) % alignment != 0 ||
      reinterpret_cast<uintptr_t>(global) % alignment != 0) {
    Fail("thread %d copies outside shared memory or %d-byte boundaries", Thread().index, bytes);
  }
  if (block.copies_at_once) std::memcpy(shared, global, static_cast<size_t>(bytes));
  block.current().copies.push_back({shared, global, bytes, block.current().group});
}

void Emulator::CommitCopies() { ++Block::running->current().group; }

void Emulator::WaitCopies(int newest) {
  Block::Fiber& thread = Block::running->current();
  const int64_t done = thread.group - newest;
  thread.shown = false;
  for (const Block::PendingCopy& copy : thread.copies) {
    if (copy.group >= done || Block::running->copies_at_once) continue;
    std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
  }
  std::erase_if(thread.copies,
                [done](const Block::PendingCopy& copy) { return copy.group < done; });
}

// A copy barrier counts turns in its upper half; the lower one has what this turn is for, and one.
void Emulator::InitCopyBarrier(uint64_t* barrier) {
  if (!Block::running->IsShared(barrier, 8) || reinterpret_cast<uintptr_t>(barrier) % 8 != 0) {
    Fail("thread %d: a barrier outside shared memory or its 8-byte boundaries", Thread().index);
  }
  *barrier = 0;
}

void Emulator::ExpectCopies(uint64_t* barrier, int bytes) {
  if (static_cast<uint32_t>(*barrier) != 0)
    Fail("thread %d: a turn is begun twice", Thread().index);
  *barrier += static_cast<uint64_t>(bytes) + 1;
}

void Emulator::CopyBulk(void* shared, const void* global, int bytes, uint64_t* barrier) {
  Block& block = *Block::running;
  if (!block.IsShared(shared, bytes) || bytes <= 0 ||
      (reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global) |
       static_cast<uintptr_t>(bytes)) %
              16 !=
          0) {
    Fail("thread %d copies in bulk outside shared memory or 16-byte boundaries", Thread().index);
  }
  if (block.copies_at_once) std::memcpy(shared, global, static_cast<size_t>(bytes));
  block.bulk_copies.push_back({barrier, shared, global, bytes});
}

void Emulator::WaitCopyBarrier(uint64_t* barrier, int parity) {
  Block& block = *Block::running;
  if (static_cast<int>(*barrier >> 32 & 1) != parity) return;  // another thread waited
  uint64_t came = 0;
  for (const Block::BulkCopy& copy : block.bulk_copies) {
    if (copy.barrier != barrier) continue;
    came += static_cast<uint64_t>(copy.bytes);
    if (!block.copies_at_once) std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
  }
  if (static_cast<uint32_t>(*barrier) != came + 1) {
    Fail("thread %d waits for other bytes than come", Thread().index);
  }
  std::erase_if(block.bulk_copies,
                [barrier](const Block::BulkCopy& copy) { return copy.barrier == barrier; });
  *barrier = ((*barrier >> 32) + 1) << 32;
}

void Emulator::GroupMma(float (&d)[16][4], const uint32_t (&a)[4], const void* b, int step) {
  Block& block = *Block::running;
  Block::Fiber& thread = block.current();
  constexpr int kBytes = 128 * 128;
  if (thread.state.block_threads % 128 != 0) Fail("groups in a block of part of one");
  if (!block.IsShared(b, kBytes) || reinterpret_cast<uintptr_t>(b) % 1024 != 0 || step < 0 ||
      step > 3) {
    Fail("thread %d: a group's matrix outside shared memory or its 1024-byte boundaries",
         thread.state.index);
  }
  if (!thread.mmas_begun) Fail("thread %d: a group multiplies before it began", thread.state.index);
  if (!block.all_shown) Fail("a group multiplies with what has not been shown to it");
  thread.mmas.push_back({d, a, static_cast<const uint8_t*>(b), step, thread.mma_group});
}

void Emulator::BeginGroupMmas() { Block::running->current().mmas_begun = true; }

void Emulator::CommitGroupMmas() {
  Block::Fiber& thread = Block::running->current();
  thread.mmas_begun = false;
  ++thread.mma_group;
}

void Emulator::WaitGroupMmas(int newest) {
  Block& block = *Block::running;
  Block::Fiber& thread = block.current();
  const int64_t done = thread.mma_group - newest;
  const int g = thread.state.index % kWarp / 4, t = thread.state.index % 4;
  for (const Block::PendingMma& mma : thread.mmas) {
    if (mma.group >= done) continue;
    struct Fragment {
      float a[4][2];
    };
    Fragment own;
    for (int i = 0; i < 8; ++i) own.a[i / 2][i % 2] = HalfOf(mma.a[i / 2], i % 2);
    const Fragment* lanes = Exchange(own) + g * 4;
    for (int i = 0; i < 32; ++i) {
      const int column = i / 2 * 8 + 2 * t + i % 2;
      float sums[2] = {};
      for (int k = 0; k < 16; ++k) {
        const int piece = (mma.step * 2 + k / 8) ^ column % 8;
        uint16_t half;
        std::memcpy(&half, mma.b + column * 128 + piece * 16 + k % 8 * 2, 2);
        const float b = HalfToFloat(half);
        for (int lower = 0; lower < 2; ++lower) {
          sums[lower] += lanes[k % 8 / 2].a[lower + k / 8 * 2][k % 2] * b;
        }
      }
      for (int lower = 0; lower < 2; ++lower) mma.d[i / 2][lower * 2 + i % 2] += sums[lower];
    }
  }
  std::erase_if(thread.mmas, [done](const Block::PendingMma& mma) { return mma.group < done; });
  // What the group reads must not be overwritten before all of its threads have it.
  block.Arrive(block.warp_gate(), "the products of its group");
}

void Emulator::ShowGroupMmas() { Block::running->current().shown = true; }

}  // namespace mla
