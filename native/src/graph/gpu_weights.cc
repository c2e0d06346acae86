#include "graph/gpu_weights.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include "graph/arena.h"
#include "runtime/thread_pool.h"
#include "tensor/aligned_buffer.h"

namespace mla {
namespace {

// Bytes of the host's memory that packed rows go through, unless one row is more.
constexpr int64_t kStagingBytes = int64_t{32} << 20;

// Each of the heads' matrices transposed, with elements of the same type: k_up as it expands keys.
struct Transposed {
  Transposed(const Matrix& w, int64_t heads) {
    if (w.empty()) return;
    const int64_t rows = w.rows / heads, cols = w.cols, bytes = w.row_bytes() / cols;
    memory = AlignedBuffer(w.rows * w.row_bytes());
    for (int64_t r = 0; r < w.rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        std::memcpy(memory.data() + ((r / rows * cols + c) * rows + r % rows) * bytes,
                    w.row(r) + c * bytes, static_cast<size_t>(bytes));
      }
    }
    matrix = {w.type, memory.data(), heads * cols, rows};
  }

  AlignedBuffer memory;
  Matrix matrix;
};

// One group's after the other's.
std::vector<float> GroupsFrequencies(const AttentionWeights& a, int32_t pairs) {
  std::vector<float> all;
  for (const float* group : a.frequencies) all.insert(all.end(), group, group + pairs);
  return all;
}

}  // namespace

// Walks all tensors in one order, twice: first to count their bytes, then to fill the memory.
class GpuWeights::Placer {
 public:
  Placer() : arena_(nullptr, kGpuAlignment) {}
  Placer(GpuStream* stream, uint8_t* memory, int32_t threads)
      : stream_(stream), arena_(memory, kGpuAlignment), threads_(threads) {}

  int64_t bytes() const { return arena_.used(); }

  // After the last tensor: the first error of the uploads.
  Status Finish() {
    Wait();
    return status_;
  }

  GpuMatrix Place(const Matrix& w) {
    GpuMatrix placed;
    if (w.empty()) return placed;
    placed.form = GpuFormOf(w.type);
    placed.rows = w.rows;
    placed.cols = w.cols;
    const int64_t value_bytes = GpuValueBytes(placed.form, w.rows, w.cols);
    const int64_t scale_bytes = GpuScaleBytes(placed.form, w.rows, w.cols);
    uint8_t* values = arena_.Take(value_bytes);
    uint8_t* scales = arena_.Take(scale_bytes);
    placed.values = values;
    placed.scales = scale_bytes > 0 ? reinterpret_cast<const uint32_t*>(scales) : nullptr;
    if (stream_ != nullptr) UploadRows(w, values, value_bytes, scales, scale_bytes);
    return placed;
  }

  GpuLinear Place(const Linear& linear) {
    return {Place(linear.w), Place(linear.bias, linear.w.rows)};
  }

  // Null stays null.
  const float* Place(const float* values, int64_t count) {
    if (values == nullptr || count == 0) return nullptr;
    uint8_t* to = arena_.Take(count * 4);
    if (stream_ != nullptr) UploadBytes(to, values, count * 4);
    return reinterpret_cast<const float*>(to);
  }

 private:
  void UploadBytes(uint8_t* to, const void* from, int64_t bytes) {
    AlignedBuffer& staging = Staging(bytes);
    std::memcpy(staging.data(), from, static_cast<size_t>(bytes));
    stream_->Upload(to, staging.data(), bytes);
  }

  void UploadRows(const Matrix& w, uint8_t* values, int64_t value_bytes, uint8_t* scales,
                  int64_t scale_bytes) {
    const int64_t row_values = value_bytes / w.rows, row_scales = scale_bytes / w.rows;
    const int64_t at_once =
        std::clamp<int64_t>(kStagingBytes / (row_values + row_scales), 1, w.rows);
    for (int64_t begin = 0; begin < w.rows; begin += at_once) {
      const int64_t rows = std::min(at_once, w.rows - begin);
      const int64_t first_scale = (rows * row_values + 63) / 64 * 64;
      AlignedBuffer& staging = Staging(first_scale + rows * row_scales);
      // PackForGpu wants where the whole matrix begins: rows of the file's are renumbered instead.
      Matrix part = w;
      part.data = w.row(begin);
      part.rows = rows;
      const auto region = [&](Team& team, int) {
        const int64_t grain = std::max<int64_t>(rows / (team.size() * 4), 1);
        team.Each(rows, grain, [&](int64_t from, int64_t to) {
          PackForGpu(part, from, to, staging.data(),
                     reinterpret_cast<uint32_t*>(staging.data() + first_scale));
        });
      };
      ThreadPool::Shared().Run(threads_, std::ref(region));
      stream_->Upload(values + begin * row_values, staging.data(), rows * row_values);
      if (row_scales > 0) {
        stream_->Upload(scales + begin * row_scales, staging.data() + first_scale,
                        rows * row_scales);
      }
    }
  }

