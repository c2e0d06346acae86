// Copies to shared memory that go on while threads do.
#include <algorithm>
#include <cstring>
#include <memory>

#include "cuda/emulator_block_testing.h"

namespace mla {

void Emulator::CopyAsync(void* shared, const void* global, int bytes) {
  Block& block = *Block::running;
  const uintptr_t alignment = static_cast<uintptr_t>(bytes);
  if (!block.IsShared(shared, bytes) || reinterpret_cast<uintptr_t>(shared) % alignment != 0 ||
      reinterpret_cast<uintptr_t>(global) % alignment != 0) {
    EmulatorFails("thread %d copies outside shared memory or %d-byte boundaries", Thread().index,
                  bytes);
  }
  KernelReads(global, static_cast<size_t>(bytes));
  KernelWrites(shared, static_cast<size_t>(bytes));
  const NotTheKernels own;
  if (block.copies_at_once) std::memcpy(shared, global, static_cast<size_t>(bytes));
  block.current().copies.push_back({shared, global, bytes, block.current().group});
}

void Emulator::CommitCopies() { ++Block::running->current().group; }

void Emulator::WaitCopies(int newest) {
  Block::Fiber& thread = Block::running->current();
  const int64_t done = thread.group - newest;
  thread.shown = false;
  for (const Block::PendingCopy& copy : thread.copies) {
    if (copy.group >= done) continue;
    KernelWrites(copy.to, static_cast<size_t>(copy.bytes));
    const NotTheKernels own;
    if (Block::running->copies_at_once) continue;
    std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
  }
  std::erase_if(thread.copies,
                [done](const Block::PendingCopy& copy) { return copy.group < done; });
}

// A copy barrier counts turns in its upper half; the lower one has what this turn is for, and one.
void Emulator::InitCopyBarrier(uint64_t* barrier) {
  if (!Block::running->IsShared(barrier, 8) || reinterpret_cast<uintptr_t>(barrier) % 8 != 0) {
    EmulatorFails("thread %d: a barrier outside shared memory or its 8-byte boundaries",
                  Thread().index);
  }
  const NotTheKernels own;
  *barrier = 0;
}

void Emulator::ExpectCopies(uint64_t* barrier, int bytes) {
  if (static_cast<uint32_t>(*barrier) != 0)
    EmulatorFails("thread %d: a turn is begun twice", Thread().index);
  ReleaseAt(barrier);
  const NotTheKernels own;
  *barrier += static_cast<uint64_t>(bytes) + 1;
}

void Emulator::CopyBulk(void* shared, const void* global, int bytes, uint64_t* barrier) {
  Block& block = *Block::running;
  if (!block.IsShared(shared, bytes) || bytes <= 0 ||
      (reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global) |
       static_cast<uintptr_t>(bytes)) %
              16 !=
          0) {
    EmulatorFails("thread %d copies in bulk outside shared memory or 16-byte boundaries",
                  Thread().index);
  }
  block.bulk_races.CopyInBulk(shared, global, static_cast<size_t>(bytes), barrier);
  const NotTheKernels own;
  if (block.copies_at_once) std::memcpy(shared, global, static_cast<size_t>(bytes));
  block.bulk_copies.push_back({barrier, shared, global, bytes});
}

void Emulator::WaitCopyBarrier(uint64_t* barrier, int parity) {
  Block& block = *Block::running;
  AcquireAt(barrier);
  const NotTheKernels own;
  if (static_cast<int>(*barrier >> 32 & 1) != parity) return;  // another thread waited
  uint64_t came = 0;
  for (const Block::BulkCopy& copy : block.bulk_copies) {
    if (copy.barrier != barrier) continue;
    came += static_cast<uint64_t>(copy.bytes);
    if (!block.copies_at_once) std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
  }
  if (static_cast<uint32_t>(*barrier) != came + 1) {
    EmulatorFails("thread %d waits for other bytes than come", Thread().index);
  }
  std::erase_if(block.bulk_copies,
                [barrier](const Block::BulkCopy& copy) { return copy.barrier == barrier; });
  *barrier = ((*barrier >> 32) + 1) << 32;
}

Emulator::Block::Turns& Emulator::Block::TurnsAt(const uint64_t* barrier) {
  const auto it = turns.find(barrier);
  if (it == turns.end()) {
    EmulatorFails("thread %d: a barrier of turns that nobody made", current_->state.index);
  }
  return it->second;
}

void Emulator::MakeTurns(uint64_t* barrier, int arrivals) {
  Block& block = *Block::running;
  if (!block.IsShared(barrier, 8) || reinterpret_cast<uintptr_t>(barrier) % 8 != 0) {
    EmulatorFails("thread %d: a barrier outside shared memory or its 8-byte boundaries",
                  Thread().index);
  }
  const NotTheKernels own;
  Block::Turns& made = block.turns[barrier];
  made.order = std::make_unique<uint64_t[]>(2);
  made.gate = {arrivals, made.order.get()};
  made.gate.by = "a turn";
  made.copied = false;
}

void Emulator::ArriveTurn(uint64_t* barrier) {
  const NotTheKernels own;
  Block::Gate& gate = Block::running->TurnsAt(barrier).gate;
  ReleaseAt(gate.order + gate.opened % 2);
  if (++gate.arrived == gate.expected) {
    gate.arrived = 0;
    ++gate.opened;
  }
}

void Emulator::ArriveAfterCopies(uint64_t* barrier) {
  Block::Fiber& thread = Block::running->current();
  for (const Block::PendingCopy& copy : thread.copies) {
    KernelWrites(copy.to, static_cast<size_t>(copy.bytes));
    const NotTheKernels own;
    if (!Block::running->copies_at_once) {
      std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
    }
    Block::running->TurnsAt(barrier).copied = true;
  }
  {
    const NotTheKernels own;
    thread.copies.clear();
  }
  ArriveTurn(barrier);
}

void Emulator::WaitTurn(uint64_t* barrier, int parity) {
  const NotTheKernels own;
  Block& block = *Block::running;
  Block::Turns& turns = block.TurnsAt(barrier);
  if (turns.gate.opened % 2 == parity) block.WaitAt(turns.gate);  // it has not ended
  AcquireAt(turns.gate.order + parity);
  if (turns.copied) block.current().sees = false;
}

}  // namespace mla
