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
#include "cuda/simt.h"

namespace mla::emulated {
namespace {

constexpr Emulator::Order kOrders[] = {Emulator::Order::kForward, Emulator::Order::kBackward,
                                       Emulator::Order::kShuffled};

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

struct ProductArgs {
  const uint16_t* a;  // [16][16]
  const uint16_t* b;  // [8][16], or where it is loaded transposed [16][8]
  bool transposed;
  float* d;  // [16][8]
};

void Product(ProductArgs args) {
  WaitForEarlier();
  constexpr int kStride = 24;  // halves; 48 bytes
  uint16_t* a = reinterpret_cast<uint16_t*>(SharedMemory());
  uint16_t* b = a + 16 * kStride;
  for (int i = Lane(); i < 256; i += kWarp) a[i / 16 * kStride + i % 16] = args.a[i];
  const int columns = args.transposed ? 8 : 16;
  for (int i = Lane(); i < 128; i += kWarp) b[i / columns * kStride + i % columns] = args.b[i];
  SyncWarp();
  uint32_t left[4], right[4];
  LoadMatrices(left, a + Lane() % 16 * kStride + Lane() / 16 * 8);
  if (args.transposed) {
    LoadMatricesTransposed(right, b + Lane() % 16 * kStride);
  } else {
    LoadMatrices(right, b + Lane() % 8 * kStride + Lane() / 8 % 2 * 8);
  }
  float d[4] = {1, 1, 1, 1};
  Mma(d, left, {right[0], right[1]});
  for (int i = 0; i < 4; ++i) {
    args.d[(Lane() / 4 + i / 2 * 8) * 8 + Lane() % 4 * 2 + i % 2] = d[i];
  }
}

TEST(Emulator, MultipliesMatricesAsTheFragmentsAreDefined) {
  std::mt19937 random(3);
  std::uniform_int_distribution<int> small(-5, 5);
  std::vector<float> a(256), b(128);
  for (float& x : a) x = static_cast<float>(small(random));
  for (float& x : b) x = static_cast<float>(small(random));
  const auto halves = [](const std::vector<float>& from) {
    std::vector<uint16_t> to;
    for (const float x : from) to.push_back(FloatToHalf(x));
    return to;
  };
  std::vector<float> turned(128);
  for (int i = 0; i < 128; ++i) turned[i % 16 * 8 + i / 16] = b[i];
  for (const bool transposed : {false, true}) {
    Emulator gpu(Emulator::Order::kShuffled);
    std::vector<float> d(128);
    const std::vector<uint16_t> left = halves(a), right = halves(transposed ? turned : b);
    Launch(gpu, {1}, 32, 32 * 48, Product,
           ProductArgs{left.data(), right.data(), transposed, d.data()});
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 8; ++j) {
        float sum = 1;
        for (int k = 0; k < 16; ++k) sum += a[i * 16 + k] * b[j * 16 + k];
        EXPECT_EQ(d[i * 8 + j], sum) << i << " " << j << " " << transposed;
      }
    }
  }
}

struct GroupArgs {
  const uint16_t* a;  // [64][64]
  const uint16_t* b;  // [128][64]
  bool begin = true, show = true, wait = true;
  float* d;  // [64][128]
};

