#include "graph/workspace.h"

#include <algorithm>

#include "graph/arena.h"
#include "graph/layer_extent.h"
#include "graph/prepared_input.h"
#include "graph/row_share.h"

namespace mla {
namespace {

constexpr int64_t kLine = 64;

void Lay(Workspace& w, const Weights& weights, Arena& arena) {
  const ModelShape& s = weights.shape();
  const LayerExtent extent(weights);
  const int64_t n = w.max_rows;
  w.hidden = arena.Floats(n * s.embedding);
  w.normed = arena.Floats(n * extent.input);
  w.q = arena.Floats(n * s.heads * extent.query);
  w.q_rope = arena.Floats(n * s.heads * extent.q_rope);
  w.k_rope = arena.Floats(n * extent.k_rope);
  w.latent = arena.Floats(n * extent.latent);
  w.scalars = arena.Floats(n * s.kv_heads);
  w.k_nope = arena.Floats(n * extent.k_nope);
  w.q_latent = arena.Floats(n * s.heads * extent.key_rank);
  w.o_latent = arena.Floats(n * s.heads * extent.value_rank);
  w.attended = arena.Floats(n * s.heads * s.value_length);
  w.gate = arena.Floats(n * s.feed_forward);
  w.up = arena.Floats(n * s.feed_forward);
  w.cos_sin = arena.Floats(n * extent.k_rope);
  w.widest = std::max({extent.input, int64_t{s.feed_forward}, int64_t{s.heads} * s.value_length});
  w.prepared = arena.Take(RowShare::AreaBytes(n, w.widest));
  w.prepared_keys = arena.Take(PreparedInput::Bytes(n, extent.whole_keys));
}

}  // namespace

Workspace::Workspace(const Weights& weights, int32_t rows) : max_rows(rows) {
  Arena count(nullptr, kLine);
  Lay(*this, weights, count);
  buffer_ = AlignedBuffer(count.used());
  Arena arena(buffer_.data(), kLine);
  Lay(*this, weights, arena);
}

void Workspace::ReserveAttention(int64_t partial_bytes, int64_t scratch_bytes, int32_t members) {
  partial_bytes_ = partial_bytes;
  scratch_bytes_ = scratch_bytes;
  const int64_t bytes = partial_bytes + members * scratch_bytes;
  const int64_t held = attention_.size();
  if (bytes <= held) return;
  attention_ = AlignedBuffer();
  attention_ = AlignedBuffer(std::max(bytes, held + held / 2));
}

}  // namespace mla
