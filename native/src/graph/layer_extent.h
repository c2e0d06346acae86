// The largest sizes over a model's layers, for memory that all of them use in turn.
#ifndef MLA_GRAPH_LAYER_EXTENT_H_
#define MLA_GRAPH_LAYER_EXTENT_H_

#include <cstdint>

#include "graph/weights.h"

namespace mla {

struct LayerExtent {
  explicit LayerExtent(const Weights& weights);

  int64_t k_rope = 0;      // G * R
  int64_t latent = 0;      // C
  int64_t k_nope = 0;      // kv_heads * d_nope, where keys are reconstructed for a scalar
  int64_t key_rank = 0;    // where keys are factored
  int64_t value_rank = 0;  // where values are factored
  int64_t nope = 0;        // d_nope
  int64_t query = 0;       // a head's row of q
  int64_t q_rope = 0;      // R, where rotary queries have rows of their own
  int64_t input = 0;       // D, or with whole keys D + kv_heads * d
  int64_t whole_keys = 0;  // kv_heads * d, where keys are normed whole
};

}  // namespace mla
#endif  // MLA_GRAPH_LAYER_EXTENT_H_
