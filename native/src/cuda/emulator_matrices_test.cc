// What warps and groups of them of the emulated GPU do with matrices.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "cuda/gpu_testing.h"
#include "cuda/simt.h"

namespace mla::emulated {
namespace {

// Small whole numbers, whose products and sums are exact.
struct Matrix {
  Matrix(int rows, int of, uint32_t seed) : columns(of) {
    std::mt19937 random(seed);
    std::uniform_int_distribution<int> small(-5, 5);
    for (int i = 0; i < rows * of; ++i) {
      values.push_back(static_cast<float>(small(random)));
      halves.push_back(FloatToHalf(values.back()));
      bfloats.push_back(FloatToBfloat16(values.back()));
    }
  }
  const uint16_t* Of(MmaFloat of) const {
    return of == MmaFloat::kHalf ? halves.data() : bfloats.data();
  }
  float At(int row, int column) const {
    return values[static_cast<size_t>(row * columns + column)];
  }

  int columns;
  std::vector<float> values;
  std::vector<uint16_t> halves, bfloats;
};

struct ProductArgs {
  const uint16_t* a;  // [16][16]
  const uint16_t* b;  // [8][16], or where it is loaded transposed [16][8]
  bool transposed;
  float* d;  // [16][8]
};

template <MmaFloat kFloat>
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
  Mma<kFloat>(d, left, {right[0], right[1]});
  for (int i = 0; i < 4; ++i) {
    args.d[(Lane() / 4 + i / 2 * 8) * 8 + Lane() % 4 * 2 + i % 2] = d[i];
  }
}
template <MmaFloat kFloat>
void CompareProducts() {
  const Matrix a(16, 16, 3), b(8, 16, 4), turned(16, 8, 5);
  for (const bool transposed : {false, true}) {
    Emulator gpu(Emulator::Order::kShuffled);
    std::vector<float> d(128);
    Launch(gpu, {1}, 32, 32 * 48, Product<kFloat>,
           ProductArgs{a.Of(kFloat), (transposed ? turned : b).Of(kFloat), transposed, d.data()});
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 8; ++j) {
        float sum = 1;
        for (int k = 0; k < 16; ++k)
          sum += a.At(i, k) * (transposed ? turned.At(k, j) : b.At(j, k));
        EXPECT_EQ(d[static_cast<size_t>(i * 8 + j)], sum) << i << " " << j << " " << transposed;
      }
    }
  }
}
TEST(EmulatorMatrices, AreMultipliedAsTheFragmentsAreDefined) {
  CompareProducts<MmaFloat::kHalf>();
  CompareProducts<MmaFloat::kBfloat>();
}

// --- groups ---

constexpr int kRowBytes = 128;  // of 64 halves

