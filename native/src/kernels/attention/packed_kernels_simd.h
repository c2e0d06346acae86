// The tile kernels of all rows: packed ones, and floats (tile_kernels_simd.h), where many meet them
// in fixed point.
#ifndef MLA_KERNELS_ATTENTION_PACKED_KERNELS_SIMD_H_
#define MLA_KERNELS_ATTENTION_PACKED_KERNELS_SIMD_H_

#include "kernels/attention/fixed_scores_simd.h"
#include "kernels/attention/fixed_sums_simd.h"
#include "kernels/attention/packed_scores_simd.h"
#include "kernels/attention/packed_sums_simd.h"
#include "kernels/attention/tile_kernels_simd.h"

namespace mla {
namespace {

template <class V>
void Accumulate(const PackedRows& rows, const float* weights, int64_t weights_stride,
                const Blend* blends, int32_t n, bool fine, float* out, int64_t out_stride) {
  if (!rows.format.packed()) {
    AccumulateFloats<V>(rows, weights, weights_stride, blends, n, out, out_stride);
    return;
  }
  const SumsTask task = {rows, weights, weights_stride, blends, n, out, out_stride};
  WithFields(rows.format, [&](auto fields) {
    constexpr int kFields = decltype(fields)::value;
    if constexpr (kFields > 1) {
      if (!fine) return AccumulateFields<V, kFields, true>(task);
    }
    AccumulateFields<V, kFields, false>(task);
  });
}

template <class V>
void Decode(const PackedRows& rows, float* out, int64_t out_stride) {
  if (!rows.format.packed()) {
    DecodeFloats<V>(rows, out, out_stride);
    return;
  }
  WithFields(rows.format, [&](auto fields) {
    for (int32_t g = 0; g < rows.format.groups(); ++g) {
      GroupNumbers<V, decltype(fields)::value, false> numbers;
      numbers.Read(rows, g);
      const Group<V, decltype(fields)::value, false> group(rows, g);
      group.Decode(numbers, out + group.begin, out_stride);
    }
  });
}

template <class V>
constexpr AttentionTileKernels MakeAttentionTileKernels() {
  AttentionTileKernels kernels = {Score<V>,      QuantizeQueries<V>, ScorePacked<V>, Weigh<V>,
                                  WeighAlike<V>, Accumulate<V>,      Decode<V>};
  if constexpr (V::kFixedPoint) {
    kernels.fix_query = FixQuery<V>;
    kernels.score_fixed = ScoreFixed<V>;
    kernels.accumulate_fixed = AccumulateFixed<V>;
  }
  return kernels;
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_KERNELS_SIMD_H_
