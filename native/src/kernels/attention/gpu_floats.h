// What rows, queries and weights of a layer meet as: halves, or bf16 where all of its rows are
// that.
#ifndef MLA_KERNELS_ATTENTION_GPU_FLOATS_H_
#define MLA_KERNELS_ATTENTION_GPU_FLOATS_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_tables.h"

namespace mla::MLA_GPU {

// In a kernel for rows of this type.
constexpr MmaFloat FloatOf(CacheType type) {
  return type == CacheType::kBf16 ? MmaFloat::kBfloat : MmaFloat::kHalf;
}

constexpr MmaFloat FloatOf(GpuRows rows) {
  return rows == GpuRows::kBfloats ? MmaFloat::kBfloat : MmaFloat::kHalf;
}

// Two in a word, the first in its lower part.
template <MmaFloat kFloat>
MLA_DEVICE uint32_t PackFloats(float low, float high) {
  if constexpr (kFloat == MmaFloat::kBfloat) return PackBfloats(low, high);
  return PackHalves(low, high);
}
template <MmaFloat kFloat>
MLA_DEVICE uint32_t MulFloats(uint32_t a, uint32_t b) {
  if constexpr (kFloat == MmaFloat::kBfloat) return MulAddBfloats(a, b, 0);
  return MulAddHalves(a, b, 0);
}
template <MmaFloat kFloat>
MLA_DEVICE float LowFloat(uint32_t pair) {
  if constexpr (kFloat == MmaFloat::kBfloat) return FloatOfBits(pair << 16);
  return HalfToFloat(static_cast<uint16_t>(pair));
}
template <MmaFloat kFloat>
MLA_DEVICE float HighFloat(uint32_t pair) {
  if constexpr (kFloat == MmaFloat::kBfloat) return FloatOfBits(pair & 0xffff0000u);
  return HalfToFloat(static_cast<uint16_t>(pair >> 16));
}

// Two weights as they are multiplied. As bf16 they are what they are rounded to from here on: a
// total of them is what sums have been weighted with, however few of them count.
template <MmaFloat kFloat>
MLA_DEVICE uint32_t PackWeights(float* low, float* high) {
  const uint32_t pair = PackFloats<kFloat>(*low, *high);
  if constexpr (kFloat == MmaFloat::kBfloat) {
    *low = LowFloat<kFloat>(pair);
    *high = HighFloat<kFloat>(pair);
  }
  return pair;
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_FLOATS_H_
