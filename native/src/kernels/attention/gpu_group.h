// What the group kernel is told of a layer (gpu_group_kernel.h), besides where rows lie in a page
// (gpu_latent.h), and where things lie in its shared memory; plain.
#ifndef MLA_KERNELS_ATTENTION_GPU_GROUP_H_
#define MLA_KERNELS_ATTENTION_GPU_GROUP_H_

#include <cstdint>

#include "cache/row_format.h"
#include "kernels/attention/gpu_tables.h"

namespace mla {

// Pairs of head and query of a block, where they are many and where they are few.
inline constexpr int32_t kGroupColumns = 64, kFewGroupColumns = 16;
inline constexpr int32_t kGroupElements = 64;  // of a strip: a matrix of a page's tokens by these
inline constexpr int32_t kGroupStripBytes = kPageTokens * kGroupElements * 2;
inline constexpr int32_t kGroupSlots = 2, kGroupStages = 2;
inline constexpr int32_t kGroupValueStrips = 8;  // at most

struct GpuGroupSizes {
  int32_t columns;
  int32_t values;  // strips of the latent; 0: the layer is not for this kernel
  int32_t strips;  // with those of rotary rows behind them
  int32_t clear;   // whether slots have places that no row fills
  // How many pages of packed rows shared memory has room for as they are, none or two, and a page's
  // bytes.
  int32_t stages, stage_bytes;
};

// Weights of a tile: a warp's fragments of its sixteen columns, for other groups.
inline constexpr int32_t kGroupWeightBytes = 4 * (kPageTokens / 16) * 512;

inline constexpr int32_t kGroupStateBytes = 128;  // GroupState (gpu_group_block.h)

// Queries, slots, weights, columns, factors, references, totals, changes of references, state,
// stages.
constexpr int32_t GroupSharedBytes(const GpuGroupSizes& sizes) {
  return sizes.strips * (sizes.columns * 128 + kGroupSlots * kGroupStripBytes) + kGroupWeightBytes +
         kGroupColumns * static_cast<int32_t>(sizeof(GpuColumn) + 4 * sizeof(float)) +
         kGroupStateBytes + sizes.stages * sizes.stage_bytes;
}

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_GROUP_H_