  void Wait() {
    Status status = stream_->Synchronize();
    if (status_.ok()) status_ = std::move(status);
  }

  // Memory that no upload reads any more.
  AlignedBuffer& Staging(int64_t bytes) {
    Wait();
    if (staging_.size() < bytes) staging_ = AlignedBuffer(bytes);
    return staging_;
  }

  GpuStream* stream_ = nullptr;
  Arena arena_;
  int32_t threads_ = 1;
  AlignedBuffer staging_;
  Status status_;
};

Result<std::unique_ptr<GpuWeights>> GpuWeights::Load(std::shared_ptr<const Weights> weights,
                                                     std::shared_ptr<GpuStream> stream,
                                                     int32_t threads) {
  std::unique_ptr<GpuWeights> loaded(new GpuWeights(std::move(weights), std::move(stream)));
  Placer counting;
  loaded->Place(counting);
  loaded->bytes_ = counting.bytes();
  loaded->memory_ = loaded->stream_->Allocate(loaded->bytes_);
  if (loaded->memory_ == nullptr) {
    return Status(MLA_OUT_OF_MEMORY, loaded->weights_->file().name() + ": the GPU has no " +
                                         std::to_string(loaded->bytes_ >> 20) +
                                         " MiB left for the weights");
  }
  Placer placing(loaded->stream_.get(), static_cast<uint8_t*>(loaded->memory_), threads);
  loaded->Place(placing);
  if (Status status = placing.Finish(); !status.ok()) return status;
  return loaded;
}

GpuWeights::GpuWeights(std::shared_ptr<const Weights> weights, std::shared_ptr<GpuStream> stream)
    : weights_(std::move(weights)), stream_(std::move(stream)) {}

GpuWeights::~GpuWeights() { stream_->Free(memory_); }

void GpuWeights::Place(Placer& placer) {
  const Weights& host = *weights_;
  const ModelShape& shape = host.shape();
  const auto norm_length = [&](const HeadNorm& norm, int64_t heads) {
    return norm.head_stride == 0 ? shape.head_length : heads * norm.head_stride;
  };
  embedding_ = placer.Place(host.embedding());
  output_norm_ = placer.Place(host.output_norm(), shape.embedding);
  const bool tied = host.output().w.data == host.embedding().data;
  output_ = tied ? GpuLinear{embedding_, placer.Place(host.output().bias, shape.vocabulary)}
                 : placer.Place(host.output());
  layers_.resize(host.layers().size());
  for (size_t l = 0; l < layers_.size(); ++l) {
    const LayerWeights& from = host.layers()[l];
    const AttentionWeights& a = from.attention;
    GpuLayerWeights& layer = layers_[l];
    GpuAttentionWeights& to = layer.attention;
    layer.attention_norm = placer.Place(from.attention_norm, shape.embedding);
    to.q = placer.Place(a.q);
    to.k_rope = placer.Place(a.k_rope);
    to.k_in = placer.Place(a.k_in);
    to.output = placer.Place(a.output);
    to.latent.clear();
    for (const LatentPart& part : a.latent) to.latent.push_back(placer.Place(part.linear));
    to.q_rope = placer.Place(a.q_rope);
    to.k_up = placer.Place(a.k_up);
    to.v_up = placer.Place(a.v_up);
    to.k_up_rows = placer.Place(Transposed(a.k_up, shape.kv_heads).matrix);
    to.q_norm = placer.Place(a.q_norm.weight, norm_length(a.q_norm, shape.heads));
    to.k_norm = placer.Place(a.k_norm.weight, norm_length(a.k_norm, shape.kv_heads));
    const std::vector<float> frequencies = GroupsFrequencies(a, host.rotated_dims(a.layout) / 2);
    to.frequencies = placer.Place(frequencies.data(), static_cast<int64_t>(frequencies.size()));
    layer.mlp_norm = placer.Place(from.mlp_norm, shape.embedding);
    layer.gate = placer.Place(from.gate);
    layer.up = placer.Place(from.up);
    layer.down = placer.Place(from.down);
  }
}

}  // namespace mla
