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
  // Elements [begin, end) of a row, begin at a strip's beginning.
  GpuTileArray Add(const RowArray& row, int32_t begin, int32_t end);
  // An array of a row from another element on: strip 0 begins there. Before the first: as if it had
  // been added from there, too.
  static GpuTileArray From(const RowArray& row, GpuTileArray array, int32_t begin);
  // The key scalars of a KV head, at byte `scalars` of a page.
  void AddScalars(int64_t scalars, int32_t kv_head);

  // Bytes of a tile of so many tokens, as far as it is put together.
  int32_t Bytes(int32_t tokens) const { return Counted().Bytes(tokens); }
  // The piece, its lines behind those that are there.
  GpuTilePiece Finish(std::vector<GpuTileLine>* lines) const;

  // Strips and arrays are the caller's to set, the rest follows from what is added.
  GpuTilePiece piece = {};

 private:
  GpuTilePiece Counted() const;
  void AddBlocks(const RowArray& row, int32_t begin, int32_t end);
  void AddUnits(const RowArray& row, int32_t begin, int32_t end);

  std::vector<GpuTileLine> blocks_, scalars_, numbers_, units_;
};

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_PIECE_H_
