// Rows of packed weights in shared memory, a chunk of kChunk elements at a time, and from there
// into the registers of Mma's lanes as halves: every form of GpuMatrix.
#ifndef MLA_KERNELS_MATMUL_GPU_WEIGHT_TILE_H_
#define MLA_KERNELS_MATMUL_GPU_WEIGHT_TILE_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/matmul/gpu_half_rows.h"
#include "kernels/matmul/gpu_matrix.h"

namespace mla::MLA_GPU {

// A row's chunk in pieces of 16 bytes, piece p of row r at place Place(r, p); behind all rows'
// pieces, for every row, the scale words of its groups, and of kInt5 their fifth bits.
template <GpuForm kForm>
struct WeightChunk {
  static constexpr bool kQuantized = IsQuantized(kForm);
  // Rows whose range is wider than f16's have a scale.
  static constexpr bool kRowScales = kForm == GpuForm::kBf16 || kForm == GpuForm::kF32;
  static constexpr int kPieces = kForm == GpuForm::kInt8  ? 4
                                 : kQuantized             ? 2
                                 : kForm == GpuForm::kF32 ? 16
                                                          : 8;
  static constexpr int kGroups = kQuantized ? kChunk / static_cast<int>(kGpuGroup) : 0;
  static constexpr int kWordRuns = kForm == GpuForm::kInt5 ? 2 : 1;
  static constexpr int kWords = kGroups * kWordRuns;
  static constexpr int kRowBytes = kPieces * 16 + kWords * 4;
  // kInt8's halves of groups lie apart, in two runs.
  static constexpr int kRuns = kForm == GpuForm::kInt8 ? 2 : 1;

  // Lane t of row g reads pieces at t * kPieces / 4 and what follows; of the lanes that read at the
  // same time no two are to meet in a bank.
  MLA_DEVICE static int Place(int row, int piece) {
    int by = 0;
    if constexpr (kPieces == 8) by = row & 1;
    if constexpr (kPieces == 16) by = (row & 1) * 2 + piece / 8;
    return row * kPieces + (piece ^ by);
  }
};

// A block's rows of a matrix on their way into shared memory, chunk by chunk. What lies behind the
// end of a matrix or of a row is never read: the last row, the last piece come again instead, whose
// products nobody stores, or are with zeros.
template <GpuForm kForm, int kRows, int kThreads>
class WeightSource {
  using Chunk = WeightChunk<kForm>;
  static_assert(kRows * Chunk::kPieces % kThreads == 0 && kThreads % Chunk::kPieces == 0);
  static_assert(kRows * Chunk::kWords % kThreads == 0);

 public:
  static constexpr int kBytes = kRows * Chunk::kRowBytes;

  MLA_DEVICE WeightSource(const GpuMatrix& w, int64_t first, int rows) : last_(rows - 1) {
    const int64_t padded = GpuPaddedCols(w.cols);
    groups_ = static_cast<int>(w.cols / kGpuGroup);
    run_ = Chunk::kQuantized        ? groups_ * 16
           : kForm == GpuForm::kF32 ? static_cast<int>(padded) * 4
                                    : static_cast<int>(padded) * 2;
    values_ = w.values + first * (run_ * Chunk::kRuns) + ThreadIndex() % Chunk::kRuns * run_;
    scales_ = Chunk::kQuantized ? w.scales + first * (groups_ * Chunk::kWordRuns) : nullptr;
  }

