// How a block of threads brings the rows that it multiplies with into its shared memory: normed or
// gated on the way, as floats, as whole numbers of 15 bits, or both.
#ifndef MLA_KERNELS_MATMUL_GPU_INPUT_H_
#define MLA_KERNELS_MATMUL_GPU_INPUT_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/matmul/gpu.h"

namespace mla::MLA_GPU {

// x = scale * (128 * high + low) for every 32 elements, high and low signed bytes: two Dot4 a four
// weights. A row's bytes lie in planes of [cols / 32][16 bytes], so that neighbouring lanes, with a
// group each, meet no bank conflicts: high bytes of a group's first and second 16 elements, then
// the low ones.
constexpr float kMostLevel = 127.0f * 128.0f;

struct alignas(8) InputGroup {
  float scale, sum;  // the sum of its elements
};

constexpr int kBlockThreads = 256;
// What may be read behind the input by lanes that have no group.
constexpr int kInputSlack = kWarp * 16;

// Where everything is in shared memory, in bytes.
struct InputPlaces {
  int32_t integers;  // [n][4 planes], 4 * cols / 2 bytes a row
  int32_t groups;    // [n][cols / 32] InputGroup
  int32_t floats;    // [n][padded cols]
  int32_t squares;   // [n][warps] floats: sums of x²; the warps of a block are a multiple of four
  int32_t bytes;
};

// 16-byte boundaries everywhere.
MLA_BOTH InputPlaces PlaceInput(int n, int64_t cols, bool integers, bool floats, int threads) {
  InputPlaces p = {};
  const int row = static_cast<int>(cols), groups = integers ? row / 32 : 0;
  p.groups = n * groups * 64;
  p.floats = p.groups + (n * groups * static_cast<int>(sizeof(InputGroup)) + 15) / 16 * 16;
  p.squares = p.floats + (floats ? n * static_cast<int>(GpuPaddedCols(cols)) * 4 : 0);
  p.bytes = p.squares + n * (threads / kWarp) * 4 + kInputSlack;
  return p;
}

// Whole block. The factor that a row of x is multiplied with: 1 / rms(x), the same in all threads.
MLA_DEVICE float InverseRms(const float* x, int64_t cols, float epsilon, float* by_warp) {
  float sum = 0.0f;
  for (int64_t c = ThreadIndex(); c < cols; c += BlockThreads()) sum += x[c] * x[c];
  sum = SumOver(sum, kWarp);
  SyncBlock();  // by_warp may be in use for the row before
  if (Lane() == 0) by_warp[WarpIndex()] = sum;
  SyncBlock();
  sum = 0.0f;
  for (int w = 0; w < BlockThreads() / kWarp; ++w) sum += by_warp[w];
  return Rsqrt(sum / static_cast<float>(cols) + epsilon);
}

MLA_DEVICE float InputAt(const GpuInput& input, const float* x, const float* by, int64_t c,
                         float factor) {
  switch (input.kind) {
    case GpuInput::Kind::kNorm:
      return x[c] * factor * by[c];
    case GpuInput::Kind::kSwiGlu:
      return x[c] / (1.0f + Exp(-x[c])) * by[c];
    default:
      return x[c];
  }
}

// Four elements at a time, and so many of these of a thread at once.
constexpr int kInputAhead = 2;

// Whether fours of a row are whole, at 16-byte boundaries.
MLA_DEVICE bool IsWhole(const float* row, int cols) {
  return cols % 4 == 0 && reinterpret_cast<uintptr_t>(row) % 16 == 0;
}

// Elements c .. c + 3 of a row; zeros behind its end.
MLA_DEVICE void LoadFour(const float* row, int c, int cols, bool whole, float (&to)[4]) {
  Quad quad = {};
  if (whole) {
    LoadQuad(c < cols, row + c, &quad);
  } else {
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (c + i < cols) quad.word[i] = BitsOfFloat(row[c + i]);
    }
  }
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) to[i] = FloatOfBits(quad.word[i]);
}

