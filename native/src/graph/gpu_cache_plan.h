// How the kernels of a GPU write and read caches of certain options: what is found once for all
// sessions that have them.
#ifndef MLA_GRAPH_GPU_CACHE_PLAN_H_
#define MLA_GRAPH_GPU_CACHE_PLAN_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cache/latent_cache.h"
#include "cache/layout.h"
#include "cuda/gpu_stream.h"
#include "graph/weights.h"
#include "kernels/append/gpu.h"
#include "kernels/attention/gpu.h"
#include "kernels/prompt/gpu.h"
#include "tensor/status.h"

namespace mla {

class GpuCachePlan {
 public:
  // Attention takes so many queries of a sequence at once.
  static constexpr int32_t kMostQueries = 8;

  // `cache`: any one with these options. MLA_OUT_OF_MEMORY, and sizes that kernels cannot do.
  static Result<std::unique_ptr<GpuCachePlan>> Create(const Weights& weights,
                                                      const CacheOptions& options,
                                                      const LatentCache& cache,
                                                      std::shared_ptr<GpuStream> stream);
  ~GpuCachePlan();
  GpuCachePlan(const GpuCachePlan&) = delete;
  GpuCachePlan& operator=(const GpuCachePlan&) = delete;

  const CacheOptions& options() const { return options_; }
  // What a layer's append has of the cache; the rest is the step's and the weights'.
  const GpuAppend& append(size_t layer) const { return appends_[layer]; }

  struct Attention {
    GpuAttentionPlan plan;
    const int32_t* tables;  // the GPU's
  };
  // Plans of all layers for so many queries, 1 to kMostQueries; made when first asked for.
  Result<const std::vector<Attention>*> AttentionOf(int32_t queries);

  struct Prompt {
    std::optional<GpuPromptPlan> plan;  // none: the layer's prompts stay absorbed
    const GpuExpandPiece* pieces;       // the GPU's
  };
  // Of all layers, for prompts in the expanded form; made when first asked for.
  Result<const std::vector<Prompt>*> Prompts();

 private:
  GpuCachePlan(const Weights& weights, const CacheOptions& options,
               std::shared_ptr<GpuStream> stream);
  // The bytes in the GPU's memory, once the stream is synchronized; null: there is none left.
  template <typename T>
  const T* Upload(const std::vector<T>& values);

  const Weights& weights_;
  const CacheOptions options_;
  const std::shared_ptr<GpuStream> stream_;
  std::vector<void*> memory_;
  std::vector<GpuAppend> appends_;
  std::array<std::vector<Attention>, kMostQueries> attention_;
  std::vector<Prompt> prompts_;
};

}  // namespace mla
#endif  // MLA_GRAPH_GPU_CACHE_PLAN_H_
