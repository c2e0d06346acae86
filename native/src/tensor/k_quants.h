// The super-blocks of 256 elements, Q3_K, Q4_K, Q5_K and Q6_K: exact decoding, and encoding by a
// search for the least squared error.
#ifndef MLA_TENSOR_K_QUANTS_H_
#define MLA_TENSOR_K_QUANTS_H_

#include "tensor/types.h"

namespace mla {

// The scale of sub-block i < 16 of a Q3_K block, in units of d.
inline int UnpackScale(const uint8_t* scales, int i) {
  return ((scales[i % 8] >> (i / 8 * 4) & 15) | (scales[8 + i % 4] >> (i / 4 * 2) & 3) << 4) - 32;
}

// The 6-bit scale and minimum of sub-block i < 8 of a Q4_K or Q5_K block.
inline void UnpackScaleMin(const uint8_t* scales, int i, uint8_t* scale, uint8_t* min) {
  if (i < 4) {
    *scale = scales[i] & 63;
    *min = scales[i + 4] & 63;
  } else {
    *scale = static_cast<uint8_t>((scales[i + 4] & 15) | (scales[i - 4] >> 6) << 4);
    *min = static_cast<uint8_t>((scales[i + 4] >> 4) | (scales[i] >> 6) << 4);
  }
}

void DequantizeQ3_K(const BlockQ3_K& block, float* y);  // y[256]
void DequantizeQ4_K(const BlockQ4_K& block, float* y);  // y[256]
void DequantizeQ5_K(const BlockQ5_K& block, float* y);  // y[256]
void DequantizeQ6_K(const BlockQ6_K& block, float* y);  // y[256]
void QuantizeQ3_K(const float* x, BlockQ3_K* block);    // x[256]
void QuantizeQ4_K(const float* x, BlockQ4_K* block);    // x[256]
void QuantizeQ5_K(const float* x, BlockQ5_K* block);    // x[256]
void QuantizeQ6_K(const float* x, BlockQ6_K* block);    // x[256]

}  // namespace mla
#endif  // MLA_TENSOR_K_QUANTS_H_
