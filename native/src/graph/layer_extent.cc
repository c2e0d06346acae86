#include "graph/layer_extent.h"

#include <algorithm>

namespace mla {

LayerExtent::LayerExtent(const Weights& weights) {
  for (const LayerWeights& layer : weights.layers()) {
    const AttentionWeights& a = layer.attention;
    const LayerLayout& l = a.layout;
    k_rope = std::max(k_rope, int64_t{l.rope_groups} * l.rope_dim);
    latent = std::max<int64_t>(latent, l.latent);
    if (l.key_scalar) k_nope = std::max(k_nope, int64_t{l.kv_heads} * a.nope_dim);
    if (!a.k_up.empty()) key_rank = std::max<int64_t>(key_rank, l.key_length(0));
    if (!a.v_up.empty()) value_rank = std::max<int64_t>(value_rank, l.value_length(0));
    nope = std::max<int64_t>(nope, a.nope_dim);
    query = std::max<int64_t>(query, a.query_length());
    if (!a.q_rope.empty()) q_rope = std::max<int64_t>(q_rope, l.rope_dim);
    input = std::max(input, a.input_length);
    whole_keys = std::max(whole_keys, a.k_in.w.rows);
  }
}

}  // namespace mla
