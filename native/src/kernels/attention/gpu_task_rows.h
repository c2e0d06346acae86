// What of a page a task reads, and in how many pieces.
#ifndef MLA_KERNELS_ATTENTION_GPU_TASK_ROWS_H_
#define MLA_KERNELS_ATTENTION_GPU_TASK_ROWS_H_

#include <cstdint>
#include <vector>

#include "cache/layout.h"
#include "cache/page_places.h"
#include "kernels/attention/gpu_piece.h"
#include "kernels/attention/gpu_task_heads.h"

namespace mla {

// The rows of one layer in all forms; keeps `layout`.
class GpuTaskRows {
 public:
  GpuTaskRows(const LayerLayout& layout, const CacheOptions& options);

  // Whether the cache has rows of that form.
  bool Has(GpuRowForm form) const;
  GpuRows rows() const { return rows_; }
  bool packed() const { return rows_ == GpuRows::kPacked; }
  const CacheOptions& options() const { return options_; }
  const PagePlaces& places(GpuRowForm form) const { return places_[form]; }

  int32_t RopeGroups(const GpuTaskHeads& task) const;

  // Tiles of whole rows of so many tokens: one piece. A value that is the key is there once.
  GpuPieceBuilder Whole(const GpuTaskHeads& task, GpuRowForm form, int32_t tokens) const;
  // Rows too long for that: rotary rows and keys in as many pieces as tiles of `tokens` need so
  // that none is longer than `bytes`, then values. A piece has one strip of values at least and,
  // the first one, all rotary rows, whatever these need.
  std::vector<GpuPieceBuilder> Pieces(const GpuTaskHeads& task, GpuRowForm form, int32_t tokens,
                                      int32_t bytes) const;

 private:
  struct Rows;

  Rows RowsOf(const GpuTaskHeads& task, GpuRowForm form) const;
  void AddRope(const Rows& rows, GpuPieceBuilder* builder) const;
  void AddScalars(const GpuTaskHeads& task, GpuPieceBuilder* builder) const;

  const LayerLayout& layout_;
  const CacheOptions options_;  // as they are in effect
  const PagePlaces places_[kRowForms];
  GpuRows rows_ = GpuRows::kHalves;
};

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_TASK_ROWS_H_
