// A tile's rows as the left operand of Mma (16 rows by 16 columns of halves), as they are read from
// shared memory. With g = lane / 4 and t = lane % 4:
//
// Scores, tokens by elements: of a strip of 32 elements a lane has 8t .. 8t + 7, of 32 tokens
// 4g .. 4g + 3, four of its own in two products' rows g and g + 8 (TokenOf). Queries lie in the
// order of elements, so that a lane's eight are one load.
// Sums, elements by tokens: of a strip of 64 elements a lane has four of each half (SumElement), in
// two products each, of 16 tokens 4t .. 4t + 3. Where no rows are packed, matrices are transposed
// as they are loaded: products have 16 neighbouring elements each, in Mma's own order.
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

// A piece of a tile: addresses in shared memory (SharedAddress).
struct TileView {
  int slot, numbers;
  int tokens;
};

MLA_DEVICE TileView ViewTile(const GpuTilePiece& piece, int tokens, int slot) {
  return {slot, slot + piece.numbers_at, tokens};
}

template <CacheType kType>
struct Fields {
  static constexpr int kBits = kType == CacheType::kInt8 ? 8 : kType == CacheType::kInt4 ? 4 : 2;
  static constexpr int kBlock = 32 / kBits;  // elements
  static constexpr int kNumbers = kType == CacheType::kInt8 ? 1 : 2;
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

// Where eight elements from `element` on (a multiple of eight) lie, of blocks whose first line is
// at `at` in the slot: int8 has them in two blocks, int2 half a one.
template <CacheType kType>
struct EightPlace {
  // For four tokens at a time: from `lane` * 4 and a multiple of 16 on.
  MLA_DEVICE static EightPlace At(const TileView& tile, const GpuTileArray& array, int at,
                                  int element, int lane) {
    using F = Fields<kType>;
    EightPlace place = {};
    const int line = static_cast<int>(static_cast<uint32_t>(element) / F::kBlock);
    place.begin = tile.slot + at + line * array.pitch + lane * 16;
    place.pitch = array.pitch;
    place.shift = static_cast<int>(static_cast<uint32_t>(element) % F::kBlock / 2);
    return place;
  }

  // [4 tokens] of block `i` from `token` on, a multiple of 16. int2: fields are `shift` bits up.
  MLA_DEVICE Quad Load(int token, int i = 0) const {
    return LoadShared<Quad>(begin + token * 4 + i * pitch);
  }

  int begin, pitch;
  int shift;  // int2: where elements 8 .. 15 are within a byte
};

// Where the numbers of four tokens from `token` on are: of the group that element 0 of rotary group
// 0 is in, and from a line of numbers to the next.
template <CacheType kType>
struct NumberPlace {
  MLA_DEVICE static NumberPlace At(const TileView& tile, const GpuTileArray& array, int token) {
    return {tile.numbers + (array.numbers * tile.tokens + token) * 2, tile.tokens * 2};
  }
  MLA_DEVICE int Of(const GpuTileArray& array, int group, int element) const {
    const uint32_t groups = static_cast<uint32_t>(element) >> array.group_shift;
    const int lines = static_cast<int>(groups) * Fields<kType>::kNumbers;
    return begin + (lines + group * array.number_step) * line;
  }

  int begin, line;
};

// --- scores: a[m][step] are products m with two steps of 16 elements ---

template <int kProducts>
struct ScoreFragments {
  uint32_t a[kProducts][2][4];
};

// Tokens from `token` on, a multiple of 32.
template <CacheType kType>
MLA_DEVICE void LoadPackedScores(const TileView& tile, const GpuTileArray& array, int at, int strip,
                                 int token, ScoreFragments<2>* to) {
  const int g = Lane() / 4, t = Lane() % 4;
  // Its lane is one of 16 tokens: the upper half of lanes has the next 16.
  const auto place =
      EightPlace<kType>::At(tile, array, at, array.Eight(strip * kScoreStrip + 8 * t), g & 3);
  const int from = token + g / 4 * 16;
  Quad first = place.Load(from);
  if constexpr (kType == CacheType::kInt2) {
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) first.word[i] >>= place.shift;
  }
  Quad second = {};
  if constexpr (kType == CacheType::kInt8) second = place.Load(from, 1);
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) {  // tokens
    uint32_t(&a)[2][4] = to->a[i / 2];
    const int half = i % 2;
    const uint32_t word = first.word[i];
    constexpr uint32_t kUpper = kType == CacheType::kInt8 ? kOneByte : 0;
    PickPair<kType>(Bytes(word, kUpper, 0x4140), &a[0][half], &a[1][half]);
    PickPair<kType>(Bytes(word, kUpper, 0x4342), &a[0][2 + half], &a[1][2 + half]);
    if constexpr (kType == CacheType::kInt8) {
      const uint32_t more = second.word[i];
      PickPair<kType>(Bytes(more, kOneByte, 0x4140), &a[1][half], nullptr);
      PickPair<kType>(Bytes(more, kOneByte, 0x4342), &a[1][2 + half], nullptr);
    }
  }
}

