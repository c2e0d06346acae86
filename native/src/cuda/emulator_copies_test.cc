// Copies to the shared memory of the emulated GPU, and barriers of turns.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "cuda/emulator_races_testing.h"
#include "cuda/gpu_testing.h"
#include "cuda/simt.h"

namespace mla::emulated {
namespace {

struct TurnArgs {
  const float* from;  // [kTurns][32], 16-byte aligned
  float* to;          // [kTurns]
  bool make = true, arrive = true;

  static constexpr int kTurns = 5;
};

// Warp 0 copies turns of numbers to a slot, of which warp 1 adds them.
void TurnsOfASlot(TurnArgs args) {
  WaitForEarlier();
  float* slot = reinterpret_cast<float*>(SharedMemory());
  auto* full = reinterpret_cast<TurnBarrier*>(slot + 32);
  TurnBarrier* free = full + 1;
  if (ThreadIndex() == 0 && args.make) {
    MakeTurns(full, 32);
    MakeTurns(free, 1);
  }
  SyncBlock();
  for (int i = 0; i < TurnArgs::kTurns; ++i) {
    if (WarpIndex() == 0) {
      if (i > 0) WaitTurn(free, (i - 1) % 2);
      if (Lane() < 8) CopyAsync(slot + Lane() * 4, args.from + i * 32 + Lane() * 4);
      if (args.arrive) ArriveAfterCopies(full);
      if (!args.arrive) WaitCopies<0>();
      continue;
    }
    WaitTurn(full, i % 2);
    const float sum = SumOver(slot[Lane()], 32);
    if (Lane() == 0) args.to[i] = sum;
    SyncWarp();
    if (Lane() == 0) ArriveTurn(free);
  }
}

TEST(EmulatorCopies, ThreadsWaitForTurns) {
  std::vector<float> from(TurnArgs::kTurns * 32);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
  for (const Emulator::Order order : kOrders) {
    Emulator gpu(order);
    auto* device = static_cast<float*>(gpu.Allocate(static_cast<int64_t>(from.size()) * 4));
    std::copy(from.begin(), from.end(), device);
    std::vector<float> to(TurnArgs::kTurns);
    Launch(gpu, {1}, 64, 256, TurnsOfASlot, TurnArgs{device, to.data()});
    for (int i = 0; i < TurnArgs::kTurns; ++i) {
      EXPECT_EQ(to[static_cast<size_t>(i)], static_cast<float>(i * 32 * 32 + 31 * 16)) << i;
    }
    gpu.Free(device);
  }
  const auto run = [&](TurnArgs args) {
    Emulator gpu;
    args.from = static_cast<float*>(gpu.Allocate(TurnArgs::kTurns * 128));
    std::vector<float> to(TurnArgs::kTurns);
    args.to = to.data();
    Launch(gpu, {1}, 64, 256, TurnsOfASlot, args);
  };
  EXPECT_DEATH(run({nullptr, nullptr, false, true}), "a barrier of turns that nobody made");
  EXPECT_DEATH(run({nullptr, nullptr, true, false}), "hangs: thread [0-9]+ waits for a turn");
}
struct CopyArgs {
  const float* from;
  float* to;
  bool wait;
};

void CopyThrough(CopyArgs args) {
  WaitForEarlier();
  float* shared = reinterpret_cast<float*>(SharedMemory());
  CopyAsync(shared + ThreadIndex() * 4, args.from + ThreadIndex() * 4);
  CommitCopies();
  if (args.wait) WaitCopies<0>();
  SyncBlock();
  args.to[ThreadIndex()] = shared[ThreadIndex()];
  SyncBlock();
  WaitCopies<0>();
}

TEST(EmulatorCopies, CopiesArriveWhenTheyAreWaitedFor) {
  alignas(16) float from[128];
  for (int i = 0; i < 128; ++i) from[i] = static_cast<float>(i);
  for (const bool wait : {true, false}) {
    Emulator gpu;
    float to[32];
    Launch(gpu, {1}, 32, 512, CopyThrough, CopyArgs{from, to, wait});
    for (int i = 0; i < 32; ++i) {
      if (wait) {
        EXPECT_EQ(to[i], from[i]);
      } else {
        EXPECT_TRUE(std::isnan(to[i]));
      }
    }
  }
}

struct BulkArgs {
  const float* from;
  float* to;
  int turns;
  bool wait;
};

// Two halves of 64 floats a turn, by two threads.
void CopyInBulk(BulkArgs args) {
  WaitForEarlier();
  auto* barrier = reinterpret_cast<CopyBarrier*>(SharedMemory());
  float* shared = reinterpret_cast<float*>(SharedMemory() + 16);
  if (ThreadIndex() == 0) InitCopyBarrier(barrier);
  SyncBlock();
  for (int turn = 0; turn < args.turns; ++turn) {
    if (ThreadIndex() == 5) ExpectCopies(barrier, 512);
    if (ThreadIndex() % 16 == 0) {
      const int half = ThreadIndex() / 16 * 64;
      CopyBulk(shared + half, args.from + turn * 128 + half, 256, barrier);
    }
    SyncBlock();
    if (args.wait) WaitCopyBarrier(barrier, turn % 2);
    for (int i = ThreadIndex(); i < 128; i += BlockThreads()) args.to[turn * 128 + i] = shared[i];
    SyncBlock();
    if (!args.wait) WaitCopyBarrier(barrier, turn % 2);
  }
}

TEST(EmulatorCopies, BulkCopiesArriveInTurns) {
  alignas(16) float from[3 * 128];
  std::iota(std::begin(from), std::end(from), 1.0f);
  for (const Emulator::Order order : kOrders) {
    Emulator gpu(order);
    float to[3 * 128] = {};
    Launch(gpu, {1}, 32, 16 + 512, CopyInBulk, BulkArgs{from, to, 3, true});
    EXPECT_TRUE(std::equal(std::begin(from), std::end(from), to));
  }
  float to[128];
  const auto not_waited_for = [&] {
    Emulator gpu;  // here: of a process that has threads ThreadSanitizer does not follow the child
    Launch(gpu, {1}, 32, 16 + 512, CopyInBulk, BulkArgs{from, to, 1, false});
  };
  if (kSeesRaces) {
    EXPECT_DEATH(not_waited_for(), "data race");
  } else {
    not_waited_for();
    for (const float x : to) EXPECT_TRUE(std::isnan(x));
  }
}

}  // namespace
}  // namespace mla::emulated
