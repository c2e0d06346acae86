// Inside of the attention driver: the shape of a task and its scratch memory, shared by planning
// and running.
#ifndef MLA_KERNELS_ATTENTION_TASK_H_
#define MLA_KERNELS_ATTENTION_TASK_H_

#include <cstdint>

#include "kernels/attention/attention.h"
#include "kernels/attention/tile_kernels.h"

namespace mla {

// Floats of the longest value row that a task sums: latent slices, or up-projected values.
int32_t LongestValue(const LayerLayout& layout, const ExpandedParams* expanded);

// A thread's scratch: pointers into it. Rows m are (head, query) pairs,
// queries inside.
struct TaskScratch {
  const float** rope_queries;   // [rows]
  const float** other_queries;  // [rows] against latent rows, or up-projected keys
  // The same quantized where what they meet is packed, or in fixed point: as many bytes a row.
  uint8_t* packed_rope;
  int64_t packed_rope_stride;
  uint8_t* packed_other;
  int64_t packed_other_stride;
  float* scores;  // [rows][kTileTokens]
  // Results of the split at hand, and of nodes of the tree of splits that wait for their right
  // siblings (splits.h): [levels] of each.
  float* sums;  // [rows][sums_stride]
  int64_t sums_stride;
  float* maxima;  // [rows] logarithms to base 2
  float* totals;  // [rows]
  Blend* blends;  // [rows], of the tile at hand
  // Expanded form, a tile each: a latent segment as floats, the rows' pointers, and what it is
  // up-projected to.
  float* latents;
  int64_t latents_stride;
  const float** latent_rows;  // [kTileTokens]
  float* keys;
  int64_t keys_stride;
  float* values;
  int64_t values_stride;

  // Fills the pointers from `base` (null: only counts) and returns the bytes taken, a multiple
  // of 64.
  static int64_t Carve(const LayerLayout& layout, const ExpandedParams* expanded, int64_t rows,
                       int64_t levels, uint8_t* base, TaskScratch* scratch);
};

// A row of partial results, partial_floats long, of (a node's first split, query, head): maximum,
// total, the node's level, then from kPartialHeader on the weighted sum. Where it starts, in
// floats.
inline constexpr int64_t kPartialHeader = 16;
inline constexpr int64_t kPartialLevel = 2;

inline int64_t PartialRow(const AttentionPlan& plan, const AttentionParams& params, int64_t split,
                          int64_t query, int64_t head) {
  return ((split * params.queries + query) * params.layout->heads + head) * plan.partial_floats;
}

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_TASK_H_
