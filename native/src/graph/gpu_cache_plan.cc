#include "graph/gpu_cache_plan.h"

#include <utility>

namespace mla {
namespace {

Status NoMemory() {
  return Status(MLA_OUT_OF_MEMORY, "the GPU has no memory left for the tables of a cache's layout");
}

}  // namespace

GpuCachePlan::GpuCachePlan(const Weights& weights, const CacheOptions& options,
                           std::shared_ptr<GpuStream> stream)
    : weights_(weights), options_(options), stream_(std::move(stream)) {}

GpuCachePlan::~GpuCachePlan() {
  for (void* memory : memory_) stream_->Free(memory);
}

template <typename T>
const T* GpuCachePlan::Upload(const std::vector<T>& values) {
  const int64_t bytes = static_cast<int64_t>(values.size() * sizeof(T));
  void* to = stream_->Allocate(bytes);
  if (to == nullptr) return nullptr;
  memory_.push_back(to);
  stream_->Upload(to, values.data(), bytes);
  return static_cast<const T*>(to);
}

Result<std::unique_ptr<GpuCachePlan>> GpuCachePlan::Create(const Weights& weights,
                                                           const CacheOptions& options,
                                                           const LatentCache& cache,
                                                           std::shared_ptr<GpuStream> stream) {
  std::unique_ptr<GpuCachePlan> plan(new GpuCachePlan(weights, options, std::move(stream)));
  std::vector<std::vector<GpuAppendPiece>> pieces;  // until they are uploaded
  for (size_t l = 0; l < weights.layers().size(); ++l) {
    const AttentionWeights& a = weights.layers()[l].attention;
    const LayerLayout& layout = a.layout;
    const bool norms_keys = a.k_norm.weight != nullptr && !a.norms_whole_heads();
    pieces.push_back(PlanGpuAppend(options, layout, norms_keys));
    GpuAppend append;
    append.layer = static_cast<int32_t>(l);
    append.heads = layout.heads;
    append.kv_heads = layout.kv_heads;
    append.rope_groups = layout.rope_groups;
    append.rope_dim = layout.rope_dim;
    append.piece_count = static_cast<int32_t>(pieces.back().size());
    append.pieces = plan->Upload(pieces.back());
    if (append.piece_count > 0 && append.pieces == nullptr) return NoMemory();
    append.places = cache.page_table_places();
    append.window = options.residual > 0;
    append.sink = options.sink;
    append.key_scalar = layout.key_scalar;
    append.scalars = cache.View(append.layer).scalars;
    plan->appends_.push_back(append);
  }
  if (Status status = plan->stream_->Synchronize(); !status.ok()) return status;
  return plan;
}

Result<const std::vector<GpuCachePlan::Attention>*> GpuCachePlan::AttentionOf(int32_t queries) {
  std::vector<Attention>& known = attention_[static_cast<size_t>(queries - 1)];
  if (!known.empty()) return &std::as_const(known);
  std::vector<Attention> made;
  for (const LayerWeights& layer : weights_.layers()) {
    Result<GpuAttentionPlan> plan =
        GpuAttentionPlan::Create(layer.attention.layout, options_, queries, *stream_);
    if (!plan.ok()) return plan.status();
    made.push_back({std::move(plan.value()), nullptr});
  }
  for (Attention& each : made) {
    each.tables = Upload(each.plan.tables());
    if (each.tables == nullptr) return NoMemory();
  }
  if (Status status = stream_->Synchronize(); !status.ok()) return status;
  known = std::move(made);
  return &std::as_const(known);
}

Result<const std::vector<GpuCachePlan::Prompt>*> GpuCachePlan::Prompts() {
  if (!prompts_.empty()) return &std::as_const(prompts_);
  std::vector<Prompt> made;
  for (const LayerWeights& layer : weights_.layers()) {
    const AttentionWeights& a = layer.attention;
    made.push_back({GpuPromptPlan::Create(a.layout, options_, a.k_up.empty() ? 0 : a.nope_dim,
                                          a.v_up.empty() ? 0 : a.value_length, *stream_),
                    nullptr});
  }
  for (Prompt& each : made) {
    if (!each.plan) continue;
    each.pieces = Upload(each.plan->pieces());
    if (each.pieces == nullptr) return NoMemory();
  }
  if (Status status = stream_->Synchronize(); !status.ok()) return status;
  prompts_ = std::move(made);
  return &std::as_const(prompts_);
}

}  // namespace mla
