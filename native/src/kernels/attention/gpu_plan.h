// How attention of a layer is cut into the GPU's blocks of threads, and what memory they need.
//
// A task is a block's share of the heads: those that read the same key and value segments, as many
// as its columns (pairs of head and query) hold, and a part of their values' elements where these
// are longer than the registers' sums. Tasks of a token read the same bytes where they have more
// columns or values than one task, or share only one of both segments (only_key, only_value): they
// are neighbours in the grid, so that the second finds them in the second-level cache. Rows too
// long for shared memory are brought in by pieces, and those that are scored and summed twice.
//
// The context of a sequence is cut into splits of its own tokens alone; how many, may depend on how
// many sequences there are (gpu.h).
#ifndef MLA_KERNELS_ATTENTION_GPU_PLAN_H_
#define MLA_KERNELS_ATTENTION_GPU_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "cache/layout.h"
#include "cuda/gpu_stream.h"
#include "kernels/attention/gpu_latent.h"
#include "kernels/attention/gpu_tables.h"
#include "tensor/status.h"

namespace mla {

struct GpuAttentionVariant {
  int32_t warps;    // of a block
  int32_t columns;  // pairs of head and query that it has
  int32_t strips;   // of values that a warp sums
  GpuRows rows;

  constexpr int32_t threads() const { return warps * 32; }
  constexpr int32_t value_length() const { return warps * strips * kValueStrip; }
};

// What the kernel is compiled for, packed and not.
struct GpuAttentionShape {
  int32_t warps, columns, strips;
};
inline constexpr GpuAttentionShape kGpuAttentionShapes[] = {
    {4, 8, 1},  {4, 16, 1}, {4, 32, 1}, {8, 8, 1},  {8, 16, 1},
    {8, 32, 1}, {8, 64, 1}, {8, 8, 2},  {8, 16, 2}, {8, 32, 2}};

// The sizes that all tasks share; given to the kernel.
struct GpuAttentionSizes {
  int32_t tasks;
  int32_t queries;
  int32_t heads;
  int32_t residual, sink;
  int32_t value_length;  // the longest
  int32_t slots, slot_bytes;
  int32_t task_bytes;   // the longest task's integers
  int32_t query_pitch;  // units of eight elements a column
  int32_t prepared;     // whether queries are rounded once for all splits
  int32_t rope_length;
  int32_t bfloats;      // whether all rows are, and so queries and weights
  int32_t bulk;         // whether tiles come in bulk
  int32_t score_bytes;  // of a tile's scores
  // Tokens of a split at least; beyond so many splits, where there are such, of longer ones.
  int32_t least_split, usual_splits, long_split;
  int32_t most_splits;

  // Of a sequence of which queries see so many tokens. Never fewer for more.
  constexpr int32_t Splits(int32_t seen) const {
    int32_t splits = (seen + least_split - 1) / least_split;
    if (splits > usual_splits) {
      const int32_t longer = (seen + long_split - 1) / long_split;
      splits = longer > usual_splits ? longer : usual_splits;
    }
    return splits < most_splits ? splits : most_splits;
  }
  // Of a prepared query (gpu_query.h).
  constexpr int32_t query_bytes() const {
    return query_pitch * 16 + (query_pitch + 4 + 15) / 16 * 16;
  }
  // A split's result (gpu_partial.h): four numbers, then weighted means, whole eights of halves or
  // floats.
  constexpr int32_t partial_floats() const {
    return 4 + (value_length + 7) / 8 * (bfloats != 0 ? 8 : 4);
  }
};

class GpuAttentionPlan {
 public:
  // For `queries` (1 to 8) a sequence, of a layer cached with `options`. Errors: rows or queries
  // that are too long for the stream's shared memory even in pieces.
  static Result<GpuAttentionPlan> Create(const LayerLayout& layout, const CacheOptions& options,
                                         int32_t queries, const GpuStream& stream);

  // For the GPU's memory, 16-byte aligned.
  const std::vector<int32_t>& tables() const { return tables_; }
  // Splits' results, then prepared queries.
  int64_t WorkspaceBytes(int32_t sequences, int32_t bucket, int32_t window) const;
  int64_t PartialBytes(int32_t sequences, int32_t bucket, int32_t window) const;

  // For the launch.
  const GpuAttentionVariant& variant() const { return variant_; }
  const GpuAttentionSizes& sizes() const { return sizes_; }
  int32_t shared_bytes() const { return shared_bytes_; }
  int32_t MostSplits(int32_t sequences, int32_t bucket, int32_t window) const;
  // AttendArgs's.
  int32_t FillingSplits(int32_t sequences) const;
  // Null: the latent kernel is not for this layer; else `variant` means nothing.
  const GpuLatentSizes* latent() const { return latent_.has_value() ? &*latent_ : nullptr; }
  const GpuLatentShape& latent_shape() const { return latent_shape_; }
  int32_t blocks() const { return blocks_; }  // of it that run at once

 private:
  GpuAttentionVariant variant_ = {};
  GpuAttentionSizes sizes_ = {};
  int32_t shared_bytes_ = 0;
  std::vector<int32_t> tables_;
  std::optional<GpuLatentSizes> latent_;
  GpuLatentShape latent_shape_ = {};
  int32_t blocks_ = 0;
};

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_PLAN_H_
