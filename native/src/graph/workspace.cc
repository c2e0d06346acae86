#include "graph/workspace.h"

#include <algorithm>

#include "graph/head_matmul.h"
#include "graph/prepared_input.h"

namespace mla {
namespace {

// Lays areas one after the other at 64-byte boundaries: first to count, then to hand out.
class Arena {
 public:
  explicit Arena(uint8_t* base) : base_(base) {}
  uint8_t* Take(int64_t bytes) {
    uint8_t* out = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + 63) / 64 * 64;
    return out;
  }
  float* Floats(int64_t count) { return reinterpret_cast<float*>(Take(count * 4)); }
  int64_t used() const { return used_; }

 private:
  uint8_t* base_;
  int64_t used_ = 0;
};

// The largest sizes over the layers.
struct Extent {
  int64_t k_rope = 0, latent = 0, k_nope = 0, key_rank = 0, value_rank = 0, cos_sin = 0, nope = 0,
          query = 0, input = 0, whole_keys = 0, q_rope = 0;

  explicit Extent(const Weights& weights) {
    for (const LayerWeights& layer : weights.layers()) {
      const AttentionWeights& a = layer.attention;
      const LayerLayout& l = a.layout;
      const int64_t rope = int64_t{l.rope_groups} * l.rope_dim;
      k_rope = std::max(k_rope, rope);
      cos_sin = std::max(cos_sin, rope);
      latent = std::max<int64_t>(latent, l.latent);
      if (l.key_scalar) k_nope = std::max<int64_t>(k_nope, int64_t{l.kv_heads} * a.nope_dim);
      if (!a.k_up.empty()) key_rank = std::max<int64_t>(key_rank, l.key_length(0));
      if (!a.v_up.empty()) value_rank = std::max<int64_t>(value_rank, l.value_length(0));
      nope = std::max<int64_t>(nope, a.nope_dim);
      query = std::max<int64_t>(query, a.query_length());
      input = std::max(input, a.input_length);
      whole_keys = std::max(whole_keys, a.k_in.w.rows);
      if (!a.q_rope.empty()) q_rope = std::max<int64_t>(q_rope, l.rope_dim);
    }
  }
};

void Lay(Workspace& w, const Weights& weights, Arena& arena) {
  const ModelShape& s = weights.shape();
  const Extent extent(weights);
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
  w.cos_sin = arena.Floats(n * extent.cos_sin);
  const int64_t widest =
      std::max({extent.input, int64_t{s.feed_forward}, int64_t{s.heads} * s.value_length});
  w.prepared = arena.Take(PreparedInput::Bytes(n, widest));
  w.prepared_keys = arena.Take(PreparedInput::Bytes(n, extent.whole_keys));
  const int64_t absorbed = std::max(extent.nope, extent.value_rank);
  const int64_t each_head = extent.q_rope > 0 ? s.head_length : 0;
  const int64_t each_key = extent.k_nope > 0 ? extent.key_rank : 0;
  w.head_prepared = arena.Take(std::max({HeadMatmulBytes(s.kv_heads, s.group(), n, absorbed),
                                         HeadMatmulBytes(s.heads, 1, n, each_head),
                                         HeadMatmulBytes(s.kv_heads, 1, n, each_key)}));
}

}  // namespace

Workspace::Workspace(const Weights& weights, int32_t rows) : max_rows(rows) {
  Arena count(nullptr);
  Lay(*this, weights, count);
  buffer_ = AlignedBuffer(count.used());
  Arena arena(buffer_.data());
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