void GroupProduct(GroupArgs args) {
  WaitForEarlier();
  uint8_t* shared = SharedMemory();
  for (int i = ThreadIndex(); i < 128 * 8; i += BlockThreads()) {
    CopyAsync(shared + (i / 8 * 8 + (i % 8 ^ i / 8 % 8)) * 16, args.b + i * 8);
  }
  CommitCopies();
  WaitCopies<0>();
  if (args.show) ShowGroupMmas();
  SyncBlock();
  const int row = WarpIndex() * 16 + Lane() / 4, column = Lane() % 4 * 2;
  uint32_t a[4][4];
  for (int i = 0; i < 16; ++i) {
    const uint16_t* pair = args.a + (row + i % 2 * 8) * 64 + i / 4 * 16 + i / 2 % 2 * 8 + column;
    a[i / 4][i % 4] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
  float d[16][4] = {};
  if (args.begin) BeginGroupMmas();
  for (int step = 0; step < 4; ++step) GroupMma(d, a[step], shared, step);
  CommitGroupMmas();
  if (args.wait) WaitGroupMmas<0>();
  for (int i = 0; i < 64; ++i) {
    args.d[(row + i / 2 % 2 * 8) * 128 + i / 4 * 8 + column + i % 2] = d[i / 4][i % 4];
  }
}

struct MatricesArgs {
  const uint16_t* a;  // [64][64]
  const uint16_t* b;  // [64][64]
  bool shared;
  float* d;  // [64][64]
};

// Both in shared memory: a times b transposed; else a in registers: a times b.
void MatricesProduct(MatricesArgs args) {
  WaitForEarlier();
  constexpr int kBytes = 64 * 128;
  uint8_t* shared = SharedMemory();
  for (int i = ThreadIndex(); i < 64 * 8; i += BlockThreads()) {
    const int to = (i / 8 * 8 + (i % 8 ^ i / 8 % 8)) * 16;
    CopyAsync(shared + to, args.b + i * 8);
    CopyAsync(shared + kBytes + to, args.a + i * 8);
  }
  CommitCopies();
  WaitCopies<0>();
  ShowGroupMmas();
  SyncBlock();
  const int row = WarpIndex() * 16 + Lane() / 4, column = Lane() % 4 * 2;
  const int at = SharedAddress(shared);
  float d[8][4] = {};
  float narrow[2][4] = {};
  uint32_t a[4][4];
  BeginGroupMmas();
  for (int step = 0; step < 4; ++step) {
    if (args.shared) {
      GroupMmaShared(d, at + kBytes, at, step);
      GroupMmaShared(narrow, at + kBytes, at, step);
      continue;
    }
    for (int i = 0; i < 4; ++i) {
      const uint16_t* pair = args.a + (row + i % 2 * 8) * 64 + step * 16 + i / 2 * 8 + column;
      a[step][i] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
    }
    GroupMmaRows(d, a[step], at, step);
  }
  CommitGroupMmas();
  WaitGroupMmas<0>();
  for (int i = 0; i < 8 && args.shared; ++i) {
    if (narrow[i / 4][i % 4] != d[i / 4][i % 4]) d[i / 4][i % 4] = NAN;  // its first columns
  }
  for (int i = 0; i < 32; ++i) {
    args.d[(row + i / 2 % 2 * 8) * 64 + i / 4 * 8 + column + i % 2] = d[i / 4][i % 4];
  }
}

TEST(Emulator, GroupsOfWarpsMultiplyWhatIsShared) {
  std::mt19937 random(4);
  std::uniform_int_distribution<int> small(-5, 5);
  std::vector<float> a(64 * 64), b(64 * 64);
  std::vector<uint16_t> left, right;
  for (float& x : a) left.push_back(FloatToHalf(x = static_cast<float>(small(random))));
  for (float& x : b) right.push_back(FloatToHalf(x = static_cast<float>(small(random))));
  for (const bool shared : {true, false}) {
    for (const Emulator::Order order : kOrders) {
      Emulator gpu(order);
      std::vector<float> d(64 * 64);
      Launch(gpu, {1}, 128, 2 * 64 * 128, MatricesProduct,
             MatricesArgs{left.data(), right.data(), shared, d.data()});
      for (int i = 0; i < 64; ++i) {
        for (int j = 0; j < 64; ++j) {
          float sum = 0;
          for (int k = 0; k < 64; ++k)
            sum += a[i * 64 + k] * (shared ? b[j * 64 + k] : b[k * 64 + j]);
          ASSERT_EQ(d[i * 64 + j], sum) << i << " " << j << " " << shared;
        }
      }
    }
  }
}

TEST(Emulator, GroupsOfWarpsMultiply) {
  std::mt19937 random(3);
  std::uniform_int_distribution<int> small(-5, 5);
  std::vector<float> a(64 * 64), b(128 * 64);
  std::vector<uint16_t> left, right;
  for (float& x : a) left.push_back(FloatToHalf(x = static_cast<float>(small(random))));
  for (float& x : b) right.push_back(FloatToHalf(x = static_cast<float>(small(random))));
  std::vector<float> d(64 * 128);
  GroupArgs args;
  args.a = left.data();
  args.b = right.data();
  args.d = d.data();
  for (const Emulator::Order order : kOrders) {
    Emulator gpu(order);
    Launch(gpu, {1}, 128, 128 * 128, GroupProduct, args);
    for (int i = 0; i < 64; ++i) {
      for (int j = 0; j < 128; ++j) {
        float sum = 0;
        for (int k = 0; k < 64; ++k) sum += a[i * 64 + k] * b[j * 64 + k];
        ASSERT_EQ(d[i * 128 + j], sum) << i << " " << j;
      }
    }
  }
  Emulator gpu;
  GroupArgs wrong = args;
  wrong.begin = false;
  EXPECT_DEATH(Launch(gpu, {1}, 128, 128 * 128, GroupProduct, wrong), "before it began");
  wrong = args;
  wrong.show = false;
  EXPECT_DEATH(Launch(gpu, {1}, 128, 128 * 128, GroupProduct, wrong), "not been shown to it");
  wrong = args;
  wrong.wait = false;
  EXPECT_DEATH(Launch(gpu, {1}, 128, 128 * 128, GroupProduct, wrong), "while its group multiplies");
}

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

TEST(Emulator, ThreadsWaitForTurns) {
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

TEST(Emulator, CopiesArriveWhenTheyAreWaitedFor) {
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

TEST(Emulator, BulkCopiesArriveInTurns) {
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
