// How packed rows lie in memory: element type, bytes, scales. Plain, so that kernels of every
// instruction set can include it.
#ifndef MLA_CACHE_ROW_FORMAT_H_
#define MLA_CACHE_ROW_FORMAT_H_

#include <cstdint>

namespace mla {

enum class CacheType { kF32 = 1, kF16, kInt8, kInt4, kInt2, kBf16 };  // as MLA_CACHE_*

inline constexpr int32_t kPageTokens = 64;
inline constexpr int32_t kMostGroup = 64;  // elements that share a scale

// Packed rows: a token's share of a block, and from a block to the next.
inline constexpr int32_t kBlockBytes = 4;
inline constexpr int64_t kBlockStride = int64_t{kPageTokens} * kBlockBytes;

// Rows of `length` elements, one a token.
//
// Floats lie row by row, `stride` bytes apart.
//
// Quantized ("packed") rows lie in blocks of as many elements as 4 bytes hold (int8: 4, int4: 8,
// int2: 16), a page's tokens of a block side by side: [blocks][kPageTokens][4 bytes]. Integer dot
// products of neighbouring tokens with one query thus run in neighbouring lanes. Field f of byte j
// (int4: 2 fields of 4 bits, the lower first; int2: 4 of 2) is element 4f + j of the block; a
// block's elements beyond the row are zero. An element is
//   w = scale * (u - ZeroField(type)) (int8),   w = scale * u + minimum (int4, int2)
// with u the unsigned field, scale >= 0, and `scales_per_group` f16 numbers for every `group`
// elements (the last group may be short). They lie beside the values, one group's numbers of a
// page's tokens after the other: [groups][scales_per_group][kPageTokens].
struct RowFormat {
  CacheType type;
  int32_t length;
  int32_t group;             // elements a scale, 32 or 64; 0 where there are none
  int32_t scales_per_group;  // 0 where there are none
  int64_t stride;            // bytes from a token's row, or share of a block, to the next token's
  int32_t query_digits = 0;  // signed bytes an element of a quantized query; 0 where there are none

  constexpr bool packed() const { return scales_per_group > 0; }
  constexpr int32_t groups() const { return packed() ? (length + group - 1) / group : 0; }
  constexpr int32_t fields() const {
    return type == CacheType::kInt2 ? 4 : type == CacheType::kInt4 ? 2 : 1;
  }
  constexpr int32_t block_elements() const { return 4 * fields(); }
  // The first bit of element i's field in a block's 4 bytes, taken as a little-endian word.
  constexpr int32_t field_shift(int32_t i) const { return i % 4 * 8 + i / 4 * (8 / fields()); }
  constexpr int32_t blocks() const { return (length + block_elements() - 1) / block_elements(); }
  constexpr int64_t page_value_bytes() const {
    return packed() ? blocks() * kBlockStride : stride * kPageTokens;
  }
  constexpr int64_t page_scale_bytes() const {
    return int64_t{groups()} * scales_per_group * kPageTokens * 2;
  }
};

// Whether elements are floats, which have no scales.
constexpr bool IsFloat(CacheType type) {
  return type == CacheType::kF32 || type == CacheType::kF16 || type == CacheType::kBf16;
}
// Of an element, where those are floats.
constexpr int32_t FloatBytes(CacheType type) { return type == CacheType::kF32 ? 4 : 2; }
// Whether groups have a minimum beside their scale.
constexpr bool HasMinima(CacheType type) {
  return type == CacheType::kInt4 || type == CacheType::kInt2;
}
// The field that stands for zero, where there is no minimum.
constexpr int32_t ZeroField(CacheType type) { return type == CacheType::kInt8 ? 128 : 0; }

RowFormat MakeRowFormat(CacheType type, int32_t length, int32_t group);

// `count` rows: what kernels read. Packed rows begin at a page's first token.
struct PackedRows {
  RowFormat format;
  const uint8_t* data;
  const uint16_t*
      scales;  // of the first row; a group's numbers kPageTokens apart; null where there are none
  int32_t count;
  // Null, or the values of as many rows that are to be read next, with their scales as far from
  // them as here: worth fetching meanwhile.
  const uint8_t* ahead = nullptr;
};

}  // namespace mla
#endif  // MLA_CACHE_ROW_FORMAT_H_
