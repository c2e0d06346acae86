// A Llama of any size with random weights, plain or as a conversion of it: what speed needs of a
// model, where a true one cannot be had. Its text is worth nothing.
#ifndef MLA_GPU_BENCH_RANDOM_MODEL_H_
#define MLA_GPU_BENCH_RANDOM_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "gguf/gguf_file.h"
#include "tensor/status.h"

namespace mla {

struct RandomModel {
  int32_t embedding, layers, heads, kv_heads, feed_forward, vocabulary, context;
  // Of a conversion: a joint latent, and rotary dims of each KV head; 0 and 0: a plain model.
  int32_t rank = 0, rope_dim = 0;

  // Elements that a token caches.
  int64_t cached_elements() const;
};

inline constexpr RandomModel kLlama2_7b = {4096, 32, 32, 32, 11008, 32000, 32768};
// The same with an eighth of the elements: 512 rotary ones and a latent of 512.
inline constexpr RandomModel kLlama2_7bEighth = {4096, 32, 32, 32, 11008, 32000, 32768, 512, 16};

// Writes it to a file, matrices as Q4_0, up-projections as F16; memory holds a slice.
Status WriteRandomModel(const RandomModel& model, const std::string& path);

}  // namespace mla
#endif  // MLA_GPU_BENCH_RANDOM_MODEL_H_
