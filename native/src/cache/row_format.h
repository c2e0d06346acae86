// How one packed row lies in memory: element type, bytes, where values and scales are. Plain, so
// that kernels of every instruction set can include it.
#ifndef MLA_CACHE_ROW_FORMAT_H_
#define MLA_CACHE_ROW_FORMAT_H_

#include <cstdint>

namespace mla {

enum class CacheType { kF32 = 1, kF16 = 2, kInt8 = 3, kInt4 = 4, kInt2 = 5 };  // as MLA_CACHE_*

// A row of `length` elements. f32 and f16 rows are the values alone. Quantized rows are the values,
// packed from the first element on, then at `scales` f16 numbers, `scales_per_group` for every
// `group` elements (the last group may be short): int8 and int4 w = scale * q, int2 w = scale * q +
// minimum. Rows start at multiples of 2 bytes (f32: 4).
struct RowFormat {
  CacheType type;
  int32_t length;
  int32_t group;   // elements a scale, 32 or 64
  int32_t scales;  // byte offset in the row
  int32_t scales_per_group;
  int64_t stride;  // bytes from a token's row to the next token's, padding included
};

RowFormat MakeRowFormat(CacheType type, int32_t length, int32_t group);

// `count` rows, `format.stride` apart: what kernels read.
struct PackedRows {
  RowFormat format;
  const uint8_t* data;
  int32_t count;
};

}  // namespace mla
#endif  // MLA_CACHE_ROW_FORMAT_H_
