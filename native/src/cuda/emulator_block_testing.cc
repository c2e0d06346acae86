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

void Emulator::Block::Enter() {
  Block& block = *running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack_, &block.scheduler_stack_bytes_);
#endif
  (*block.kernel_)();
  if (!block.current_->waited) {
    EmulatorFails("thread %d ends and did not wait for earlier launches",
                  block.current_->state.index);
  }
  if (!block.current_->copies.empty()) {
    EmulatorFails("thread %d ends with copies on their way", block.current_->state.index);
  }
  if (!block.current_->mmas.empty()) {
    EmulatorFails("thread %d ends while its group multiplies", block.current_->state.index);
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
    EmulatorFails("thread %d comes to %s where its neighbours wait for %s", current_->state.index,
                  by, gate.by);
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

}  // namespace mla
