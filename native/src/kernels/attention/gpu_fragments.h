// A tile's rows as the left operand of Mma (16 rows by 16 columns of halves), as they are read from
// shared memory. With g = lane / 4 and t = lane % 4:
//
// Scores, tokens by elements: of a strip of 32 elements a lane has 8t .. 8t + 7, of 32 tokens
// 4g .. 4g + 3, four of its own in two products' rows g and g + 8 (TokenOf). Queries lie in the
// order of elements, so that a lane's eight are one load.
// Sums, elements by tokens: of a strip of 64 elements a lane has four of each half (SumElement), in
// two products each, of 16 tokens 4t .. 4t + 3.
//
// A field of int4 or int2 is a half as it lies: in the lowest bits of one it is u * 2^-24,
// subnormal, which tensor cores multiply exactly; in the next ones it is 2^kBits times that. So two
// elements cost 1 1/2 instructions, of which one for two picks bytes. int8's are made whole numbers
// by the exponent that makes them 1024 + u, less 1024 + 128. Not the elements meet their scales,
// but the products do (gpu_scores.h), or the weights do (gpu_sums.h); and minima, where there are
// some, are summed by products of their own.
#ifndef MLA_KERNELS_ATTENTION_GPU_FRAGMENTS_H_
#define MLA_KERNELS_ATTENTION_GPU_FRAGMENTS_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_tables.h"
#include "kernels/attention/gpu_tile.h"

namespace mla::MLA_GPU {

// Token of row g (half 0) or g + 8 (half 1) of product m, of the kProducts * 16 tokens that are
// scored together.
template <int kProducts>
MLA_DEVICE int TokenOf(int m, int half, int g) {
  // Of 16 such that neighbouring lanes read rows 4 apart (UnitAt).
  return kProducts == 2 ? 4 * g + 2 * m + half : 4 * (g & 3) + 2 * half + (g >> 2);
}

// A piece of a tile in shared memory.
struct TileView {
  const uint8_t* slot;
  const uint8_t* numbers;
  const uint8_t* floats;
  int tokens, pitch;
};

MLA_DEVICE TileView ViewTile(const GpuTilePiece& piece, int tokens, const uint8_t* slot) {
  return {slot, slot + piece.NumbersAt(tokens), slot + piece.FloatsAt(tokens), tokens, piece.pitch};
}

template <CacheType kType>
struct Fields {
  static constexpr int kBits = kType == CacheType::kInt8 ? 8 : kType == CacheType::kInt4 ? 4 : 2;
  static constexpr int kBlock = 32 / kBits;  // elements
  static constexpr int kNumbers = kType == CacheType::kInt8 ? 1 : 2;
  static constexpr bool kHasMinima = kNumbers == 2;
  // What one is as a half: in the lower field of a byte, in the upper one.
  static constexpr float kLowUnit = kType == CacheType::kInt8 ? 1.0f : 0x1p-24f;
  static constexpr float kHighUnit = kType == CacheType::kInt8 ? 1.0f : kLowUnit * (1 << kBits);
};

// Of halves with fields in their lower bytes: those of element i and, of int4 and int2, of element
// i + 4 of the eight that a lane has, in the next bits. int8's upper bytes are kOneByte's.
constexpr uint32_t kOneByte = 0x64646464u;

template <CacheType kType>
MLA_DEVICE void PickPair(uint32_t bytes, uint32_t* low, uint32_t* high) {
  if constexpr (kType == CacheType::kInt8) {
    *low = AddHalves(bytes, 0xe480e480u);  // -1024 - 128
  } else if constexpr (kType == CacheType::kInt4) {
    *low = bytes & 0x000f000fu;
    *high = bytes & 0x00f000f0u;
  } else {
    *low = bytes & 0x00030003u;
    *high = bytes & 0x000c000cu;
  }
}

// Four tokens' shares of eight elements from `element` on (a multiple of eight), of blocks that
// begin at line `at`: int8 takes two blocks, int2 half a one.
template <CacheType kType>
struct PackedEight {
  Quad first, second;  // [4 tokens]; second: int8 only

