// How a tile, a page's tokens of the latent and the rotary rows, becomes matrices of halves or bf16
// in a slot of shared memory, as groups of warps multiply them: for every 64 elements [64
// tokens][128 bytes], of whose pieces of 16 bytes number i of token r lies at i ^ r % 8. Floats
// come as they are; of packed rows every element is unpacked once: w = scale * u + minimum, rounded
// to a half.
#ifndef MLA_KERNELS_ATTENTION_GPU_GROUP_ROWS_H_
#define MLA_KERNELS_ATTENTION_GPU_GROUP_ROWS_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_fragments.h"
#include "kernels/attention/gpu_group.h"
#include "kernels/attention/gpu_latent.h"
#include "kernels/attention/gpu_latent_rows.h"

namespace mla::MLA_GPU {

constexpr int kGroup = 4 * kWarp;  // threads

// Where eight elements, number `unit` of a row whose strips begin at `strip`, lie of a matrix's row
// (a token, or a column of queries).
MLA_DEVICE int GroupUnitAt(int strip, int unit, int row) {
  return (strip + unit / 8) * kGroupStripBytes + row * 128 + ((unit ^ row) % 8) * 16;
}

// Rows of floats, by the threads of a group. Zeros of tokens that nobody asks for.
MLA_DEVICE void BringGroupFloats(const GpuLatentArray& array, const LatentTile& tile,
                                 const uint8_t* page, int slot, int strip) {
  if (array.strips == 0) return;
  const int thread = ThreadIndex() % kGroup;
  const int lanes = 1 << array.lane_shift, at_once = kGroup >> array.lane_shift;
  const int begin = thread >> array.lane_shift, step = at_once * array.source_row;
  const uint8_t* row_begin = page + array.source + begin * array.source_row;
  if (tile.form == kFirstForm) row_begin += tile.first * array.source_row;
  const bool whole = tile.whole();
  MLA_UNROLL_BY(1)
  for (int c = thread & (lanes - 1); c < array.chunks; c += lanes) {
    const uint8_t* from = row_begin + c * 16;
    if (whole) {
      MLA_UNROLL_BY(4)
      for (int row = begin; row < kPageTokens; row += at_once) {
        CopyAsync(slot + GroupUnitAt(strip, c, row), from);
        from += step;
      }
      continue;
    }
    MLA_UNROLL_BY(1)
    for (int row = begin; row < kPageTokens; row += at_once) {
      const int to = slot + GroupUnitAt(strip, c, row);
      if (row >= tile.begin && row < tile.end) {
        CopyAsync(to, from);
      } else {
        StoreShared(to, Quad{});
      }
      from += step;
    }
  }
}

// What a thread has of 32 elements of its token, as it lies in the page.
template <int kWords>
struct PackedWords {
  uint32_t words[kWords];
  uint32_t scale, minimum;  // halves
};
template <CacheType kType>
constexpr int kStripWords = kScoreStrip / Fields<kType>::kBlock;

// A thread's every second strip of 32 elements, the first of which is `half`, of rows of this type,
// of a page in memory or where it was brought to in shared memory.
template <CacheType kType, typename Page>
struct PackedRow {
  using F = Fields<kType>;
  static constexpr int kWords = kStripWords<kType>;
  static constexpr int kLine = kPageTokens * kBlockBytes;

  // Of a token of the page. Where it is not asked for numbers are zeros, and so is all.
  MLA_DEVICE PackedRow(const GpuLatentArray& array, Page page, int half, int token, bool is_asked)
      : values(page + array.source + half * (kWords * kLine) + token * kBlockBytes),
        numbers(page + array.number_source + token * 2 +
                (half >> (array.group_shift - 5)) * (F::kNumbers * kPageTokens * 2)),
        number_step((2 >> (array.group_shift - 5)) * (F::kNumbers * kPageTokens * 2)),
        last(array.chunks / (kLine / 16) - 1 - half * kWords),
        asked(is_asked) {}

