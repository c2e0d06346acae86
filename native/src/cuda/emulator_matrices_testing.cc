// What warps and groups of them do with matrices.
#include <cstring>

#include "cuda/emulator_block_testing.h"
#include "tensor/convert.h"

namespace mla {
namespace {

float ValueOf(uint16_t bits, MmaFloat of) {
  return of == MmaFloat::kHalf ? HalfToFloat(bits) : Bfloat16ToFloat(bits);
}
float OneOf(uint32_t pair, int which, MmaFloat of) {
  return ValueOf(static_cast<uint16_t>(pair >> (16 * which)), of);
}

}  // namespace

void Emulator::Mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], MmaFloat of) {
  struct Fragment {
    float a[4][2];
    float b[2][2];
  };
  Fragment own;
  for (int i = 0; i < 8; ++i) own.a[i / 2][i % 2] = OneOf(a[i / 2], i % 2, of);
  for (int i = 0; i < 4; ++i) own.b[i / 2][i % 2] = OneOf(b[i / 2], i % 2, of);
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
    EmulatorFails("thread %d: a matrix row outside shared memory or its 16-byte boundaries",
                  Thread().index);
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
  Block::running->Arrive(Block::running->warp_gate(), "the loading of matrices",
                         Block::Memory::kStays);
}

namespace {

// A number of a matrix in shared memory: rows of 128 bytes whose pieces of 16 change places.
const uint8_t* SwizzledAt(const uint8_t* rows, int row, int column) {
  return rows + row * 128 + ((column / 8) ^ row % 8) * 16 + column % 8 * 2;
}
float SwizzledOne(const uint8_t* rows, int row, int column, MmaFloat of) {
  uint16_t bits;
  std::memcpy(&bits, SwizzledAt(rows, row, column), 2);
  return ValueOf(bits, of);
}

}  // namespace

void Emulator::Block::AddMma(PendingMma mma, int b_rows) {
  Fiber& thread = current();
  if (thread.state.block_threads % 128 != 0) EmulatorFails("groups in a block of part of one");
  const auto check = [&](const uint8_t* rows, int count) {
    if (!IsShared(rows, count * 128) || reinterpret_cast<uintptr_t>(rows) % 1024 != 0 ||
        mma.step < 0 || mma.step > 3) {
      EmulatorFails("thread %d: a group's matrix outside shared memory or its 1024-byte boundaries",
                    thread.state.index);
    }
  };
  check(mma.b, b_rows);
  if (mma.a == nullptr) check(mma.a_rows, 64);
  if (!thread.mmas_begun)
    EmulatorFails("thread %d: a group multiplies before it began", thread.state.index);
  if (!all_shown || !thread.sees)
    EmulatorFails("a group multiplies with what has not been shown to it");
  // A thread's part; the others are other threads' to read.
  const int part = thread.state.index % 128;
  const auto reads = [&](const uint8_t* rows, int row) {
    for (int piece = mma.step * 2; piece < mma.step * 2 + 2; ++piece) {
      KernelReads(SwizzledAt(rows, row, piece * 8), 16);
    }
  };
  if (!mma.b_is_transposed) {
    KernelReads(SwizzledAt(mma.b, mma.step * 16 + part / 8, part % 8 * 8), 16);
  } else if (part < b_rows) {
    reads(mma.b, part);
  }
  if (mma.a == nullptr && part >= 64) reads(mma.a_rows, part - 64);
  const NotTheKernels own;
  mma.group = thread.mma_group;
  thread.mmas.push_back(mma);
}

void Emulator::GroupMma(float (&d)[16][4], const uint32_t (&a)[4], const void* b, int step) {
  Block::running->AddMma(
      {d, 16, a, nullptr, static_cast<const uint8_t*>(b), true, step, MmaFloat::kHalf, 0}, 128);
}

void Emulator::GroupMmaShared(float (&d)[8][4], const void* a, const void* b, int step,
                              MmaFloat of) {
  Block::running->AddMma({d, 8, nullptr, static_cast<const uint8_t*>(a),
                          static_cast<const uint8_t*>(b), true, step, of, 0},
                         64);
}

void Emulator::GroupMmaShared(float (&d)[2][4], const void* a, const void* b, int step,
                              MmaFloat of) {
  Block::running->AddMma({d, 2, nullptr, static_cast<const uint8_t*>(a),
                          static_cast<const uint8_t*>(b), true, step, of, 0},
                         16);
}

void Emulator::GroupMmaRows(float (&d)[8][4], const uint32_t (&a)[4], const void* b, int step,
                            MmaFloat of) {
  Block::running->AddMma({d, 8, a, nullptr, static_cast<const uint8_t*>(b), false, step, of, 0},
                         64);
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
    Fragment own = {};
    for (int i = 0; i < 8 && mma.a != nullptr; ++i) {
      own.a[i / 2][i % 2] = OneOf(mma.a[i / 2], i % 2, mma.of);
    }
    const Fragment* lanes = Exchange(own) + g * 4;
    float a[2][16];
    for (int i = 0; i < 32; ++i) {
      const int lower = i / 16, k = i % 16;
      const int row = thread.state.index % 128 / kWarp * 16 + lower * 8 + g;
      a[lower][k] = mma.a != nullptr ? lanes[k % 8 / 2].a[lower + k / 8 * 2][k % 2]
                                     : SwizzledOne(mma.a_rows, row, mma.step * 16 + k, mma.of);
    }
    for (int i = 0; i < mma.tiles * 2; ++i) {
      const int column = i / 2 * 8 + 2 * t + i % 2;
      float sums[2] = {};
      for (int k = 0; k < 16; ++k) {
        const int at = mma.step * 16 + k;
        const float b = mma.b_is_transposed ? SwizzledOne(mma.b, column, at, mma.of)
                                            : SwizzledOne(mma.b, at, column, mma.of);
        for (int lower = 0; lower < 2; ++lower) sums[lower] += a[lower][k] * b;
      }
      for (int lower = 0; lower < 2; ++lower) mma.d[i / 2][lower * 2 + i % 2] += sums[lower];
    }
  }
  std::erase_if(thread.mmas, [done](const Block::PendingMma& mma) { return mma.group < done; });
  // What the group reads must not be overwritten before all of its threads have it.
  block.Arrive(block.warp_gate(), "the products of its group", Block::Memory::kStays);
}

void Emulator::ShowGroupMmas() {
  Block::running->current().shown = Block::running->current().sees = true;
}

}  // namespace mla
