// A block's shared memory: its task's tables, queries as halves, and of each unit (a block's warps
// together, or a warp) tiles, scores, weights and the state of the softmax.
#ifndef MLA_KERNELS_ATTENTION_GPU_SHARED_H_
#define MLA_KERNELS_ATTENTION_GPU_SHARED_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_tables.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

struct Shared {
  Work* work;
  uint8_t* task;     // GpuTask and what is behind it
  uint8_t* queries;  // [columns][query_pitch] units
  float* factors;    // [columns]: what makes a product a score, in powers of two
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
  const int slots = sizes.slots * sizes.slot_bytes;
  const int unit_bytes = slots + sizes.score_bytes + columns * (kWeightPitch * 2 + 3 * 4);
  s.slots = reinterpret_cast<uint8_t*>(s.factors + columns) + unit * unit_bytes;
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

constexpr float kLog2E = 1.4426950408889634f;

// Element e of a column's query in the order of strips: rotary ones, then those in latent space.
MLA_DEVICE float QueryAt(const GpuTask& task, const float* rope, const float* latent, int e) {
  const int rope_elements = task.rope_strips() * kScoreStrip;
  if (e < rope_elements) return e < task.rope_length ? rope[e] : 0.0f;
  return e - rope_elements < task.key_length ? latent[e - rope_elements] : 0.0f;
}

// Whole block; no barrier. A warp a column: halves of the query times a power of two that brings
// its largest element to 1 .. 2. A query with a NaN or an infinity has such scores.
MLA_DEVICE void LoadQueries(const AttendArgs& a, const Shared& s, int columns, int sequence) {
  const GpuTask& task = s.the_task();
  const int elements = a.sizes.query_pitch * kUnitElements;
  const GpuAttention& call = a.call;
  for (int c = WarpIndex(); c < columns; c += BlockThreads() / kWarp) {
    const GpuColumn column = s.columns()[c];
    uint32_t* to = reinterpret_cast<uint32_t*>(s.queries + c * a.sizes.query_pitch * 16);
    if (column.head < 0) {
      for (int pair = Lane(); pair < elements / 2; pair += kWarp) to[pair] = 0;
      if (Lane() == 0) s.factors[c] = 0.0f;
      continue;
    }
    const float* rope = nullptr;
    const float* latent = nullptr;
    if (task.rope_length > 0) {
      rope = call.q_rope + sequence * call.q_rope_sequence + column.query * call.q_rope_query +
             column.head * call.q_rope_head;
    }
    if (task.key_length > 0) {
      latent = call.q_latent + sequence * call.q_latent_sequence +
               column.query * call.q_latent_query + column.head * call.q_latent_head;
    }
    float largest = 0.0f;
    for (int e = Lane(); e < elements; e += kWarp) {
      largest = Max(largest, Abs(QueryAt(task, rope, latent, e)));
    }
    largest = MaxOver(largest, kWarp);
    // The power of two below it, kept where its inverse is a normal number, too.
    const uint32_t most = BitsOfFloat(largest) >> 23;
    const uint32_t exponent = most < 1 ? 1 : most > 252 ? 252 : most;
    const float inverse = FloatOfBits((254 - exponent) << 23);
    for (int pair = Lane(); pair < elements / 2; pair += kWarp) {
      to[pair] = PackHalves(QueryAt(task, rope, latent, 2 * pair) * inverse,
                            QueryAt(task, rope, latent, 2 * pair + 1) * inverse);
    }
    if (Lane() == 0) s.factors[c] = FloatOfBits(exponent << 23) * (call.scale * kLog2E);
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_SHARED_H_
