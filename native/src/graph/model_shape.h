// The sizes of a model, as the rest of the runtime needs them.
#ifndef MLA_GRAPH_MODEL_SHAPE_H_
#define MLA_GRAPH_MODEL_SHAPE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cache/layout.h"

namespace mla {

struct ModelShape {
  std::string architecture;       // of the file: "llama", "mha2mla", ...
  std::string base_architecture;  // of the source: "llama", "qwen2", "qwen3"
  int32_t layers = 0;
  int32_t embedding = 0;  // D
  int32_t feed_forward = 0;
  int32_t vocabulary = 0;
  int32_t context = 0;  // as trained
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_length = 0;     // d, of queries and keys before conversion
  int32_t value_length = 0;    // d_v
  int32_t sliding_window = 0;  // 0: none
  float norm_epsilon = 1e-5f;
  bool converted = false;
  int64_t parameters = 0;
  int64_t weight_bytes = 0;
  std::vector<LayerLayout> cache_layouts;  // [layers]

  int32_t group() const { return heads / kv_heads; }
};

}  // namespace mla
#endif  // MLA_GRAPH_MODEL_SHAPE_H_
