// The emulated GPU itself: that it computes what CUDA's manual says, and that it sees what kernels
// do wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "cuda/emulator_races_testing.h"
#include "cuda/gpu_testing.h"
#include "cuda/simt.h"

namespace mla::emulated {
namespace {

struct ReverseArgs {
  int* values;
  bool barrier;
};

// Turns a block's values around in shared memory.
void Reverse(ReverseArgs args) {
  WaitForEarlier();
  int* shared = reinterpret_cast<int*>(SharedMemory());
  int* values = args.values + BlockX() * BlockThreads();
  shared[ThreadIndex()] = values[ThreadIndex()];
  if (args.barrier) SyncBlock();
  values[ThreadIndex()] = shared[BlockThreads() - 1 - ThreadIndex()];
}

std::vector<int> Reversed(Emulator::Order order, bool barrier) {
  Emulator gpu(order);
  std::vector<int> values(4 * 64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i);
  Launch(gpu, {4}, 64, 64 * 4, Reverse, ReverseArgs{values.data(), barrier});
  return values;
}

TEST(Emulator, BarriersSeparateWhatThreadsDo) {
  for (const Emulator::Order order : kOrders) {
    const std::vector<int> values = Reversed(order, true);
    for (int i = 0; i < 256; ++i) EXPECT_EQ(values[i], i / 64 * 64 + 63 - i % 64);
  }
}

TEST(Emulator, AMissingBarrierShows) {
  const std::vector<int> right = Reversed(Emulator::Order::kForward, true);
  for (const Emulator::Order order : kOrders) {
    if (kSeesRaces) {
      EXPECT_DEATH(Reversed(order, false), "data race");
    } else {
      EXPECT_NE(Reversed(order, false), right);
    }
  }
}

struct SumArgs {
  const float* values;
  float* sums;
  int lanes;
};

void Sums(SumArgs args) {
  WaitForEarlier();
  args.sums[ThreadIndex()] = SumOver(args.values[ThreadIndex()], args.lanes);
}

TEST(Emulator, SumsOverLanes) {
  std::vector<float> values(64), sums(64);
  for (int i = 0; i < 64; ++i) values[i] = static_cast<float>(i * i);
  for (const int lanes : {1, 4, 32}) {
    Emulator gpu(Emulator::Order::kShuffled);
    Launch(gpu, {1}, 64, 0, Sums, SumArgs{values.data(), sums.data(), lanes});
    for (int i = 0; i < 64; ++i) {
      const auto begin = values.begin() + i / lanes * lanes;
      EXPECT_EQ(sums[i], std::accumulate(begin, begin + lanes, 0.0f));
    }
  }
}

TEST(Emulator, ARecordingKeepsItsArguments) {
  Emulator gpu;
  std::vector<float> values(64, 1.0f), sums(64);
  SumArgs args = {values.data(), sums.data(), 32};
  Result<std::unique_ptr<GpuRecording>> recording =
      gpu.Record([&] { Launch(gpu, {1}, 64, 0, Sums, args); });
  ASSERT_TRUE(recording.ok());
  args.sums = nullptr;
  EXPECT_EQ(gpu.launches(), 0);
  EXPECT_EQ(sums[0], 0.0f);
  gpu.Replay(*recording.value());
  EXPECT_EQ(sums[63], 32.0f);
  values.assign(64, 2.0f);
  gpu.Replay(*recording.value());
  EXPECT_EQ(sums[63], 64.0f);
  EXPECT_EQ(gpu.launches(), 2);
}

TEST(Emulator, MemoryBeginsAsNaN) {
  Emulator gpu;
  auto* some = static_cast<float*>(gpu.Allocate(600));
  ASSERT_NE(some, nullptr);
  EXPECT_TRUE(std::isnan(some[0]) && std::isnan(some[149]));
  gpu.Free(some);
}

TEST(Emulator, BytesArePicked) {
  EXPECT_EQ(Bytes(0x33221100, 0x77665544, 0x3210), 0x33221100u);
  EXPECT_EQ(Bytes(0x33221100, 0x77665544, 0x7654), 0x77665544u);
  EXPECT_EQ(Bytes(0x33221100, 0x77665544, 0x4140), 0x44114400u);
  EXPECT_EQ(Bytes(0x33221100, 0x77665544, 0x5511), 0x55551111u);
}

TEST(Emulator, PairsOfHalvesAreRoundedOnce) {
  EXPECT_EQ(AddHalves(PackHalves(1024.0f + 7.0f, 2048.0f), PackHalves(-1024.0f, 1.0f)),
            PackHalves(7.0f, 2048.0f));  // a tie, to even
  // 1.5 ulp of the product would be lost if it were rounded before the sum.
  const float x = 1.0f + 0x1p-10f;
  EXPECT_EQ(MulAddHalves(PackHalves(x, 3.0f), PackHalves(x, 0.5f), PackHalves(-1.0f, 2.0f)),
            PackHalves(0x1p-9f + 0x1p-20f, 3.5f));
}

struct NoArgs {};

TEST(EmulatorDeathTest, SaysWhatAKernelDoesWrong) {
  Emulator gpu;
  const auto half_waits = [](NoArgs) {
    WaitForEarlier();
    if (ThreadIndex() < 16) SyncBlock();
  };
  EXPECT_DEATH(Launch<NoArgs>(gpu, {1}, 32, 0, half_waits, {}), "hangs.*waits for the block");
  const auto lanes_differ = [](NoArgs) {
    WaitForEarlier();
    if (Lane() == 0) {
      SyncWarp();
    } else {
      SumOver(1.0f, 32);
    }
  };
  EXPECT_DEATH(Launch<NoArgs>(gpu, {1}, 32, 0, lanes_differ, {}), "comes to an exchange of values");
  const auto never_waits = [](NoArgs) {
    WaitForEarlier();
    alignas(16) static const float from[4] = {};
    CopyAsync(SharedMemory(), from);
  };
  EXPECT_DEATH(Launch<NoArgs>(gpu, {1}, 32, 16, never_waits, {}), "copies on their way");
  const auto impatient = [](NoArgs) {
    if (ThreadIndex() != 7) WaitForEarlier();
  };
  EXPECT_DEATH(Launch<NoArgs>(gpu, {1}, 32, 0, impatient, {}), "thread 7 ends .* did not wait");
  const auto few_bytes = [](NoArgs) {
    WaitForEarlier();
    auto* barrier = reinterpret_cast<CopyBarrier*>(SharedMemory());
    if (ThreadIndex() == 0) InitCopyBarrier(barrier);
    if (ThreadIndex() == 0) ExpectCopies(barrier, 16);
    SyncBlock();
    WaitCopyBarrier(barrier, 0);
  };
  EXPECT_DEATH(Launch<NoArgs>(gpu, {1}, 32, 16, few_bytes, {}), "other bytes than come");
  const auto never_waits_for_bulk = [](NoArgs) {
    WaitForEarlier();
    alignas(16) static const float values[4] = {};
    auto* barrier = reinterpret_cast<CopyBarrier*>(SharedMemory());
    if (ThreadIndex() > 0) return;
    InitCopyBarrier(barrier);
    ExpectCopies(barrier, 16);
    CopyBulk(SharedMemory() + 16, values, 16, barrier);
  };
  EXPECT_DEATH(Launch<NoArgs>(gpu, {1}, 32, 32, never_waits_for_bulk, {}),
               "copies in bulk on their way");
  const auto crooked = [](NoArgs) {
    WaitForEarlier();
    alignas(16) static const float values[8] = {};
    auto* barrier = reinterpret_cast<CopyBarrier*>(SharedMemory());
    if (ThreadIndex() == 0) CopyBulk(SharedMemory() + 16, values + 1, 16, barrier);
  };
  EXPECT_DEATH(Launch<NoArgs>(gpu, {1}, 32, 32, crooked, {}), "16-byte boundaries");
  const auto askew = [](NoArgs) {
    WaitForEarlier();
    StoreShared(ThreadIndex() * 4, FourHalves{});
  };
  EXPECT_DEATH(Launch<NoArgs>(gpu, {1}, 32, 256, askew, {}), "8 bytes at 4 outside .* boundaries");
  EXPECT_DEATH(Launch<NoArgs>(gpu, {1}, 33, 0, half_waits, {}), "33 threads, expected whole warps");
}

// What a launch of two blocks of 64 threads does wrong, and what is beside it right: with `right`
// ThreadSanitizer has nothing to say.
struct RaceArgs {
  int* values;  // [128]
  const int* zeros;
  bool right;
};

void ExpectRace(const char* what, void (*kernel)(RaceArgs)) {
  SCOPED_TRACE(what);
  const auto launch = [&](bool right) {
    alignas(16) static const int zeros[64] = {};
    Emulator gpu;
    std::vector<int> values(128);
    Launch(gpu, {2}, 64, 1024, kernel, RaceArgs{values.data(), zeros, right});
    Launch(gpu, {2}, 64, 1024, kernel, RaceArgs{values.data(), zeros, right});
  };
  launch(true);
  EXPECT_DEATH(launch(false), "data race");
}

TEST(EmulatorRacesDeathTest, AreSeen) {
  if (!kSeesRaces) GTEST_SKIP() << "not compiled with ThreadSanitizer";
  ExpectRace("threads of a block", [](RaceArgs args) {
    WaitForEarlier();
    int* shared = reinterpret_cast<int*>(SharedMemory());
    shared[ThreadIndex()] = 1;
    if (args.right) SyncBlock();
    args.values[BlockX() * 64 + ThreadIndex()] = shared[63 - ThreadIndex()];
  });
  ExpectRace("lanes, which a shuffle puts in no order", [](RaceArgs args) {
    WaitForEarlier();
    int* shared = reinterpret_cast<int*>(SharedMemory());
    shared[ThreadIndex()] = 1;
    if (args.right) SyncWarp();
    args.values[BlockX() * 64 + ThreadIndex()] = Shuffle(1, 0) + shared[ThreadIndex() ^ 1];
  });
  ExpectRace("blocks", [](RaceArgs args) {
    WaitForEarlier();
    if (ThreadIndex() == 0) args.values[args.right ? BlockX() : 0] = 1;
  });
  ExpectRace("launches", [](RaceArgs args) {
    if (args.right) WaitForEarlier();
    int& value = args.values[BlockX() * 64 + (ThreadIndex() + 1) % 64];
    const int before = value;
    WaitForEarlier();
    SyncBlock();
    args.values[BlockX() * 64 + ThreadIndex()] = before + 1;
  });
  ExpectRace("a copy to what is still read", [](RaceArgs args) {
    WaitForEarlier();
    int* shared = reinterpret_cast<int*>(SharedMemory());
    int* value = args.values + BlockX() * 64 + ThreadIndex();
    shared[ThreadIndex()] = 1;
    SyncBlock();
    *value = shared[0];
    if (args.right) SyncBlock();
    if (ThreadIndex() == 40) CopyAsync(shared, args.zeros);
    CommitCopies();
    SyncBlock();
    WaitCopies<0>();
  });
  ExpectRace("a copy that only its thread has waited for", [](RaceArgs args) {
    WaitForEarlier();
    int* shared = reinterpret_cast<int*>(SharedMemory());
    if (ThreadIndex() == 40) CopyAsync(shared, args.zeros);
    CommitCopies();
    if (args.right) WaitCopies<0>();
    SyncBlock();
    args.values[BlockX() * 64 + ThreadIndex()] = shared[0];
    WaitCopies<0>();
  });
}

}  // namespace
}  // namespace mla::emulated