template <int kProducts>
MLA_DEVICE void LoadHalfScores(const TileView& tile, const GpuTileArray& array, int at, int strip,
                               int token, ScoreFragments<kProducts>* to) {
  const int g = Lane() / 4, t = Lane() % 4;
  const int unit = tile.slot + at + array.Eight(strip * kScoreStrip + 8 * t) * 2;
  MLA_UNROLL
  for (int m = 0; m < kProducts; ++m) {
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = token + TokenOf<kProducts>(m, half, g);
      const Quad quad = LoadShared<Quad>(unit + row * array.pitch);
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

constexpr int kPartElements = kValueStrip / 2;

// Of a strip of 64: products 0 and 1 have the first 32, which share their numbers, 2 and 3 the
// others.
template <bool kPacked>
MLA_DEVICE int SumElement(int m, int half) {
  const int g = Lane() / 4;
  if constexpr (!kPacked) return m * 16 + half * 8 + g;
  return m / 2 * kPartElements + g / 2 * 8 + half * 4 + g % 2 * 2 + m % 2;
}

// What the sum of a field is in, of row g (half 0) or g + 8.
template <CacheType kType>
MLA_DEVICE float SumUnit(int half) {
  const float unit = half == 0 ? Fields<kType>::kLowUnit : Fields<kType>::kHighUnit;
  // Elements 8 .. 15 of a block are four bits up.
  return kType == CacheType::kInt2 && Lane() / 8 % 2 == 1 ? unit * 16.0f : unit;
}

struct SumFragments {
  uint32_t a[4][4];
};

// Of 16 tokens at a time, what of a strip a lane reads.
template <CacheType kType>
struct SumStrip {
  MLA_DEVICE static SumStrip At(const TileView& tile, const GpuTileArray& array, int strip) {
    const int t = Lane() % 4;
    SumStrip to;
    MLA_UNROLL
    for (int part = 0; part < 2; ++part) {
      const int element = strip * kValueStrip + part * kPartElements;
      to.parts[part] = {
          EightPlace<kType>::At(tile, array, array.at, array.Eight(element + Lane() / 8 * 8), t),
          NumberPlace<kType>::At(tile, array, 4 * t).Of(array, 0, array.Eight(element))};
    }
    to.digits = static_cast<uint32_t>(Lane() / 4 % 2 * 0x2222);
    to.mask = 0x00030003u << (Lane() / 8 % 2 * 4);
    return to;
  }

  MLA_DEVICE void Load(int token, SumFragments* to) const {
    MLA_UNROLL
    for (int part = 0; part < 2; ++part) {
      const Quad first = parts[part].place.Load(token);
      Quad second = {};
      if constexpr (kType == CacheType::kInt8) second = parts[part].place.Load(token, 1);
      MLA_UNROLL
      for (int pair = 0; pair < 2; ++pair) {  // of tokens
        MLA_UNROLL
        for (int j = 0; j < 2; ++j) {
          const uint32_t pick = digits + static_cast<uint32_t>(0x4400 + 0x1111 * j);
          const auto bytes = [&](const Quad& words) {
            const uint32_t two = Bytes(words.word[2 * pair], words.word[2 * pair + 1], pick);
            return kType == CacheType::kInt8 ? (two & 0x00ff00ffu) | (kOneByte & 0xff00ff00u) : two;
          };
          uint32_t(&a)[4] = to->a[2 * part + j];
          if constexpr (kType == CacheType::kInt2) {
            // Not shifted: SumUnit has it.
            const uint32_t both = bytes(first);
            a[2 * pair] = both & mask;
            a[2 * pair + 1] = both & (mask << 2);
            continue;
          }
          PickPair<kType>(bytes(first), &a[2 * pair], &a[2 * pair + 1]);
          if constexpr (kType == CacheType::kInt8) {
            PickPair<kType>(bytes(second), &a[2 * pair + 1], nullptr);
          }
        }
      }
    }
  }
  // Weights [4 tokens] times the scales of products 2 part and 2 part + 1.
  MLA_DEVICE FourHalves Weigh(const FourHalves& weights, int part, int token) const {
    const FourHalves scales = LoadShared<FourHalves>(parts[part].scales + token * 2);
    return {{MulAddHalves(weights.word[0], scales.word[0], 0),
             MulAddHalves(weights.word[1], scales.word[1], 0)}};
  }

  struct Part {
    EightPlace<kType> place;
    int scales;
  };
  Part parts[2];
  uint32_t digits;  // that pick a lane's bytes
  uint32_t mask;    // int2: a lane's first field
};

template <>
struct SumStrip<CacheType::kF16> {
  MLA_DEVICE static SumStrip At(const TileView& tile, const GpuTileArray& array, int strip) {
    const int element = strip * kValueStrip + Lane() / 8 * 8;
    return {array.pitch,
            {tile.slot + array.at + array.Eight(element) * 2,
             tile.slot + array.at + array.Eight(element + kPartElements) * 2}};
  }

  MLA_DEVICE void Load(int token, SumFragments* to) const {
    const int g = Lane() / 4, t = Lane() % 4;
    MLA_UNROLL
    for (int part = 0; part < 2; ++part) {
      MLA_UNROLL
      for (int pair = 0; pair < 2; ++pair) {
        const int row = token + 4 * t + 2 * pair;
        const auto word = [&](int i, int half) {
          return LoadShared<uint32_t>(units[part] + (row + i) * pitch + (half * 2 + g % 2) * 4);
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
  MLA_DEVICE FourHalves Weigh(const FourHalves& weights, int, int) const { return weights; }

  int pitch;
  int units[2];
};

// Of floats where no rows are packed.
struct FloatStrip {
  MLA_DEVICE static FloatStrip At(const TileView& tile, const GpuTileArray& array, int strip) {
    const int matrix = Lane() / 8, token = matrix / 2 * 8 + Lane() % 8;
    FloatStrip to;
    to.pitch = array.pitch;
    MLA_UNROLL
    for (int m = 0; m < 4; ++m) {
      const int element = strip * kValueStrip + m * 16 + matrix % 2 * 8;
      to.begin[m] = tile.slot + array.at + array.Eight(element) * 2 + token * array.pitch;
    }
    return to;
  }

  MLA_DEVICE void Load(int token, SumFragments* to) const {
    MLA_UNROLL
    for (int m = 0; m < 4; ++m) LoadMatricesTransposed(to->a[m], begin[m] + token * pitch);
  }
  MLA_DEVICE FourHalves Weigh(const FourHalves& weights, int, int) const { return weights; }

  int pitch;
  int begin[4];
};

// The type's as a kernel has it.
template <CacheType kType, bool kPacked>
struct StripOf {
  using Type = SumStrip<kType>;
};
template <CacheType kType>
struct StripOf<kType, false> {
  using Type = FloatStrip;
};

// Weights of 16 tokens as the right operand for strips, of column `g` of eight and tokens from a
// multiple of 16 on.
template <bool kPacked>
struct WeightPlace {
  MLA_DEVICE explicit WeightPlace(const uint16_t* weights)
      : begin(SharedAddress(weights + Lane() / 4 * WeightPitch(kPacked) +
                            Lane() % 4 * (kPacked ? 4 : 2))) {}
  MLA_DEVICE FourHalves Load(int tile, int token) const {
    const int at = begin + (tile * 8 * WeightPitch(kPacked) + token) * 2;
    if constexpr (kPacked) return LoadShared<FourHalves>(at);
    return {{LoadShared<uint32_t>(at), LoadShared<uint32_t>(at + 16)}};
  }

  int begin;
};

// Calls with an array's type as a constant, kF16 for all floats. Packed rows have tiles of two
// products at least.
template <CacheType kType>
struct TypeConstant {
  static constexpr CacheType value = kType;
};
template <int kProducts, bool kPacked, typename Call>
MLA_DEVICE void WithType(const GpuTileArray& array, const Call& call) {
  if constexpr (kProducts == 2 && kPacked) {
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