MLA_DEVICE void StoreFour(const float (&four)[4], float* to) {
  *reinterpret_cast<Quad*>(to) = {
      {BitsOfFloat(four[0]), BitsOfFloat(four[1]), BitsOfFloat(four[2]), BitsOfFloat(four[3])}};
}

// Fours number `first` + j * BlockThreads() of a row.
MLA_DEVICE void LoadFours(const float* row, int first, int cols, bool whole,
                          float (&to)[kInputAhead][4]) {
  if (whole) {  // one branch for all
    MLA_UNROLL
    for (int j = 0; j < kInputAhead; ++j) {
      LoadFour(row, (first + j * BlockThreads()) * 4, cols, true, to[j]);
    }
  } else {
    MLA_UNROLL
    for (int j = 0; j < kInputAhead; ++j) {
      LoadFour(row, (first + j * BlockThreads()) * 4, cols, false, to[j]);
    }
  }
}

// Eight neighbouring lanes, four elements each: a group. All lanes of a warp call this; those with
// write false only take part.
MLA_DEVICE void StoreGroup(const float (&four)[4], bool write, int group, int groups,
                           uint8_t* planes, InputGroup* numbers) {
  // As whole numbers, infinities and NaN are the largest.
  uint32_t bits = 0;
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint32_t own = BitsOfFloat(Abs(four[i]));
    bits = bits > own ? bits : own;
  }
  MLA_UNROLL
  for (int mask = 4; mask > 0; mask /= 2) {
    const uint32_t other = ShuffleXor(bits, mask);
    bits = bits > other ? bits : other;
  }
  const float largest = FloatOfBits(bits);
  // A NaN or an infinity in the group makes it all NaN: a broken activation stays visible.
  const float scale = largest * (1.0f / kMostLevel) + largest * 0.0f;
  const float inverse = scale > 1e-30f ? kMostLevel / largest : 0.0f;
  uint32_t high_word = 0, low_word = 0;
  int total = 0;
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int level = inverse > 0.0f ? RoundToInt(four[i] * inverse) : 0;
    const int high = (level + 64) >> 7, low = level - high * 128;
    high_word |= static_cast<uint32_t>(high & 255) << (8 * i);
    low_word |= static_cast<uint32_t>(low & 255) << (8 * i);
    total += level;
  }
  MLA_UNROLL
  for (int mask = 4; mask > 0; mask /= 2) total += ShuffleXor(total, mask);
  if (!write) return;
  const int part = Lane() % 8;  // of the group, four elements each
  uint32_t* plane =
      reinterpret_cast<uint32_t*>(planes) + (part / 4 * groups + group) * 4 + part % 4;
  plane[0] = high_word;
  plane[2 * groups * 4] = low_word;
  if (part == 0) numbers[group] = {scale, static_cast<float>(total) * scale};
}

// Whether fours of all rows of an input, and of what they are multiplied with, are whole.
template <int kRows>
MLA_DEVICE bool IsWhole(const GpuInput& input, int cols) {
  return (kRows == 1 || input.stride % 4 == 0) && IsWhole(input.x, cols) && IsWhole(input.by, cols);
}

// A thread's first fours of an input: a norm's weights may be loaded before earlier launches are
// done, the first row right behind.
struct FirstFours {
  float by[kInputAhead][4], x[kInputAhead][4];
};
MLA_DEVICE void LoadAhead(const GpuInput& input, int cols, bool whole, FirstFours* to) {
  if (input.kind == GpuInput::Kind::kNorm) {
    LoadFours(input.by, ThreadIndex(), cols, whole, to->by);
  }
}

