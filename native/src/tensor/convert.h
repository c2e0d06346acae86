// Rows of weights to and from floats: portable, exact, for loading and writing (kernels have their
// own).
#ifndef MLA_TENSOR_CONVERT_H_
#define MLA_TENSOR_CONVERT_H_

#include <cstdint>

#include "tensor/types.h"

namespace mla {

float HalfToFloat(uint16_t half);
uint16_t FloatToHalf(float value);  // round to nearest even; overflow gives infinity, NaN stays NaN
float Bfloat16ToFloat(uint16_t value);
uint16_t FloatToBfloat16(float value);  // round to nearest even

// n elements, whole blocks of `type`. Bit-exact with GGUF's definition of each type.
void DequantizeRow(Type type, const void* src, float* dst, int64_t n);
// Nearest representable by the type's reference quantizer (minimal squared error search for K
// types).
void QuantizeRow(Type type, const float* src, void* dst, int64_t n);

}  // namespace mla
#endif  // MLA_TENSOR_CONVERT_H_
