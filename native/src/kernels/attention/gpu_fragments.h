// A tile's rows as the left operand of Mma (16 rows by 16 columns of halves), widened in registers
// as they are read from shared memory. With g = lane / 4 and t = lane % 4:
//
// Scores, tokens by elements: of a strip of 32 elements a lane has 8t .. 8t + 7, of 32 tokens
// 4g .. 4g + 3, four of its own in two products' rows g and g + 8 (TokenOf). Queries lie in the
// order of elements, so that a lane's eight are one load.
// Sums, elements by tokens: of a strip of 64 elements a lane has 8g .. 8g + 7, two for each of four
// products, of 16 tokens 4t .. 4t + 3.
//
// A half is a field beside the exponent that makes it 1024 + u (or 64 + u, 256 + u where it is not
// in the lowest bits), less that, times the scale, plus the minimum: for two elements 3 or 3 1/2
// instructions, of which one for two fields picks bytes.
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
};

// Two fields each in the lower byte of a half: element i and, of int4 and int2, element i + 4 of
// the eight that a lane has, in the next bits.
constexpr uint32_t kOneByte = 0x64646464u;

template <CacheType kType>
MLA_DEVICE void WidenPair(uint32_t bytes, uint32_t scale, uint32_t minimum, uint32_t* low,
                          uint32_t* high) {
  if constexpr (kType == CacheType::kInt8) {
    *low = MulAddHalves(AddHalves(bytes, 0xe480e480u), scale, minimum);  // -1024 - 128
  } else if constexpr (kType == CacheType::kInt4) {
    const uint32_t first = (bytes & 0x000f000fu) | 0x64006400u;
    const uint32_t second = (bytes & 0x00f000f0u) | 0x54005400u;
    *low = MulAddHalves(AddHalves(first, 0xe400e400u), scale, minimum);    // -1024
    *high = MulAddHalves(AddHalves(second, 0xd400d400u), scale, minimum);  // -64
  } else {
    const uint32_t first = (bytes & 0x00030003u) | 0x64006400u;
    const uint32_t second = (bytes & 0x000c000cu) | 0x5c005c00u;
    *low = MulAddHalves(AddHalves(first, 0xe400e400u), scale, minimum);    // -1024
    *high = MulAddHalves(AddHalves(second, 0xdc00dc00u), scale, minimum);  // -256
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

template <CacheType kType>
MLA_DEVICE void LoadPackedScores(const TileView& tile, const GpuTileArray& array, int at,
                                 int numbers, int strip, int token, ScoreFragments<2>* to) {
  using F = Fields<kType>;
  const int g = Lane() / 4, t = Lane() % 4;
  PackedEight<kType> eight;
  eight.Load(tile, at, array.Eight(strip * kScoreStrip + 8 * t), token / 4 + g);
  const int line = numbers + (strip * kScoreStrip >> array.group_shift) * F::kNumbers;
  const FourHalves scales = LoadNumbers(tile, line, token + 4 * g);
  FourHalves minima = {};
  if constexpr (F::kNumbers == 2) minima = LoadNumbers(tile, line + 1, token + 4 * g);
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) {  // tokens
    const uint32_t digits = i % 2 == 0 ? 0x1010 : 0x3232;
    const uint32_t scale = Bytes(scales.word[i / 2], 0, digits);
    const uint32_t minimum = F::kNumbers == 2 ? Bytes(minima.word[i / 2], 0, digits) : 0;
    uint32_t(&a)[2][4] = to->a[i / 2];
    const int half = i % 2;
    const uint32_t word = eight.first.word[i];
    constexpr uint32_t kUpper = kType == CacheType::kInt8 ? kOneByte : 0;
    WidenPair<kType>(Bytes(word, kUpper, 0x4140), scale, minimum, &a[0][half], &a[1][half]);
    WidenPair<kType>(Bytes(word, kUpper, 0x4342), scale, minimum, &a[0][2 + half], &a[1][2 + half]);
    if constexpr (kType == CacheType::kInt8) {
      const uint32_t more = eight.second.word[i];
      WidenPair<kType>(Bytes(more, kUpper, 0x4140), scale, minimum, &a[1][half], nullptr);
      WidenPair<kType>(Bytes(more, kUpper, 0x4342), scale, minimum, &a[1][2 + half], nullptr);
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
    const int numbers = array.numbers + group * array.number_step;
    LoadPackedScores<kType>(tile, array, at, numbers, strip, token, to);
  }
}

// --- sums: a[m] are elements 8g + 2m (row g) and 8g + 2m + 1 (row g + 8) ---

struct SumFragments {
  uint32_t a[4][4];
};

template <CacheType kType>
MLA_DEVICE void LoadPackedSums(const TileView& tile, const GpuTileArray& array, int strip,
                               int token, SumFragments* to) {
  using F = Fields<kType>;
  const int g = Lane() / 4, t = Lane() % 4;
  const int element = array.Eight(strip * kValueStrip + 8 * g);
  PackedEight<kType> eight;
  eight.Load(tile, array.at, element, token / 4 + t);
  const int line = array.numbers + (element >> array.group_shift) * F::kNumbers;
  const FourHalves scales = LoadNumbers(tile, line, token + 4 * t);
  FourHalves minima = {};
  if constexpr (F::kNumbers == 2) minima = LoadNumbers(tile, line + 1, token + 4 * t);
  MLA_UNROLL
  for (int pair = 0; pair < 2; ++pair) {  // of tokens
    const uint32_t scale = scales.word[pair], minimum = minima.word[pair];
    uint32_t wide[8];  // elements
    MLA_UNROLL
    for (int j = 0; j < 4; ++j) {
      const uint32_t digits = static_cast<uint32_t>(0x4400 + 0x1111 * j);
      const auto bytes = [&](const Quad& words) {
        const uint32_t two = Bytes(words.word[2 * pair], words.word[2 * pair + 1], digits);
        return kType == CacheType::kInt8 ? (two & 0x00ff00ffu) | (kOneByte & 0xff00ff00u) : two;
      };
      WidenPair<kType>(bytes(eight.first), scale, minimum, &wide[j], &wide[4 + j]);
      if constexpr (kType == CacheType::kInt8) {
        WidenPair<kType>(bytes(eight.second), scale, minimum, &wide[4 + j], nullptr);
      }
    }
    MLA_UNROLL
    for (int m = 0; m < 4; ++m) {
      to->a[m][2 * pair] = wide[2 * m];
      to->a[m][2 * pair + 1] = wide[2 * m + 1];
    }
  }
}

MLA_DEVICE void LoadHalfSums(const TileView& tile, const GpuTileArray& array, int strip, int token,
                             SumFragments* to) {
  const int g = Lane() / 4, t = Lane() % 4;
  const int unit = array.at + array.Eight(strip * kValueStrip + 8 * g) / kUnitElements;
  MLA_UNROLL
  for (int pair = 0; pair < 2; ++pair) {
    Quad quads[2];
    MLA_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int row = token + 4 * t + 2 * pair + i;
      quads[i] = LoadShared(tile.floats + UnitAt(row, unit, tile.pitch) * 16);
    }
    MLA_UNROLL
    for (int m = 0; m < 4; ++m) {
      to->a[m][2 * pair] = Bytes(quads[0].word[m], quads[1].word[m], 0x5410);
      to->a[m][2 * pair + 1] = Bytes(quads[0].word[m], quads[1].word[m], 0x7632);
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
