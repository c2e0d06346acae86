#include "gpu_bench/attention_case.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "cache/latent_cache.h"
#include "gpu_bench/gpu_clock.h"
#include "gpu_bench/noise_memory.h"

namespace mla {
namespace {

// Several times what any GPU's own cache holds.
constexpr double kRotatedBytes = 256 << 20;
constexpr double kMostLayers = 64;

std::vector<float> Normal(int64_t count) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(std::max<int64_t>(count, 1)));
  for (float& value : values) value = normal(random);
  return values;
}

// Memory of the GPU that goes with the scope.
class Owned {
 public:
  explicit Owned(GpuStream& stream) : stream_(stream) {}
  ~Owned() {
    for (void* memory : memory_) stream_.Free(memory);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  // Zeros; null: there is none left.
  template <typename T>
  T* Zeros(int64_t count) {
    void* memory = stream_.Allocate(count * static_cast<int64_t>(sizeof(T)));
    if (memory == nullptr) return nullptr;
    memory_.push_back(memory);
    stream_.Zero(memory, count * static_cast<int64_t>(sizeof(T)));
    return static_cast<T*>(memory);
  }
  template <typename T>
  T* Copy(const std::vector<T>& values) {
    T* memory = Zeros<T>(static_cast<int64_t>(values.size()));
    if (memory != nullptr) {
      stream_.Upload(memory, values.data(), static_cast<int64_t>(values.size() * sizeof(T)));
    }
    return memory;
  }

 private:
  GpuStream& stream_;
  std::vector<void*> memory_;
};

Status NoMemory() { return Status(MLA_OUT_OF_MEMORY, "the GPU has no memory left for the case"); }

}  // namespace

double AttentionCase::CacheBytes() const {
  return LatentCache::BytesPerToken(cache, {layout}, context) * context * batch;
}

double AttentionCase::MultiplyAdds() const {
  double each = 0;
  for (int32_t h = 0; h < layout.heads; ++h) {
    const int32_t g = h / (layout.heads / layout.kv_heads);
    each += layout.rope_dim + layout.key_length(g) + layout.value_length(g);
  }
  return each * context * batch;
}

Result<double> TimeAttention(const AttentionCase& what, std::shared_ptr<GpuStream> stream,
                             const GpuKernels& kernels, double least_seconds) {
  const LayerLayout& layout = what.layout;
  // As a model has them: what one layer left in the GPU's cache is gone when it is its turn again.
  const int32_t layers =
      static_cast<int32_t>(std::clamp(kRotatedBytes / what.CacheBytes(), 1.0, kMostLayers));
  const std::vector<LayerLayout> layouts(static_cast<size_t>(layers), layout);
  const auto pages = std::make_shared<NoiseMemory>(stream);
  std::vector<std::unique_ptr<LatentCache>> caches;
  std::vector<uint8_t* const*> tables;
  for (int32_t i = 0; i < what.batch; ++i) {
    auto cache = LatentCache::Create(what.cache, layouts, what.context, pages);
    if (!cache.ok()) return cache.status();
    Status status = cache.value()->Restore(what.context);
    if (status.ok()) status = cache.value()->UpdatePageTable();
    if (!status.ok()) return status;
    tables.push_back(cache.value()->page_table());
    caches.push_back(std::move(cache.value()));
  }
  Result<GpuAttentionPlan> plan = GpuAttentionPlan::Create(layout, what.cache, 1, *stream);
  if (!plan.ok()) return plan.status();
  int32_t key = 0, value = 0;
  for (int32_t g = 0; g < layout.kv_heads; ++g) {
    key = std::max(key, layout.key_length(g));
    value = std::max(value, layout.value_length(g));
  }
  Owned memory(*stream);
  const std::vector<int32_t> positions(static_cast<size_t>(what.batch), what.context - 1);
  const int64_t rows = int64_t{what.batch} * layout.heads;
  GpuAttention attention = {};
  attention.plan = &plan.value();
  attention.tables = memory.Copy(plan.value().tables());
  attention.sequences = what.batch;
  attention.bucket = what.context;
  attention.scale = 1.0f / std::sqrt(static_cast<float>(layout.rope_dim + key));
  attention.positions = memory.Copy(positions);
  attention.pages = memory.Copy(tables);
  attention.places = caches.front()->page_table_places();
  attention.q_rope = memory.Copy(Normal(rows * layout.rope_dim));
  attention.q_rope_head = layout.rope_dim;
  attention.q_rope_query = attention.q_rope_sequence = int64_t{layout.heads} * layout.rope_dim;
  attention.q_latent = memory.Copy(Normal(rows * key));
  attention.q_latent_head = key;
  attention.q_latent_query = attention.q_latent_sequence = int64_t{layout.heads} * key;
  float* out = memory.Zeros<float>(rows * value);
  attention.out = out;
  attention.out_head = value;
  attention.out_query = attention.out_sequence = int64_t{layout.heads} * value;
  attention.workspace = memory.Zeros<uint8_t>(
      std::max<int64_t>(plan.value().WorkspaceBytes(what.batch, what.context, 0), 1));
  if (attention.tables == nullptr || attention.positions == nullptr || attention.pages == nullptr ||
      attention.q_rope == nullptr || attention.q_latent == nullptr || out == nullptr ||
      attention.workspace == nullptr) {
    return NoMemory();
  }
  if (Status status = stream->Synchronize(); !status.ok()) return status;
  return TimeOnGpu(*stream, least_seconds, [&] {
    attention.layer = (attention.layer + 1) % layers;
    kernels.attention(*stream, attention);
  });
}

}  // namespace mla