  MLA_DEVICE void Copy(int chunk, uint8_t* to) const {
    const int piece = ThreadIndex() % Chunk::kPieces;
    const int at = (chunk * (Chunk::kPieces / Chunk::kRuns) + piece / Chunk::kRuns) * 16;
    const uint8_t* from = values_ + (at < run_ - 16 ? at : run_ - 16);
    MLA_UNROLL
    for (int i = 0; i < kRows * Chunk::kPieces / kThreads; ++i) {
      const int row = ThreadIndex() / Chunk::kPieces + i * (kThreads / Chunk::kPieces);
      CopyAsync(
          to + Chunk::Place(row, piece) * 16,
          from + static_cast<uint32_t>(Inside(row)) * static_cast<uint32_t>(run_ * Chunk::kRuns));
    }
    if constexpr (Chunk::kQuantized) {
      const int place = ThreadIndex() % Chunk::kWords;
      const int group = chunk * Chunk::kGroups + place % Chunk::kGroups;
      const uint32_t* words =
          scales_ + place / Chunk::kGroups * groups_ + (group < groups_ ? group : groups_ - 1);
      uint32_t* to_words = reinterpret_cast<uint32_t*>(to + kRows * Chunk::kPieces * 16);
      MLA_UNROLL
      for (int i = 0; i < kRows * Chunk::kWords / kThreads; ++i) {
        const int word = ThreadIndex() + i * kThreads;
        CopyWordAsync(to_words + word, words + static_cast<uint32_t>(Inside(word / Chunk::kWords) *
                                                                     groups_ * Chunk::kWordRuns));
      }
    }
  }

 private:
  MLA_DEVICE int Inside(int row) const { return row < last_ ? row : last_; }

  const uint8_t* values_;
  const uint32_t* scales_;
  int last_, groups_, run_;  // run_: bytes of a row that lie side by side
};

// A lane's share of row + below of a chunk in shared memory, its sixteen neighbouring weights
// (quantized ones it holds in registers): `below`, a multiple of 8, is the compiler's to know.
// Halves gives eight of them, from 8 * which on, as the two steps of Mma take them: pairs of
// elements 0, 2 | 4, 6 and 1, 3 | 5, 7. `scale` is what rows that have a scale are multiplied with.
template <GpuForm kForm, int kRows>
struct LaneWeights {
  MLA_DEVICE void Load(const uint8_t* chunk, int row, int below, int t, float scale) {
    chunk_ = chunk + below * (kPieces * 16);
    row_ = row;
    t_ = t;
    scale_ = scale;
  }

  MLA_DEVICE void Halves(int which, uint32_t (&to)[4]) const {
    const Quad first = Piece(which * (kPieces / 8));
    if constexpr (kForm == GpuForm::kF32) {
      const Quad second = Piece(which * 2 + 1);
      MLA_UNROLL
      for (int odd = 0; odd < 2; ++odd) {
        to[2 * odd] = Scaled(first.word[odd], first.word[odd + 2]);
        to[2 * odd + 1] = Scaled(second.word[odd], second.word[odd + 2]);
      }
    } else {
      MLA_UNROLL
      for (int side = 0; side < 2; ++side) {
        const uint32_t a = first.word[2 * side], b = first.word[2 * side + 1];
        if constexpr (kForm == GpuForm::kF16) {
          to[side] = Bytes(a, b, 0x5410);
          to[2 + side] = Bytes(a, b, 0x7632);
        } else {
          to[side] = Scaled(a << 16, b << 16);
          to[2 + side] = Scaled(a & 0xffff0000u, b & 0xffff0000u);
        }
      }
    }
  }

 private:
  static constexpr int kPieces = WeightChunk<kForm>::kPieces;

  MLA_DEVICE Quad Piece(int i) const {
    return reinterpret_cast<const Quad*>(
        chunk_)[WeightChunk<kForm>::Place(row_, t_ * (kPieces / 4) + i)];
  }
  MLA_DEVICE uint32_t Scaled(uint32_t low, uint32_t high) const {
    return PackHalves(FloatOfBits(low) * scale_, FloatOfBits(high) * scale_);
  }

