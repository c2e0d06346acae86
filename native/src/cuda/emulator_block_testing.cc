#include "cuda/emulator_block_testing.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace mla {
namespace {

constexpr size_t kStackBytes = 256 << 10;

}  // namespace

void EmulatorFails(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fputs("emulated GPU: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
  std::abort();
}

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
  fiber.sees = true;
  fiber.waited = false;
  fiber.exchanges = 0;
  fiber.fake_stack = nullptr;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, &Block::Enter, 0);
}

void Emulator::Block::Run(const Call& call, std::array<int, 3> at, Order order,
                          const Launched& launched) {
  const NotTheKernels own;
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
  const size_t groups = (warps + 3) / 4;
  const std::unique_ptr<uint64_t[]> orders = std::make_unique<uint64_t[]>(2 * (warps + groups + 1));
  block_gate_ = {call.threads, orders.get()};
  warp_gates_.clear();
  for (size_t warp = 1; warp <= warps; ++warp) {
    warp_gates_.push_back({kWarp, orders.get() + 2 * warp});
  }
  group_gates_.clear();
  for (size_t group = 1; group <= groups; ++group) {
    group_gates_.push_back({4 * kWarp, orders.get() + 2 * (warps + group)});
  }
  slots_.assign(warps * 2 * kWarp * kSlotBytes, kPoison);
  kernel_ = &call.kernel;
  launched_ = launched;
  scheduler_races_ = RaceFiber::Running();
  all_shown = true;
  bulk_copies.clear();
  turns.clear();
  copies_at_once = order == Order::kBackward;
  running = this;
  std::vector<std::unique_ptr<Fiber>>& fibers = crews_[launched.crew];
  while (fibers.size() < threads) {
    fibers.push_back(std::make_unique<Fiber>(&origin_));
    fibers.back()->stack = std::make_unique<uint8_t[]>(kStackBytes);
  }
  for (size_t i = 0; i < threads; ++i) {
    Prepare(*fibers[i], {static_cast<int>(i), call.threads, at, call.grid, shared_});
  }
  std::vector<size_t> queue(threads);
  std::iota(queue.begin(), queue.end(), size_t{0});
  if (order == Order::kBackward) std::reverse(queue.begin(), queue.end());
  std::minstd_rand random(static_cast<unsigned>(at[0] * 31 + at[1] * 7 + at[2] + 1));
  for (bool going = true; going;) {
    if (order == Order::kShuffled) std::shuffle(queue.begin(), queue.end(), random);
    going = false;
    bool moved = false;
    for (const size_t turn : queue) {
      Fiber& fiber = *fibers[turn];
      if (fiber.ended) continue;
      going = true;
      if (fiber.waits_at != nullptr && fiber.waits_at->opened < fiber.waits_for) continue;
      moved = true;
      Resume(fiber);
    }
    if (!going || moved) continue;
    for (const auto& fiber : fibers) {
      if (fiber->ended || fiber->waits_at == nullptr) continue;
      EmulatorFails("block (%d, %d, %d) of %d threads hangs: thread %d waits for %s with %d others",
                    at[0], at[1], at[2], call.threads, fiber->state.index, fiber->waits_at->by,
                    fiber->waits_at->arrived - 1);
    }
  }
  if (!bulk_copies.empty()) {
    EmulatorFails("block (%d, %d, %d) ends with copies in bulk on their way", at[0], at[1], at[2]);
  }
  running = nullptr;
}

MLA_UNSEEN_BY_TSAN void Emulator::Block::Enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &running->scheduler_stack_,
                                  &running->scheduler_stack_bytes_);
#endif
  running->RunKernel();
  running->Yield(true);
}

void Emulator::Block::RunKernel() {
  AcquireAt(launched_.before);
  (*kernel_)();
  ReleaseAt(launched_.ended);
  const NotTheKernels own;
  if (!current_->waited) {
    EmulatorFails("thread %d ends and did not wait for earlier launches", current_->state.index);
  }
  if (!current_->copies.empty()) {
    EmulatorFails("thread %d ends with copies on their way", current_->state.index);
  }
  if (!current_->mmas.empty()) {
    EmulatorFails("thread %d ends while its group multiplies", current_->state.index);
  }
  current_->ended = true;
}

void Emulator::Block::Resume(Fiber& fiber) {
  current_ = &fiber;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_fake_stack_, fiber.stack.get(), kStackBytes);
#endif
  if (fiber.began) {
    Switch(scheduler_, fiber.place, fiber.races.get());
  } else {
    fiber.began = true;
    Begin(scheduler_, fiber);
  }
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_fake_stack_, nullptr, nullptr);
#endif
}

MLA_UNSEEN_BY_TSAN void Emulator::Block::Yield([[maybe_unused]] bool for_good) {
  Fiber& self = *current_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &self.fake_stack, scheduler_stack_,
                                 scheduler_stack_bytes_);
#endif
  Switch(self.place, scheduler_, scheduler_races_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(self.fake_stack, &scheduler_stack_, &scheduler_stack_bytes_);
#endif
}

void Emulator::Block::WaitAt(Gate& gate) {
  current_->waits_at = &gate;
  current_->waits_for = gate.opened + 1;
  Yield(false);
  current_->waits_at = nullptr;
}

void Emulator::Block::Arrive(Gate& gate, const char* by, Memory memory) {
  const NotTheKernels own;
  const void* order = gate.order + gate.opened % 2;
  if (memory == Memory::kOrdered) ReleaseAt(order);
  if (gate.arrived == 0) {
    gate.by = by;
  } else if (std::strcmp(gate.by, by) != 0) {
    EmulatorFails("thread %d comes to %s where its neighbours wait for %s", current_->state.index,
                  by, gate.by);
  }
  if (++gate.arrived == gate.expected) {
    gate.arrived = 0;
    ++gate.opened;
  } else {
    WaitAt(gate);
  }
  if (memory == Memory::kOrdered) AcquireAt(order);
}

uint8_t* Emulator::SharedAt(int address, int bytes) {
  uint8_t* at = Thread().shared + address;
  if (!Block::running->IsShared(at, bytes) || address % bytes != 0) {
    EmulatorFails("thread %d: %d bytes at %d outside shared memory or their boundaries",
                  Thread().index, bytes, address);
  }
  return at;
}

const Emulator::ThreadState& Emulator::Thread() { return Block::running->current().state; }

void Emulator::WaitForEarlier() { Block::running->WaitForEarlier(); }

void Emulator::SyncBlock() {
  const NotTheKernels own;
  Block& block = *Block::running;
  block.all_shown = block.all_shown && block.current().shown;
  block.Arrive(block.block_gate(), "the block", Block::Memory::kOrdered);
}

void Emulator::SyncWarp() {
  Block& block = *Block::running;
  block.Arrive(block.warp_gate(), "the warp", Block::Memory::kOrdered);
}

void Emulator::SyncGroup() {
  Block& block = *Block::running;
  block.Arrive(block.group_gate(), "the group", Block::Memory::kOrdered);
}

const void* Emulator::ExchangeBytes(const void* value, size_t size) {
  const NotTheKernels own;
  Block& block = *Block::running;
  uint8_t* slots = block.Slots();
  std::memcpy(slots + static_cast<size_t>(Thread().index % kWarp) * size, value, size);
  block.Arrive(block.warp_gate(), "an exchange of values", Block::Memory::kStays);
  return slots;
}

}  // namespace mla
