// A block's shared memory: its task's tables, queries, tiles, scores, weights and the
// state of the softmax.
#ifndef MLA_KERNELS_ATTENTION_GPU_SHARED_H_
#define MLA_KERNELS_ATTENTION_GPU_SHARED_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_query.h"
#include "kernels/attention/gpu_tables.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

struct Shared {
  Work* work;
  uint8_t* task;     // GpuTask and what is behind it
  uint8_t* queries;  // [columns][QueryPitch] units
  float* factors;    // [columns]: what makes a product a score, in powers of two
  // [columns][query_pitch / 4]: of a strip's 32 elements the sum, in two halves: what it is, and in
  // the upper one what that lacks.
  uint32_t* query_sums;
  uint8_t* slots;
  float* scores;      // [groups of strips][columns][tokens + 4]
  uint16_t* weights;  // [columns][WeightPitch]
  float* rescale;     // [columns]
  float* maxima;
  float* totals;
  Tile* tiles;            // [slots]
  CopyBarrier* barriers;  // [slots]

  MLA_DEVICE const GpuTask& the_task() const { return *reinterpret_cast<const GpuTask*>(task); }
  MLA_DEVICE const GpuColumn* columns() const {
    return reinterpret_cast<const GpuColumn*>(task + sizeof(GpuTask));
  }
  MLA_DEVICE const GpuTilePiece& Piece(const GpuTileForm& form, int index) const {
    return reinterpret_cast<const GpuTilePiece*>(task + form.piece * 4)[index];
  }
  MLA_DEVICE const GpuTileRun* Runs(const GpuTilePiece& piece) const {
    return reinterpret_cast<const GpuTileRun*>(task + piece.run * 4);
  }
};

template <bool kPacked>
MLA_DEVICE Shared PlaceShared(const GpuAttentionSizes& sizes, int columns) {
  Shared s = {};
  s.work = reinterpret_cast<Work*>(SharedMemory());
  s.task = SharedMemory() + kWorkBytes;
  s.queries = s.task + (sizes.task_bytes + 127) / 128 * 128;
  s.factors =
      reinterpret_cast<float*>(s.queries + columns * QueryPitch(sizes.query_pitch, kPacked) * 16);
  s.query_sums = reinterpret_cast<uint32_t*>(s.factors + columns);
  const int slots = sizes.slots * sizes.slot_bytes;
  s.slots = reinterpret_cast<uint8_t*>(s.query_sums) + columns * sizes.query_pitch;
  s.scores = reinterpret_cast<float*>(s.slots + slots);
  s.weights = reinterpret_cast<uint16_t*>(s.slots + slots + sizes.score_bytes);
  s.rescale = reinterpret_cast<float*>(s.weights + columns * WeightPitch(kPacked));
  s.maxima = s.rescale + columns;
  s.totals = s.maxima + columns;
  s.tiles = reinterpret_cast<Tile*>(s.totals + columns);
  s.barriers = reinterpret_cast<CopyBarrier*>(s.tiles + kMostSlots);
  return s;
}

// Whole block, a warp a column: queries, as a group of copies where they are prepared.
template <GpuRows kRows>
MLA_DEVICE void LoadQueries(const AttendArgs& a, const Shared& s, int columns, int sequence) {
  constexpr bool kPacked = kRows == GpuRows::kPacked;
  const int sum_words = a.sizes.query_pitch / 4;
  MLA_UNROLL_BY(1)
  for (int c = WarpIndex(); c < columns; c += BlockThreads() / kWarp) {
    const GpuColumn column = s.columns()[c];
    uint8_t* to = s.queries + c * QueryPitch(a.sizes.query_pitch, kPacked) * 16;
    uint32_t* sums = s.query_sums + c * sum_words;
    if (column.head < 0) {  // zeros
      for (int i = Lane(); i < a.sizes.query_pitch; i += kWarp) StoreShared(to + i * 16, {});
      for (int i = Lane(); i < sum_words; i += kWarp) sums[i] = 0;
      if (Lane() == 0) s.factors[c] = 0.0f;
      continue;
    }
    if (a.sizes.prepared == 0) {
      PrepareQuery<FloatOf(kRows)>(a, sequence, column.query, column.head, to, sums, s.factors + c);
      continue;
    }
    const uint8_t* from = PreparedQuery(a, sequence, column.query, column.head);
    for (int i = Lane(); i < a.sizes.query_pitch; i += kWarp) {
      CopyAsync(to + i * 16, from + i * 16);
    }
    from += a.sizes.query_pitch * 16;
    for (int i = Lane(); i < sum_words; i += kWarp) CopyWordAsync(sums + i, from + i * 4);
    if (Lane() == 0) CopyWordAsync(s.factors + c, from + sum_words * 4);
  }
  CommitCopies();
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_SHARED_H_