// Whole block; ends with a barrier. Rows n .. kRows - 1 of the integers and floats become zeros.
// Normed rows lack what FactorOf gives: so they need not be gone through twice.
template <int kRows>
MLA_DEVICE void PrepareInput(const GpuInput& input, int n, int cols, bool whole, bool integers,
                             bool floats, uint8_t* shared, const InputPlaces& p,
                             FirstFours& ahead) {
  const int groups = cols / static_cast<int>(kGpuGroup);
  const int fours = static_cast<int>(GpuPaddedCols(cols)) / 4;
  const int warps = BlockThreads() / kWarp, at_once = kInputAhead * BlockThreads();
  const bool normed = input.kind == GpuInput::Kind::kNorm;
  const bool gated = input.kind == GpuInput::Kind::kSwiGlu;
  const bool plain = !normed && !gated;
  float(&by)[kInputAhead][4] = ahead.by;
  MLA_UNROLL_BY(1)
  for (int i = 0; i < kRows; ++i) {
    const bool there = i < n;
    const float* row = input.x + i * input.stride;
    const float* row_by = gated ? input.by + i * input.stride : input.by;
    float squares = 0.0f;
    bool second = false;  // plain ones come in pairs, the second in `by`'s place
    MLA_UNROLL_BY(1)
    for (int first = 0; first < fours; first += at_once, second = !second) {
      float x[kInputAhead][4] = {};
      if (plain && second) {
        MLA_UNROLL
        for (int j = 0; j < kInputAhead * 4; ++j) x[j / 4][j % 4] = by[j / 4][j % 4];
      } else if (there) {
        if (i == 0 && first == 0) {
          MLA_UNROLL
          for (int j = 0; j < kInputAhead * 4; ++j) x[j / 4][j % 4] = ahead.x[j / 4][j % 4];
        } else {
          LoadFours(row, first + ThreadIndex(), cols, whole, x);
        }
        // A norm's are there already where nothing came after them.
        if (gated || (normed && fours > at_once && (first > 0 || i > 0))) {
          LoadFours(row_by, first + ThreadIndex(), cols, whole, by);
        } else if (plain && first + at_once < fours) {
          LoadFours(row, first + at_once + ThreadIndex(), cols, whole, by);
        }
      }
      MLA_UNROLL
      for (int j = 0; j < kInputAhead; ++j) {
        // Whole warps go round together: StoreGroup exchanges values.
        const int begin = first + j * BlockThreads() + WarpIndex() * kWarp;
        if (begin >= fours) break;
        const int at = begin + Lane();
        MLA_UNROLL
        for (int k = 0; k < 4; ++k) {
          float& value = x[j][k];
          if (normed) {
            squares += value * value;
            value *= by[j][k];
          } else if (gated && there) {
            value = value / (1.0f + Exp(-value)) * by[j][k];
          }
        }
        if (floats && at < fours) {
          StoreFour(x[j], reinterpret_cast<float*>(shared + p.floats) + (i * fours + at) * 4);
        }
        if (integers) {
          StoreGroup(x[j], at < fours, at / 8, groups, shared + p.integers + i * groups * 64,
                     reinterpret_cast<InputGroup*>(shared + p.groups) + i * groups);
        }
      }
    }
    if (!normed) continue;
    squares = SumOver(squares, kWarp);
    if (Lane() == 0) {
      reinterpret_cast<float*>(shared + p.squares)[i * warps + WarpIndex()] = squares;
    }
  }
  SyncBlock();
}

// What products with row i of the prepared input are multiplied with.
MLA_DEVICE float FactorOf(const GpuInput& input, int i, int cols, const uint8_t* shared,
                          const InputPlaces& p) {
  if (input.kind != GpuInput::Kind::kNorm) return 1.0f;
  const int fours = BlockThreads() / kWarp / 4;
  const Quad* squares = reinterpret_cast<const Quad*>(shared + p.squares) + i * fours;
  float sum = 0.0f;
  MLA_UNROLL_BY(4)
  for (int q = 0; q < fours; ++q) {
    const Quad quad = squares[q];
    sum += (FloatOfBits(quad.word[0]) + FloatOfBits(quad.word[1])) +
           (FloatOfBits(quad.word[2]) + FloatOfBits(quad.word[3]));
  }
  return Rsqrt(sum / static_cast<float>(cols) + input.epsilon);
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_MATMUL_GPU_INPUT_H_
