// IQ4_NL and IQ4_XS: four bits that name one of sixteen numbers, closer to each other near zero,
// where most weights are. Exact decoding, and encoding by a search for the least squared error.
#ifndef MLA_TENSOR_IQ4_QUANTS_H_
#define MLA_TENSOR_IQ4_QUANTS_H_

#include <cstdint>

#include "tensor/types.h"

namespace mla {

// The scale of sub-block i < 8 of an IQ4_XS block, in units of d.
inline int Iq4Scale(const BlockIQ4_XS& block, int i) {
  const int low = block.scales_l[i / 2] >> (i % 2 * 4) & 15;
  const int high = (block.scales_h[i / 4] >> (i % 4 * 2) & 3) << 4;
  return (low | high) - 32;
}

void DequantizeIQ4_NL(const BlockIQ4_NL& block, float* y);  // y[32]
void DequantizeIQ4_XS(const BlockIQ4_XS& block, float* y);  // y[256]
void QuantizeIQ4_NL(const float* x, BlockIQ4_NL* block);    // x[32]
void QuantizeIQ4_XS(const float* x, BlockIQ4_XS* block);    // x[256]

}  // namespace mla
#endif  // MLA_TENSOR_IQ4_QUANTS_H_
