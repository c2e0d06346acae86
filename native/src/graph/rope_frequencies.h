// Inverse frequencies of a plain model's rotary embedding, with the scaling that its file asks for
// already applied.
#ifndef MLA_GRAPH_ROPE_FREQUENCIES_H_
#define MLA_GRAPH_ROPE_FREQUENCIES_H_

#include <vector>

#include "gguf/gguf_file.h"
#include "graph/metadata.h"
#include "tensor/status.h"

namespace mla {

struct RopeFrequencies {
  std::vector<float> inverse;     // [rope_dim / 2]
  float attention_factor = 1.0f;  // multiplies cos and sin (YaRN's temperature)
};

// Scaling none, linear, yarn (arXiv 2309.00071, as llama.cpp and transformers compute it), and
// llama3 (the tensor rope_freqs.weight divides). Other types: MLA_UNSUPPORTED.
Result<RopeFrequencies> LoadRopeFrequencies(const GgufFile& file, Metadata& metadata,
                                            int32_t rope_dim);

}  // namespace mla
#endif  // MLA_GRAPH_ROPE_FREQUENCIES_H_
