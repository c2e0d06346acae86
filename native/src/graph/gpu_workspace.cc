#include "graph/gpu_workspace.h"

#include <algorithm>
#include <string>
#include <utility>

#include "graph/arena.h"
#include "graph/layer_extent.h"
#include "kernels/matmul/gpu.h"

namespace mla {
namespace {

Status NoMemory(const std::string& what, int64_t bytes) {
  return Status(MLA_OUT_OF_MEMORY,
                "the GPU has no " + std::to_string((bytes >> 20) + 1) + " MiB left for " + what);
}

// GpuHeadMatMul's inputs are rows of all heads, GpuMatMul's of a layer's widest input.
int64_t ProductBytes(const ModelShape& s, const LayerExtent& extent, int64_t n) {
  const int64_t widest =
      std::max({extent.input, int64_t{s.feed_forward}, int64_t{s.heads} * s.value_length});
  const int64_t head = std::max({extent.nope, extent.value_rank, extent.key_rank,
                                 extent.q_rope > 0 ? int64_t{s.head_length} : 0});
  return std::max(GpuMatMulBytes(n, widest), GpuMatMulBytes(n * s.heads, head));
}

void Lay(GpuWorkspace& w, const Weights& weights, Arena& arena) {
  const ModelShape& s = weights.shape();
  const LayerExtent extent(weights);
  const int64_t n = w.max_rows;
  w.inputs_memory = arena.Take(GpuStepInputs::Bytes(w.max_rows));
  w.inputs = GpuStepInputs::In(w.inputs_memory, w.max_rows);
  w.hidden = arena.Floats(n * s.embedding);
  w.normed = arena.Floats(extent.whole_keys > 0 ? n * extent.input : 0);
  w.q = arena.Floats(n * s.heads * extent.query);
  w.q_rope = arena.Floats(n * s.heads * extent.q_rope);
  w.k_rope = arena.Floats(n * extent.k_rope);
  w.latent = arena.Floats(n * extent.latent);
  w.k_nope = arena.Floats(n * extent.k_nope);
  w.q_latent = arena.Floats(n * s.heads * extent.key_rank);
  w.o_latent = arena.Floats(n * s.heads * extent.value_rank);
  w.attended = arena.Floats(n * s.heads * s.value_length);
  w.gate = arena.Floats(n * s.feed_forward);
  w.up = arena.Floats(n * s.feed_forward);
  w.products = arena.Take(ProductBytes(s, extent, n));
  w.scored = reinterpret_cast<int32_t*>(arena.Take(n * 4));
  w.scores = arena.Floats(n);
  w.choices = reinterpret_cast<Choice*>(arena.Take(n * static_cast<int64_t>(sizeof(Choice))));
}

}  // namespace

GpuStepInputs GpuStepInputs::In(uint8_t* memory, int32_t rows) {
  // Pointers first, which want the alignment. Null where memory is: nothing is there yet.
  if (memory == nullptr) return {};
  GpuStepInputs inputs;
  inputs.tables = reinterpret_cast<uint8_t* const**>(memory);
  inputs.query_tables = inputs.tables + rows;
  inputs.sampling = reinterpret_cast<GpuSamplingRow*>(inputs.query_tables + rows);
  inputs.tokens = reinterpret_cast<int32_t*>(inputs.sampling + rows);
  inputs.positions = inputs.tokens + rows;
  inputs.query_positions = inputs.positions + rows;
  return inputs;
}

Result<std::unique_ptr<GpuWorkspace>> GpuWorkspace::Create(const Weights& weights,
                                                           std::shared_ptr<GpuStream> stream,
                                                           int32_t max_rows) {
  std::unique_ptr<GpuWorkspace> w(new GpuWorkspace(std::move(stream), max_rows));
  Arena count(nullptr, kGpuAlignment);
  Lay(*w, weights, count);
  w->bytes_ = count.used();
  w->memory_ = w->stream_->Allocate(w->bytes_);
  if (w->memory_ == nullptr) return NoMemory("a step's workspace", w->bytes_);
  Arena arena(static_cast<uint8_t*>(w->memory_), kGpuAlignment);
  Lay(*w, weights, arena);
  return w;
}

GpuWorkspace::GpuWorkspace(std::shared_ptr<GpuStream> stream, int32_t rows)
    : max_rows(rows), stream_(std::move(stream)) {}

GpuWorkspace::~GpuWorkspace() {
  stream_->Free(logits.data_);
  stream_->Free(attention.data_);
  stream_->Free(memory_);
}

Status GpuWorkspace::Grow(Growing& memory, int64_t bytes, const char* what) {
  if (bytes <= memory.bytes_) return Status::Ok();
  auto* data = static_cast<uint8_t*>(stream_->Allocate(bytes));
  if (data == nullptr) return NoMemory(what, bytes);
  stream_->Free(memory.data_);
  memory.data_ = data;
  memory.bytes_ = bytes;
  return Status::Ok();
}

}  // namespace mla