// All threads of a block: rows of 64 halves to where groups want them, on their way.
void CopyRows(uint8_t* to, const uint16_t* from, int rows) {
  for (int i = ThreadIndex(); i < rows * 8; i += BlockThreads()) {
    CopyAsync(to + i / 8 * kRowBytes + (i % 8 ^ i / 8 % 8) * 16, from + i * 8);
  }
}
// The left operand's registers of four steps, of 64 x 64 halves.
void LoadLeft(const uint16_t* from, uint32_t (&a)[4][4]) {
  const int row = WarpIndex() * 16 + Lane() / 4, column = Lane() % 4 * 2;
  for (int i = 0; i < 16; ++i) {
    const uint16_t* pair = from + (row + i % 2 * 8) * 64 + i / 4 * 16 + i / 2 % 2 * 8 + column;
    a[i / 4][i % 4] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
}
template <int kTiles>
void StoreProduct(const float (&d)[kTiles][4], float* to) {
  const int row = WarpIndex() * 16 + Lane() / 4, column = Lane() % 4 * 2;
  for (int i = 0; i < kTiles * 4; ++i) {
    to[(row + i / 2 % 2 * 8) * (kTiles * 8) + i / 4 * 8 + column + i % 2] = d[i / 4][i % 4];
  }
}

struct GroupProductArgs {
  const uint16_t* a;  // [64][64]
  const uint16_t* b;  // [128][64]
  float* d;           // [64][128]
  bool begin = true, show = true, wait = true;
  bool turns = false;  // copies are waited for by a barrier of turns
};

void GroupProduct(GroupProductArgs args) {
  WaitForEarlier();
  uint8_t* shared = SharedMemory();
  auto* barrier = reinterpret_cast<TurnBarrier*>(shared + 128 * kRowBytes);
  if (ThreadIndex() == 0) MakeTurns(barrier, BlockThreads());
  SyncBlock();
  CopyRows(shared, args.b, 128);
  if (args.turns) {
    ArriveAfterCopies(barrier);
    WaitTurn(barrier, 0);
  } else {
    CommitCopies();
    WaitCopies<0>();
  }
  if (args.show) ShowGroupMmas();
  if (!args.turns) SyncBlock();
  uint32_t a[4][4];
  LoadLeft(args.a, a);
  float d[16][4] = {};
  if (args.begin) BeginGroupMmas();
  for (int step = 0; step < 4; ++step) GroupMma(d, a[step], shared, step);
  CommitGroupMmas();
  if (args.wait) WaitGroupMmas<0>();
  StoreProduct(d, args.d);
}

TEST(EmulatorMatrices, OfGroups) {
  const Matrix a(64, 64, 3), b(128, 64, 4);
  std::vector<float> d(64 * 128);
  GroupProductArgs args = {a.halves.data(), b.halves.data(), d.data()};
  const auto run = [](const GroupProductArgs& with, Emulator::Order order) {
    Emulator gpu(order);
    Launch(gpu, {1}, 128, 128 * kRowBytes + 8, GroupProduct, with);
  };
  for (const Emulator::Order order : kOrders) {
    for (const bool turns : {false, true}) {
      args.turns = turns;
      run(args, order);
      for (int i = 0; i < 64; ++i) {
        for (int j = 0; j < 128; ++j) {
          float sum = 0;
          for (int k = 0; k < 64; ++k) sum += a.At(i, k) * b.At(j, k);
          ASSERT_EQ(d[static_cast<size_t>(i * 128 + j)], sum) << i << " " << j;
        }
      }
    }
  }
  const auto dies = [&](bool GroupProductArgs::*what, bool turns, const char* words) {
    GroupProductArgs wrong = args;
    wrong.turns = turns;
    wrong.*what = false;
    EXPECT_DEATH(run(wrong, Emulator::Order::kForward), words);
  };
  dies(&GroupProductArgs::begin, false, "before it began");
  dies(&GroupProductArgs::show, false, "not been shown to it");
  dies(&GroupProductArgs::show, true, "not been shown to it");
  dies(&GroupProductArgs::wait, false, "while its group multiplies");
}

struct SharedProductArgs {
  const uint16_t* a;  // [64][64]
  const uint16_t* b;  // [64][64]
  float* shared;      // [64][64]: a times b transposed, both in shared memory
  float* narrow;      // [64][16]: of its first rows
  float* rows;        // [64][64]: a, in registers, times b
};

template <MmaFloat kFloat>
void SharedProducts(SharedProductArgs args) {
  WaitForEarlier();
  constexpr int kBytes = 64 * kRowBytes;
  CopyRows(SharedMemory(), args.b, 64);
  CopyRows(SharedMemory() + kBytes, args.a, 64);
  CommitCopies();
  WaitCopies<0>();
  ShowGroupMmas();
  SyncBlock();
  const int b = SharedAddress(SharedMemory()), left = b + kBytes;
  uint32_t a[4][4];
  LoadLeft(args.a, a);
  float shared[8][4] = {}, narrow[2][4] = {}, rows[8][4] = {};
  BeginGroupMmas();
  for (int step = 0; step < 4; ++step) {
    GroupMmaShared<kFloat>(shared, left, b, step);
    GroupMmaShared<kFloat>(narrow, left, b, step);
    GroupMmaRows<kFloat>(rows, a[step], b, step);
  }
  CommitGroupMmas();
  WaitGroupMmas<0>();
  StoreProduct(shared, args.shared);
  StoreProduct(narrow, args.narrow);
  StoreProduct(rows, args.rows);
}

template <MmaFloat kFloat>
void CompareSharedProducts() {
  const Matrix a(64, 64, 3), b(64, 64, 4);
  for (const Emulator::Order order : kOrders) {
    Emulator gpu(order);
    std::vector<float> shared(64 * 64), narrow(64 * 16), rows(64 * 64);
    Launch(
        gpu, {1}, 128, 2 * 64 * kRowBytes, SharedProducts<kFloat>,
        SharedProductArgs{a.Of(kFloat), b.Of(kFloat), shared.data(), narrow.data(), rows.data()});
    for (int i = 0; i < 64; ++i) {
      for (int j = 0; j < 64; ++j) {
        float by_row = 0, by_column = 0;
        for (int k = 0; k < 64; ++k) {
          by_row += a.At(i, k) * b.At(j, k);
          by_column += a.At(i, k) * b.At(k, j);
        }
        ASSERT_EQ(shared[static_cast<size_t>(i * 64 + j)], by_row) << i << " " << j;
        ASSERT_EQ(rows[static_cast<size_t>(i * 64 + j)], by_column) << i << " " << j;
        if (j < 16) {
          ASSERT_EQ(narrow[static_cast<size_t>(i * 16 + j)], by_row) << i << " " << j;
        }
      }
    }
  }
}

TEST(EmulatorMatrices, OfGroupsInSharedMemory) {
  CompareSharedProducts<MmaFloat::kHalf>();
  CompareSharedProducts<MmaFloat::kBfloat>();
}

}  // namespace
}  // namespace mla::emulated