  // The `k`th. kClamped: where a strip may lack blocks, instead of which it has its row's last one
  // again: queries are zeros there.
  template <bool kClamped, int kMost>
  MLA_DEVICE void Load(int k, PackedWords<kMost>* to) const {
    static_assert(kWords <= kMost);
    MLA_UNROLL
    for (int i = 0; i < kWords; ++i) {
      int line = k * 2 * kWords + i;
      if (kClamped && line > last) line = last;
      to->words[i] = Word(values + line * kLine);
    }
    const Page from = numbers + k * number_step;
    to->scale = asked ? Half(from) : 0;
    if constexpr (HasMinima(kType)) to->minimum = asked ? Half(from + kPageTokens * 2) : 0;
  }

  MLA_DEVICE static uint32_t Word(const uint8_t* at) { return LoadWord(at); }
  MLA_DEVICE static uint32_t Half(const uint8_t* at) { return LoadHalf(at); }
  MLA_DEVICE static uint32_t Word(int at) { return LoadShared<uint32_t>(at); }
  MLA_DEVICE static uint32_t Half(int at) { return LoadShared<uint16_t>(at); }

  Page values, numbers;
  int number_step;
  int last;  // line
  bool asked;
};

// Its elements as halves.
template <CacheType kType, int kMost>
struct UnpackedStrip {
  const PackedWords<kMost>& of;

  // Elements 8i to 8i + 7.
  MLA_DEVICE Quad Unpack(int i) const {
    const uint32_t by = PickBytes(of.scale, 0, 0x1010);
    uint32_t plus = 0;
    if constexpr (HasMinima(kType)) plus = PickBytes(of.minimum, 0, 0x1010);
    Quad quad;
    MLA_UNROLL
    for (int four = 0; four < 2; ++four) {
      uint32_t low, high;  // fields as halves, in twos
      if constexpr (kType == CacheType::kInt8) {
        const uint32_t word = of.words[2 * i + four];
        PickPair<kType>(PickBytes(word, kOneByte, 0x4140), &low, nullptr);
        PickPair<kType>(PickBytes(word, kOneByte, 0x4342), &high, nullptr);
      } else if constexpr (kType == CacheType::kInt4) {
        const uint32_t bytes = of.words[i] & (four == 0 ? 0x0f0f0f0fu : 0xf0f0f0f0u);
        low = Whole(PickBytes(bytes, kOneByte, 0x4140), four * 4);
        high = Whole(PickBytes(bytes, kOneByte, 0x4342), four * 4);
      } else {
        const int field = i % 2 * 2 + four;
        const uint32_t bytes = of.words[i / 2] & (0x03030303u << (2 * field));
        low = Whole(PickBytes(bytes, kOneByte, 0x4140), field * 2);
        high = Whole(PickBytes(bytes, kOneByte, 0x4342), field * 2);
      }
      quad.word[2 * four] = MulAddHalves(low, by, plus);
      quad.word[2 * four + 1] = MulAddHalves(high, by, plus);
    }
    return quad;
  }

 private:
  // Of halves 1024 + u * 2^shift: u.
  MLA_DEVICE static uint32_t Whole(uint32_t halves, int shift) {
    if (shift == 0) return AddHalves(halves, 0xe400e400u);  // -1024
    const uint32_t by = static_cast<uint32_t>(15 - shift) << 10;
    const uint32_t less = 0x8000u | static_cast<uint32_t>(25 - shift) << 10;
    return MulAddHalves(halves, by | by << 16, less | less << 16);
  }
};

// To a slot: `strip`, the address of the strip of 64 elements; `token`: of it and of the half of
// that strip, as GroupUnitAt has them, where units lie.
struct GroupPlace {
  MLA_DEVICE GroupPlace(int token, int half) {
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) units[i] = GroupUnitAt(0, half * 4 + i, token);
  }
  template <CacheType kType, int kMost>
  MLA_DEVICE void Store(int strip, const PackedWords<kMost>& of) const {
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) {
      StoreShared(strip + units[i], UnpackedStrip<kType, kMost>{of}.Unpack(i));
    }
  }

  int units[4];
};

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_GROUP_ROWS_H_
