// A block's shared memory: its task's tables, queries as halves, and of each unit (a block's warps
// together, or a warp) tiles, scores, weights and the state of the softmax.
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
  uint8_t* queries;  // [columns][query_pitch] units
  float* factors;    // [columns]: what makes a product a score, in powers of two
  // [columns][query_pitch / 4]: of a strip's 32 elements the sum, in two halves: what it is, and in
  // the upper one what that lacks.
  uint32_t* query_sums;
  // Of the unit:
  uint8_t* slots;
  float* scores;      // [groups of strips][columns][tokens + 4]
  uint16_t* weights;  // [columns][kWeightPitch]
  float* rescale;     // [columns]
  float* maxima;
  float* totals;

  MLA_DEVICE const GpuTask& the_task() const { return *reinterpret_cast<const GpuTask*>(task); }
  MLA_DEVICE const GpuColumn* columns() const {
    return reinterpret_cast<const GpuColumn*>(task + sizeof(GpuTask));
  }
  MLA_DEVICE const GpuTilePiece& Piece(const GpuTileForm& form, int index) const {
    return reinterpret_cast<const GpuTilePiece*>(task + form.piece * 4)[index];
  }
};

MLA_DEVICE Shared PlaceShared(const GpuAttentionSizes& sizes, int columns, int unit) {
  Shared s = {};
  s.work = reinterpret_cast<Work*>(SharedMemory());
  s.task = SharedMemory() + kWorkBytes;
  s.queries = s.task + (sizes.task_bytes + 127) / 128 * 128;
  s.factors = reinterpret_cast<float*>(s.queries + columns * sizes.query_pitch * 16);
  s.query_sums = reinterpret_cast<uint32_t*>(s.factors + columns);
  const int slots = sizes.slots * sizes.slot_bytes;
  const int unit_bytes = slots + sizes.score_bytes + columns * (kWeightPitch * 2 + 3 * 4);
  s.slots =
      reinterpret_cast<uint8_t*>(s.query_sums) + columns * sizes.query_pitch + unit * unit_bytes;
  s.scores = reinterpret_cast<float*>(s.slots + slots);
  s.weights = reinterpret_cast<uint16_t*>(s.slots + slots + sizes.score_bytes);
  s.rescale = reinterpret_cast<float*>(s.weights + columns * kWeightPitch);
  s.maxima = s.rescale + columns;
  s.totals = s.maxima + columns;
  return s;
}

template <int kWarps>
MLA_DEVICE void SyncUnit() {
  if constexpr (kWarps == 1) {
    SyncWarp();
  } else {
    SyncBlock();
  }
}

// Whole block; no barrier. A warp a column.
MLA_DEVICE void LoadQueries(const AttendArgs& a, const Shared& s, int columns, int sequence) {
  const GpuTask& task = s.the_task();
  const int elements = a.sizes.query_pitch * kUnitElements;
  const GpuAttention& call = a.call;
  for (int c = WarpIndex(); c < columns; c += BlockThreads() / kWarp) {
    const GpuColumn column = s.columns()[c];
    uint32_t* to = reinterpret_cast<uint32_t*>(s.queries + c * a.sizes.query_pitch * 16);
    QueryRow row = {nullptr, nullptr, 0, 0, 0};  // of a column that is none: zeros
    if (column.head >= 0 && task.rope_length > 0) {
      row.rope = call.q_rope + sequence * call.q_rope_sequence + column.query * call.q_rope_query +
                 column.head * call.q_rope_head;
      row.rope_length = task.rope_length;
      row.rope_elements = task.rope_strips() * kScoreStrip;
    }
    if (column.head >= 0 && task.key_length > 0) {
      row.latent = call.q_latent + sequence * call.q_latent_sequence +
                   column.query * call.q_latent_query + column.head * call.q_latent_head;
      row.key_length = task.key_length;
    }
    uint32_t* sums = s.query_sums + c * (a.sizes.query_pitch / 4);
    const float factor = row.aligned() ? LoadQuery<true>(row, elements, to, sums)
                                       : LoadQuery<false>(row, elements, to, sums);
    if (Lane() == 0) s.factors[c] = factor * (call.scale * kLog2E);
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_SHARED_H_
