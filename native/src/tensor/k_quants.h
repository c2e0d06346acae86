// The super-blocks of 256 elements, Q4_K, Q5_K and Q6_K: exact decoding, and encoding by a search
// for the least squared error.
#ifndef MLA_TENSOR_K_QUANTS_H_
#define MLA_TENSOR_K_QUANTS_H_

#include "tensor/types.h"

namespace mla {

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

void DequantizeQ4_K(const BlockQ4_K& block, float* y);  // y[256]
void DequantizeQ5_K(const BlockQ5_K& block, float* y);  // y[256]
void DequantizeQ6_K(const BlockQ6_K& block, float* y);  // y[256]
void QuantizeQ4_K(const float* x, BlockQ4_K* block);    // x[256]
void QuantizeQ5_K(const float* x, BlockQ5_K* block);    // x[256]
void QuantizeQ6_K(const float* x, BlockQ6_K* block);    // x[256]

}  // namespace mla
#endif  // MLA_TENSOR_K_QUANTS_H_
