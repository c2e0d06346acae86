// What a split leaves in the workspace of a query's head: the power of two that its weights are
// relative to, their total, two numbers of no meaning, and weighted means. These are halves, or of
// rows that are bf16, whose means may be beyond halves, floats (GpuAttentionSizes::bfloats).
#ifndef MLA_KERNELS_ATTENTION_GPU_PARTIAL_H_
#define MLA_KERNELS_ATTENTION_GPU_PARTIAL_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

MLA_DEVICE float* PartialRow(const AttendArgs& a, int sequence, int split, int query, int head) {
  const int64_t row =
      ((int64_t{sequence} * a.splits + split) * a.sizes.queries + query) * a.sizes.heads + head;
  return static_cast<float*>(a.call.workspace) + row * a.sizes.partial_floats();
}

struct alignas(8) TwoFloats {
  float of[2];
};
// Eight neighbouring elements.
struct EightFloats {
  float of[8];
};

template <MmaFloat kFloat>
MLA_DEVICE void StoreMean(float* row, int element, float mean) {
  if constexpr (kFloat == MmaFloat::kBfloat) {
    row[4 + element] = mean;
  } else {
    reinterpret_cast<uint16_t*>(row + 4)[element] = FloatToHalf(mean);
  }
}
// From an even element on.
template <MmaFloat kFloat>
MLA_DEVICE void StoreTwoMeans(float* row, int element, float first, float second) {
  if constexpr (kFloat == MmaFloat::kBfloat) {
    *reinterpret_cast<TwoFloats*>(row + 4 + element) = {first, second};
  } else {
    reinterpret_cast<uint32_t*>(row + 4)[element / 2] = PackHalves(first, second);
  }
}
// From a multiple of eight on.
template <MmaFloat kFloat>
MLA_DEVICE void StoreEightMeans(float* row, int element, const EightFloats& means) {
  if constexpr (kFloat == MmaFloat::kBfloat) {
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      Quad quad;
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) quad.word[i] = BitsOfFloat(means.of[4 * half + i]);
      *reinterpret_cast<Quad*>(row + 4 + element + 4 * half) = quad;
    }
  } else {
    Quad quad;
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) quad.word[i] = PackHalves(means.of[2 * i], means.of[2 * i + 1]);
    *reinterpret_cast<Quad*>(row + 4 + element / 2) = quad;
  }
}
template <MmaFloat kFloat>
MLA_DEVICE EightFloats LoadEightMeans(const float* row, int element) {
  EightFloats means;
  if constexpr (kFloat == MmaFloat::kBfloat) {
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Quad quad = LoadQuad(row + 4 + element + 4 * half);
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) means.of[4 * half + i] = FloatOfBits(quad.word[i]);
    }
  } else {
    const Quad quad = LoadQuad(row + 4 + element / 2);
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) {
      means.of[2 * i] = HalfToFloat(static_cast<uint16_t>(quad.word[i]));
      means.of[2 * i + 1] = HalfToFloat(static_cast<uint16_t>(quad.word[i] >> 16));
    }
  }
  return means;
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_PARTIAL_H_