  const uint8_t* chunk_;
  int row_, t_;
  float scale_;
};

// A lane's scale word of a quantized row, or the fifth bits of the same group: its sixteen weights
// are of one group.
template <GpuForm kForm, int kRows>
MLA_DEVICE uint32_t LaneNumbers(const uint8_t* chunk, int row, int t, bool fifths = false) {
  using Chunk = WeightChunk<kForm>;
  const int word = row * Chunk::kWords + t / 2 + (fifths ? Chunk::kGroups : 0);
  return reinterpret_cast<const uint32_t*>(chunk + kRows * Chunk::kPieces * 16)[word];
}

// A whole number u < 1024 in the last bits of 1024's mantissa is 1024 + u, 16 u likewise; taking
// the 1024 off again is exact. So a weight is rounded once, with its scale.
constexpr uint32_t kHalves1024 = 0x64006400, kHalvesMinus1024 = 0xe400e400;

// kInt4 and kInt5.
template <GpuForm kForm, int kRows>
struct LaneNibbles {
  MLA_DEVICE void Load(const uint8_t* chunk, int row, int below, int t, float) {
    row += below;
    struct alignas(8) Two {
      uint32_t word[2];
    };
    const Two two = reinterpret_cast<const Two*>(chunk)[row * 4 + t];
    words_[0] = two.word[0];
    words_[1] = two.word[1];
    const uint32_t numbers = LaneNumbers<kForm, kRows>(chunk, row, t);
    scale_ = Bytes(numbers, numbers, 0x1010);
    minimum_ = Bytes(numbers, numbers, 0x3232);
    // Those of its two words: the first four bits of each byte are of the group's first half.
    if constexpr (kFifths) {
      fifths_ = LaneNumbers<kForm, kRows>(chunk, row, t, true) >> (t % 2 * 4);
    }
  }

  // A word's low nibbles are elements 0 .. 3, the high ones 4 .. 7.
  MLA_DEVICE void Halves(int which, uint32_t (&to)[4]) const {
    constexpr uint32_t kSixteenth = 0x2c002c00, kMinus64 = 0xd400d400;
    MLA_UNROLL
    for (int odd = 0; odd < 2; ++odd) {
      const uint32_t word = words_[which] >> (8 * odd);
      uint32_t low = word & 0x000f000fu, high = word & 0x00f000f0u;  // fields; 16 fields
      if constexpr (kFifths) {
        const uint32_t bits = fifths_ >> (8 * odd);
        low |= bits << (4 - 2 * which) & 0x00100010u;
        high |= bits << (7 - 2 * which) & 0x01000100u;
      }
      low = AddHalves(low | kHalves1024, kHalvesMinus1024);
      high = MulAddHalves(high | kHalves1024, kSixteenth, kMinus64);
      to[2 * odd] = MulAddHalves(low, scale_, minimum_);
      to[2 * odd + 1] = MulAddHalves(high, scale_, minimum_);
    }
  }

 private:
  static constexpr bool kFifths = kForm == GpuForm::kInt5;

  uint32_t words_[2], scale_, minimum_, fifths_;
};

template <int kRows>
struct LaneWeights<GpuForm::kInt4, kRows> : LaneNibbles<GpuForm::kInt4, kRows> {};
template <int kRows>
struct LaneWeights<GpuForm::kInt5, kRows> : LaneNibbles<GpuForm::kInt5, kRows> {};

template <int kRows>
struct LaneWeights<GpuForm::kInt8, kRows> {
  MLA_DEVICE void Load(const uint8_t* chunk, int row, int below, int t, float) {
    row += below;
    const Quad quad = reinterpret_cast<const Quad*>(chunk)[row * 4 + t];
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) words_[i] = quad.word[i] ^ 0x80808080u;  // and 128 more
    const uint32_t numbers = LaneNumbers<GpuForm::kInt8, kRows>(chunk, row, t);
    scale_ = Bytes(numbers, numbers, t % 2 == 0 ? 0x1010u : 0x3232u);
  }

  MLA_DEVICE void Halves(int which, uint32_t (&to)[4]) const {
    constexpr uint32_t kMinus1152 = 0xe480e480;
    MLA_UNROLL
    for (int side = 0; side < 2; ++side) {
      MLA_UNROLL
      for (int odd = 0; odd < 2; ++odd) {
        const uint32_t raised =
            Bytes(words_[2 * which + side], kHalves1024, odd == 0 ? 0x7250u : 0x7351u);
        to[2 * odd + side] = MulAddHalves(AddHalves(raised, kMinus1152), scale_, 0);
      }
    }
  }

 private:
  uint32_t words_[4], scale_;
};

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_MATMUL_GPU_WEIGHT_TILE_H_
