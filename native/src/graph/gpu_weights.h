// A model's tensors in a GPU's memory: Weights again, in the forms that its kernels read.
#ifndef MLA_GRAPH_GPU_WEIGHTS_H_
#define MLA_GRAPH_GPU_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/gpu_stream.h"
#include "graph/weights.h"
#include "kernels/matmul/gpu_matrix.h"
#include "tensor/status.h"

namespace mla {

// y = w x + bias.
struct GpuLinear {
  GpuMatrix w;
  const float* bias = nullptr;  // [w.rows] or null

  bool empty() const { return w.empty(); }
};

// What AttentionWeights and LayerWeights have that kernels read; the rest is asked of those.
struct GpuAttentionWeights {
  GpuLinear q, k_rope, k_in, output;
  std::vector<GpuLinear> latent;  // as AttentionWeights::latent
  GpuMatrix q_rope, k_up, v_up;
  GpuMatrix k_up_rows;  // [kv_heads * n, rank] of all layers whose keys are factored, for prompts
  const float* q_norm = nullptr;
  const float* k_norm = nullptr;
  const float* frequencies = nullptr;  // [G][Weights::rotated_dims / 2]
};

struct GpuLayerWeights {
  const float* attention_norm = nullptr;  // [D]
  GpuAttentionWeights attention;
  const float* mlp_norm = nullptr;  // [D]
  GpuLinear gate, up, down;
};

// Immutable. Lives on the stream's GPU, in one allocation.
class GpuWeights {
 public:
  // Packs, with so many threads, and uploads; waits until all is there. MLA_OUT_OF_MEMORY says how
  // much was asked for.
  static Result<std::unique_ptr<GpuWeights>> Load(std::shared_ptr<const Weights> weights,
                                                  std::shared_ptr<GpuStream> stream,
                                                  int32_t threads);
  ~GpuWeights();
  GpuWeights(const GpuWeights&) = delete;
  GpuWeights& operator=(const GpuWeights&) = delete;

  const Weights& host() const { return *weights_; }
  const std::vector<GpuLayerWeights>& layers() const { return layers_; }
  const GpuMatrix& embedding() const { return embedding_; }
  const float* output_norm() const { return output_norm_; }
  const GpuLinear& output() const { return output_; }
  int64_t bytes() const { return bytes_; }

 private:
  class Placer;

  GpuWeights(std::shared_ptr<const Weights> weights, std::shared_ptr<GpuStream> stream);
  void Place(Placer& placer);

  const std::shared_ptr<const Weights> weights_;
  const std::shared_ptr<GpuStream> stream_;
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
  std::vector<GpuLayerWeights> layers_;
  GpuMatrix embedding_;
  const float* output_norm_ = nullptr;
  GpuLinear output_;
};

}  // namespace mla
#endif  // MLA_GRAPH_GPU_WEIGHTS_H_
