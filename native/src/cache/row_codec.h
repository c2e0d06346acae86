// Rows of floats to packed rows and back.
#ifndef MLA_CACHE_ROW_CODEC_H_
#define MLA_CACHE_ROW_CODEC_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

// Types that EncodeRow and the attention kernels handle.
bool HasRowCodec(CacheType type);

// One row; format.type must have a codec. f16 saturates at the largest finite half. int8:
// symmetric, the scale is the group's largest magnitude / 127 rounded to f16; a group that holds a
// NaN or an infinity reads back as NaN, so that a broken activation stays visible.
void EncodeRow(const RowFormat& format, const float* values, uint8_t* row);
// Exactly what the kernels read out of the row.
void DecodeRow(const RowFormat& format, const uint8_t* row, float* values);

}  // namespace mla
#endif  // MLA_CACHE_ROW_CODEC_H_
