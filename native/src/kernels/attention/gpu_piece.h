// Puts rows of a page together that the GPU brings into shared memory at once.
#ifndef MLA_KERNELS_ATTENTION_GPU_PIECE_H_
#define MLA_KERNELS_ATTENTION_GPU_PIECE_H_

#include <cstdint>
#include <vector>

#include "cache/cache_view.h"
#include "kernels/attention/gpu_tables.h"

namespace mla {

class GpuPieceBuilder {
 public:
  // Of tiles of so many tokens, of a layer with such rows.
  GpuPieceBuilder(int32_t tokens, GpuRows rows) : tokens_(tokens), rows_(rows) {}

  // Elements [begin, end) of a row, begin at a strip's beginning.
  GpuTileArray Add(const RowArray& row, int32_t begin, int32_t end);
  // An array of a row from another element on: strip 0 begins there. Before the first: as if it had
  // been added from there, too.
  static GpuTileArray From(const RowArray& row, GpuTileArray array, int32_t begin);
  // The key scalars of a KV head, at byte `scalars` of a page.
  void AddScalars(int64_t scalars, int32_t kv_head);

  // Bytes of a tile, as far as it is put together.
  int32_t Bytes() const { return Counted().bytes; }
  // The piece, its runs behind those that are there: piece.run is the first one's index.
  GpuTilePiece Finish(std::vector<GpuTileRun>* runs) const;

  // Strips and arrays are the caller's to set, the rest follows from what is added.
  GpuTilePiece piece = {};

 private:
  GpuTilePiece Counted() const;
  void AddRun(GpuTileRun run);

  const int32_t tokens_;
  const GpuRows rows_;
  int32_t row_bytes_ = 0, numbers_ = 0;
  std::vector<GpuTileRun> runs_;  // `to` of scalars and numbers is within these
};

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_PIECE_H_