  MLA_DEVICE void Load(const TileView& tile, int at, int element, int chunk) {
    using F = Fields<kType>;
    const int chunks = tile.tokens / 4;
    const auto load = [&](int block) {
      const int line = at + block;
      const int swizzle = BlockSwizzle(line, kType == CacheType::kInt8);
      return LoadShared(tile.slot + (line * chunks + (chunk ^ swizzle)) * 16);
    };
    first = load(element / F::kBlock);
    if constexpr (kType == CacheType::kInt8) second = load(element / F::kBlock + 1);
    if constexpr (kType == CacheType::kInt2) {
      const int shift = element % F::kBlock / 2;  // of elements 8 .. 15: four bits of each byte
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) first.word[i] >>= shift;
    }
  }
};

struct alignas(8) FourHalves {
  uint32_t word[2];
};

// One number each of four tokens: of the group that `element` is in.
MLA_DEVICE FourHalves LoadNumbers(const TileView& tile, int line, int token) {
  return *reinterpret_cast<const FourHalves*>(tile.numbers + (line * tile.tokens + token) * 2);
}

// --- scores: a[m][step] are products m with two steps of 16 elements ---

template <int kProducts>
struct ScoreFragments {
  uint32_t a[kProducts][2][4];
};

// The line of the numbers of the group that `element` is in, of rotary group `group`.
template <CacheType kType>
MLA_DEVICE int NumberLine(const GpuTileArray& array, int group, int element) {
  return array.numbers + group * array.number_step +
         (element >> array.group_shift) * Fields<kType>::kNumbers;
}

template <CacheType kType>
MLA_DEVICE void LoadPackedScores(const TileView& tile, const GpuTileArray& array, int at, int strip,
                                 int token, ScoreFragments<2>* to) {
  const int g = Lane() / 4, t = Lane() % 4;
  PackedEight<kType> eight;
  eight.Load(tile, at, array.Eight(strip * kScoreStrip + 8 * t), token / 4 + g);
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) {  // tokens
    uint32_t(&a)[2][4] = to->a[i / 2];
    const int half = i % 2;
    const uint32_t word = eight.first.word[i];
    PickPair<kType>(Bytes(word, kOneByte, 0x4140), &a[0][half], &a[1][half]);
    PickPair<kType>(Bytes(word, kOneByte, 0x4342), &a[0][2 + half], &a[1][2 + half]);
    if constexpr (kType == CacheType::kInt8) {
      const uint32_t more = eight.second.word[i];
      PickPair<kType>(Bytes(more, kOneByte, 0x4140), &a[1][half], nullptr);
      PickPair<kType>(Bytes(more, kOneByte, 0x4342), &a[1][2 + half], nullptr);
    }
  }
}

template <int kProducts>
MLA_DEVICE void LoadHalfScores(const TileView& tile, const GpuTileArray& array, int at, int strip,
                               int token, ScoreFragments<kProducts>* to) {
  const int g = Lane() / 4, t = Lane() % 4;
  const int unit = at + array.Eight(strip * kScoreStrip + 8 * t) / kUnitElements;
  MLA_UNROLL
  for (int m = 0; m < kProducts; ++m) {
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = token + TokenOf<kProducts>(m, half, g);
      const Quad quad = LoadShared(tile.floats + UnitAt(row, unit, tile.pitch) * 16);
      to->a[m][0][half] = quad.word[0];
      to->a[m][0][2 + half] = quad.word[1];
      to->a[m][1][half] = quad.word[2];
      to->a[m][1][2 + half] = quad.word[3];
    }
  }
}

// Of rotary group `group` of the array; kF16 stands for all floats.
template <CacheType kType, int kProducts>
MLA_DEVICE void LoadScores(const TileView& tile, const GpuTileArray& array, int group, int strip,
                           int token, ScoreFragments<kProducts>* to) {
  const int at = array.at + group * array.step;
  if constexpr (kType == CacheType::kF16) {
    LoadHalfScores<kProducts>(tile, array, at, strip, token, to);
  } else {
    LoadPackedScores<kType>(tile, array, at, strip, token, to);
  }
}

// --- sums: a[m] are elements SumElement(m, ..) (row g, row g + 8) ---

