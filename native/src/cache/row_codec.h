// Rows of floats to packed rows and back.
#ifndef MLA_CACHE_ROW_CODEC_H_
#define MLA_CACHE_ROW_CODEC_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

// Types that EncodeRow and the attention kernels handle.
bool HasRowCodec(CacheType type);

// One row and, for quantized types, its numbers in `scales` (kPageTokens apart); format.type must
// have a codec. f16 saturates at the largest finite half. int8: symmetric, the scale is the group's
// largest magnitude / 127 rounded to f16; a group that holds a NaN or an infinity reads back as
// NaN, so that a broken activation stays visible.
void EncodeRow(const RowFormat& format, const float* values, uint8_t* row, uint16_t* scales);
// Row `t` of rows, exactly as the kernels read it.
void DecodeRow(const PackedRows& rows, int32_t t, float* values);

}  // namespace mla
#endif  // MLA_CACHE_ROW_CODEC_H_
