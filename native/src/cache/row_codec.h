// Rows of floats to rows of the cache and back.
#ifndef MLA_CACHE_ROW_CODEC_H_
#define MLA_CACHE_ROW_CODEC_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

// One token's row: `row` is its first byte and `scales` its first number (kPageTokens apart, as a
// packed row's blocks are kBlockStride apart). f16 saturates at the largest finite half,
// bf16 keeps infinities. Quantized groups are rounded with the scale of least squared error among a
// few (see group_quantizer.h); a group that holds a NaN or an infinity reads back as NaN, so that a
// broken activation stays visible.
void EncodeRow(const RowFormat& format, const float* values, uint8_t* row, uint16_t* scales);
// Row `t` of rows, exactly as the kernels read it.
void DecodeRow(const PackedRows& rows, int32_t t, float* values);

}  // namespace mla
#endif  // MLA_CACHE_ROW_CODEC_H_