// Of a strip of 64: products 0 and 1 have the first 32, which share their numbers, 2 and 3 the
// others.
MLA_DEVICE int SumElement(int m, int half) {
  const int g = Lane() / 4;
  return m / 2 * 32 + g / 2 * 8 + half * 4 + g % 2 * 2 + m % 2;
}

struct SumFragments {
  uint32_t a[4][4];
};

template <CacheType kType>
MLA_DEVICE void LoadPackedSums(const TileView& tile, const GpuTileArray& array, int strip,
                               int token, SumFragments* to) {
  const int g = Lane() / 4, t = Lane() % 4;
  MLA_UNROLL
  for (int part = 0; part < 2; ++part) {  // of the strip
    PackedEight<kType> eight;
    eight.Load(tile, array.at, array.Eight(strip * kValueStrip + part * 32 + g / 2 * 8),
               token / 4 + t);
    MLA_UNROLL
    for (int pair = 0; pair < 2; ++pair) {  // of tokens
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        const uint32_t digits = static_cast<uint32_t>(0x4400 + 0x1111 * j + g % 2 * 0x2222);
        const auto bytes = [&](const Quad& words) {
          const uint32_t two = Bytes(words.word[2 * pair], words.word[2 * pair + 1], digits);
          return kType == CacheType::kInt8 ? (two & 0x00ff00ffu) | (kOneByte & 0xff00ff00u) : two;
        };
        uint32_t(&a)[4] = to->a[2 * part + j];
        PickPair<kType>(bytes(eight.first), &a[2 * pair], &a[2 * pair + 1]);
        if constexpr (kType == CacheType::kInt8) {
          PickPair<kType>(bytes(eight.second), &a[2 * pair + 1], nullptr);
        }
      }
    }
  }
}

MLA_DEVICE void LoadHalfSums(const TileView& tile, const GpuTileArray& array, int strip, int token,
                             SumFragments* to) {
  const int g = Lane() / 4, t = Lane() % 4;
  MLA_UNROLL
  for (int part = 0; part < 2; ++part) {
    const int element = array.Eight(strip * kValueStrip + part * 32 + g / 2 * 8);
    const int unit = array.at + element / kUnitElements;
    MLA_UNROLL
    for (int pair = 0; pair < 2; ++pair) {
      const int row = token + 4 * t + 2 * pair;
      const auto word = [&](int i, int half) {
        const uint8_t* at = tile.floats + UnitAt(row + i, unit, tile.pitch) * 16;
        return reinterpret_cast<const uint32_t*>(at)[half * 2 + g % 2];
      };
      MLA_UNROLL
      for (int half = 0; half < 2; ++half) {
        const uint32_t first = word(0, half), second = word(1, half);
        to->a[2 * part][2 * pair + half] = Bytes(first, second, 0x5410);
        to->a[2 * part + 1][2 * pair + half] = Bytes(first, second, 0x7632);
      }
    }
  }
}

template <CacheType kType>
MLA_DEVICE void LoadSums(const TileView& tile, const GpuTileArray& array, int strip, int token,
                         SumFragments* to) {
  if constexpr (kType == CacheType::kF16) {
    LoadHalfSums(tile, array, strip, token, to);
  } else {
    LoadPackedSums<kType>(tile, array, strip, token, to);
  }
}

// Calls with an array's type as a constant, kF16 for all floats. Packed rows have tiles of two
// products at least.
template <CacheType kType>
struct TypeConstant {
  static constexpr CacheType value = kType;
};
template <int kProducts, typename Call>
MLA_DEVICE void WithType(const GpuTileArray& array, const Call& call) {
  if constexpr (kProducts == 2) {
    switch (static_cast<CacheType>(array.type)) {
      case CacheType::kInt8:
        return call(TypeConstant<CacheType::kInt8>());
      case CacheType::kInt4:
        return call(TypeConstant<CacheType::kInt4>());
      case CacheType::kInt2:
        return call(TypeConstant<CacheType::kInt2>());
      default:
        break;
    }
  }
  call(TypeConstant<CacheType::kF16>());
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_FRAGMENTS_H_
