#include "graph/workspace.h"

#include <algorithm>

#include "graph/arena.h"
#include "graph/layer_extent.h"
#include "graph/prepared_input.h"
#include "graph/row_share.h"

namespace mla {
namespace {

constexpr int64_t kLine = 64;

}  // namespace

void Workspace::Lay(const Weights& weights, int32_t members, Arena& arena) {
  const ModelShape& s = weights.shape();
  const LayerExtent extent(weights);
  const int64_t n = max_rows;
  hidden = arena.Floats(n * s.embedding);
  normed = arena.Floats(n * extent.input);
  q = arena.Floats(n * s.heads * extent.query);
  q_rope = arena.Floats(n * s.heads * extent.q_rope);
  k_rope = arena.Floats(n * extent.k_rope);
  latent = arena.Floats(n * extent.latent);
  scalars = arena.Floats(n * s.kv_heads);
  k_nope = arena.Floats(n * extent.k_nope);
  q_latent = arena.Floats(n * s.heads * extent.key_rank);
  o_latent = arena.Floats(n * s.heads * extent.value_rank);
  attended = arena.Floats(n * s.heads * s.value_length);
  gate = arena.Floats(n * s.feed_forward);
  up = arena.Floats(n * s.feed_forward);
  cos_sin = arena.Floats(n * extent.k_rope);
  widest = std::max({extent.input, int64_t{s.feed_forward}, int64_t{s.heads} * s.value_length});
  prepared = arena.Take(RowShare::AreaBytes(n, widest));
  prepared_keys = arena.Take(PreparedInput::Bytes(n, extent.whole_keys));
  const int64_t merged = s.heads * std::max(extent.value_rank, int64_t{s.value_length});
  constexpr int64_t kLineFloats = kLine / int64_t{sizeof(float)};
  own_floats_ = (std::max(widest, merged) + kLineFloats - 1) / kLineFloats * kLineFloats;
  own_bytes_ = PreparedInput::Bytes(1, widest);
  own_ = {arena.Floats(members * own_floats_), arena.Floats(members * own_floats_),
          arena.Take(members * own_bytes_)};
}

Workspace::Workspace(const Weights& weights, int32_t rows, int32_t members) : max_rows(rows) {
  Arena count(nullptr, kLine);
  Lay(weights, members, count);
  buffer_ = AlignedBuffer(count.used());
  Arena arena(buffer_.data(), kLine);
  Lay(weights, members, arena);
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
