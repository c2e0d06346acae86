// How packed rows lie in memory: element type, bytes, scales. Plain, so that kernels of every
// instruction set can include it.
#ifndef MLA_CACHE_ROW_FORMAT_H_
#define MLA_CACHE_ROW_FORMAT_H_

#include <cstdint>

namespace mla {

enum class CacheType { kF32 = 1, kF16 = 2, kInt8 = 3, kInt4 = 4, kInt2 = 5 };  // as MLA_CACHE_*

inline constexpr int32_t kPageTokens = 64;

// Rows of `length` elements, one a token. A row is its values, packed from the first element on.
// Quantized types have `scales_per_group` f16 numbers for every `group` elements (the last group
// may be short): int8 and int4 w = scale * q, int2 w = scale * q + minimum. They lie beside the
// values, one group's numbers of a page's tokens after the other
// ([groups][scales_per_group][kPageTokens]), so that kernels convert those of many tokens at once.
struct RowFormat {
  CacheType type;
  int32_t length;
  int32_t group;             // elements a scale, 32 or 64; 0 where there are none
  int32_t scales_per_group;  // 0 where there are none
  int64_t stride;            // bytes from a token's row to the next token's

  int32_t groups() const { return scales_per_group == 0 ? 0 : (length + group - 1) / group; }
  int64_t page_value_bytes() const { return stride * kPageTokens; }
  int64_t page_scale_bytes() const {
    return int64_t{groups()} * scales_per_group * kPageTokens * 2;
  }
};

RowFormat MakeRowFormat(CacheType type, int32_t length, int32_t group);

// `count` rows: what kernels read.
struct PackedRows {
  RowFormat format;
  const uint8_t* data;
  const uint16_t*
      scales;  // of the first row; a group's numbers kPageTokens apart; null where there are none
  int32_t count;
};

}  // namespace mla
#endif  // MLA_CACHE_ROW_FORMAT_H_
