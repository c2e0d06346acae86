#include "graph/weights.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "graph/metadata.h"
#include "graph/rope_frequencies.h"
#include "graph/tensor_finder.h"
#include "tensor/convert.h"

namespace mla {
namespace {

constexpr int32_t kFormatVersion = 1;
constexpr int32_t kLongestHead = 1 << 14;

// Where rotary pairs lie in a plain model's query and key rows, by architecture.
bool PlainRopeLayout(const std::string& architecture, RopeLayout& layout) {
  if (architecture == "llama" || architecture == "mistral") {
    layout = RopeLayout::kInterleaved;
    return true;
  }
  if (architecture == "qwen2" || architecture == "qwen3") {
    layout = RopeLayout::kHalves;
    return true;
  }
  return false;
}

}  // namespace

class WeightsLoader {
 public:
  explicit WeightsLoader(std::shared_ptr<const GgufFile> file)
      : weights_(new Weights()), file_(*file), find_(*file, weights_->owned_) {
    weights_->file_ = std::move(file);
  }

  Result<std::shared_ptr<const Weights>> Load() {
    Result<std::optional<std::string>> architecture = file_.String("general.architecture");
    if (!architecture.ok()) return architecture.status();
    if (!architecture.value()) {
      return Status(MLA_BAD_FILE, file_.name() + ": key 'general.architecture' is missing");
    }
    ModelShape& shape = weights_->shape_;
    shape.architecture = *architecture.value();
    shape.converted = shape.architecture == "mha2mla";
    if (!shape.converted && !PlainRopeLayout(shape.architecture, weights_->rope_layout_)) {
      return Status(MLA_UNSUPPORTED, file_.name() + ": architecture '" + shape.architecture +
                                         "' is not supported, expected llama, qwen2, qwen3 or "
                                         "mha2mla");
    }
    Metadata keys(file_, shape.architecture + ".");
    if (Status status = ReadShape(keys); !status.ok()) return status;
    if (Status status = ReadRope(keys); !status.ok()) return status;
    ReadTensors();
    if (!find_.status().ok()) return find_.status();
    for (const GgufTensor& tensor : file_.tensors()) {
      shape.parameters += tensor.elements();
      shape.weight_bytes += tensor.byte_size;
    }
    for (const LayerWeights& layer : weights_->layers_) {
      shape.cache_layouts.push_back(layer.attention.layout);
    }
    return std::shared_ptr<const Weights>(std::move(weights_));
  }

 private:
  Status ReadShape(Metadata& keys) {
    ModelShape& s = weights_->shape_;
    s.base_architecture = s.architecture;
    if (s.converted) {
      const int32_t version = keys.RequiredInt("format_version", 1, 1 << 30);
      if (keys.status().ok() && version > kFormatVersion) {
        return Status(MLA_UNSUPPORTED, file_.name() + ": key 'mha2mla.format_version' is " +
                                           std::to_string(version) + ", this build reads up to " +
                                           std::to_string(kFormatVersion));
      }
      s.base_architecture = keys.OptionalString("base_architecture", "llama");
    }
    s.layers = keys.RequiredInt("block_count", 1, 4096);
    s.embedding = keys.RequiredInt("embedding_length", 1, 1 << 20);
    s.feed_forward = keys.RequiredInt("feed_forward_length", 1, 1 << 22);
    s.context = keys.OptionalInt("context_length", 2048, 1, 1 << 30);
    s.heads = keys.RequiredInt("attention.head_count", 1, 1 << 16);
    s.kv_heads = keys.OptionalInt("attention.head_count_kv", s.heads, 1, s.heads);
    if (!keys.status().ok()) return keys.status();
    if (s.heads % s.kv_heads != 0) {
      return Status(MLA_BAD_FILE, file_.name() + ": key '" + keys.Name("attention.head_count_kv") +
                                      "' is " + std::to_string(s.kv_heads) +
                                      ", which does not divide the " + std::to_string(s.heads) +
                                      " heads");
    }
    s.head_length =
        keys.OptionalInt("attention.key_length", s.embedding / s.heads, 1, kLongestHead);
    s.value_length = keys.OptionalInt("attention.value_length", s.head_length, 1, kLongestHead);
    s.sliding_window = keys.OptionalInt("attention.sliding_window", 0, 0, 1 << 30);
    s.norm_epsilon = keys.RequiredReal("attention.layer_norm_rms_epsilon", 0.0, 1.0);
    if (keys.OptionalInt("expert_count", 0, 0, 1 << 20) > 0) {
      return Status(MLA_UNSUPPORTED, file_.name() + ": key '" + keys.Name("expert_count") +
                                         "': mixtures of experts are not supported");
    }
    if (keys.status().ok() && s.head_length < 1) {
      return Status(MLA_BAD_FILE, file_.name() + ": key '" + keys.Name("embedding_length") +
                                      "' is smaller than the number of heads");
    }
    return keys.status();
  }

  // Sets rope_dims_ and rope_groups_ a layer, frequencies_ of all, and the pair layout.
  Status ReadRope(Metadata& keys) {
    const ModelShape& s = weights_->shape_;
    const int64_t layers = s.layers;
    if (!s.converted) {
      const int32_t rotated =
          keys.OptionalInt("rope.dimension_count", s.head_length, 2, s.head_length);
      if (!keys.status().ok()) return keys.status();
      if (rotated % 2 != 0 || s.head_length % 2 != 0) {
        return Status(MLA_BAD_FILE, file_.name() + ": key '" + keys.Name("rope.dimension_count") +
                                        "' and the head length must be even");
      }
      if (rotated != s.head_length) weights_->partial_rotary_ = rotated;
      Result<RopeFrequencies> rope = LoadRopeFrequencies(file_, keys, rotated);
      if (!rope.ok()) return rope.status();
      weights_->rope_factor_ = rope.value().attention_factor;
      rope_dims_.assign(static_cast<size_t>(layers), s.head_length);
      rope_groups_.assign(static_cast<size_t>(layers), s.kv_heads);
      shared_frequencies_ = Keep(rope.value().inverse);
      return Status::Ok();
    }
    // A group that heads share may hold the rotary dims of all of them.
    const int32_t most_rope = s.kv_heads * s.head_length;
    rope_dims_ = keys.RequiredInts("rope.dimension_counts", layers, 0, most_rope);
    rope_groups_ = keys.RequiredInts("attention.rope_group_counts", layers, 0, s.kv_heads);
    weights_->rope_factor_ = keys.OptionalReal("rope.attention_factor", 1.0, 1e-3, 1e3);
    weights_->norm_after_rope_ = keys.OptionalBool("attention.norm_after_rope", false);
    if (!keys.status().ok()) return keys.status();
    int64_t total = 0;
    for (size_t l = 0; l < rope_dims_.size(); ++l) {
      if (rope_dims_[l] % 2 != 0) {
        return Status(MLA_BAD_FILE, file_.name() + ": key 'mha2mla.rope.dimension_counts'[" +
                                        std::to_string(l) + "] is odd, expected pairs");
      }
      if (rope_dims_[l] == 0) rope_groups_[l] = 0;
      if (rope_dims_[l] > 0 && rope_groups_[l] != 1 && rope_groups_[l] != s.kv_heads) {
        return Status(MLA_BAD_FILE, file_.name() + ": key 'mha2mla.attention.rope_group_counts'[" +
                                        std::to_string(l) + "] is " +
                                        std::to_string(rope_groups_[l]) + ", expected 1 or " +
                                        std::to_string(s.kv_heads));
      }
      if (rope_groups_[l] > 1 && rope_dims_[l] > s.head_length) {
        return Status(MLA_BAD_FILE, file_.name() + ": key 'mha2mla.rope.dimension_counts'[" +
                                        std::to_string(l) + "] is " +
                                        std::to_string(rope_dims_[l]) + ", expected at most " +
                                        std::to_string(s.head_length) + " for every head's own");
      }
      total += int64_t{rope_groups_[l]} * rope_dims_[l] / 2;
    }
    const std::vector<float> all = keys.RequiredReals("rope.frequencies", total, 0.0, 1e6);
    if (!keys.status().ok()) return keys.status();
    layer_frequencies_ = Keep(all);
    return Status::Ok();
  }

  const float* Keep(const std::vector<float>& values) {
    weights_->owned_.emplace_back(static_cast<int64_t>(values.size() * sizeof(float)));
    float* out = weights_->owned_.back().floats();
    std::copy(values.begin(), values.end(), out);
    return out;
  }

  // Equal tables get one address, so that the decoder computes their angles once.
  const float* Intern(const float* frequencies, int32_t pairs) {
    return tables_.try_emplace(std::vector<float>(frequencies, frequencies + pairs), frequencies)
        .first->second;
  }

  void ReadTensors() {
    ModelShape& s = weights_->shape_;
    const int64_t d = s.embedding;
    s.vocabulary =
        static_cast<int32_t>(std::min<int64_t>(find_.Rows("token_embd.weight"), int64_t{1} << 30));
    weights_->embedding_ = find_.RequiredMatrix("token_embd.weight", s.vocabulary, d);
    weights_->output_norm_ = find_.RequiredVector("output_norm.weight", d);
    if (find_.Has("output.weight")) {
      weights_->output_ = find_.RequiredLinear("output", s.vocabulary, d);
    } else {
      weights_->output_ = {weights_->embedding_, nullptr};
    }
    const float* frequencies = layer_frequencies_;
    for (int32_t l = 0; l < s.layers && find_.status().ok(); ++l) {
      const std::string block = "blk." + std::to_string(l) + ".";
      LayerWeights layer;
      layer.attention_norm = find_.RequiredVector(block + "attn_norm.weight", d);
      ReadAttention(block, l, frequencies, layer.attention);
      layer.mlp_norm = find_.RequiredVector(block + "ffn_norm.weight", d);
      layer.gate = find_.RequiredLinear(block + "ffn_gate", s.feed_forward, d);
      layer.up = find_.RequiredLinear(block + "ffn_up", s.feed_forward, d);
      layer.down = find_.RequiredLinear(block + "ffn_down", d, s.feed_forward);
      weights_->layers_.push_back(std::move(layer));
    }
  }

  // Adds a projection's rows to the latent; returns their first row.
  int32_t AddLatent(const std::string& name, int64_t rows, AttentionWeights& a) {
    const int32_t offset = a.layout.latent;
    if (rows < 1 || rows > (1 << 20)) {
      find_.Fail(MLA_BAD_FILE, name + ".weight",
                 "has " + std::to_string(rows) + " rows, expected 1 to 1048576");
      return offset;
    }
    a.latent.push_back({find_.RequiredLinear(name, rows, a.input_length), offset});
    a.layout.latent += static_cast<int32_t>(rows);
    return offset;
  }

  // Told by the queries' rows: a converted head may keep all its dims beside the rotary ones.
  int32_t NopeLength(const std::string& block, int32_t rope_dim) {
    const ModelShape& s = weights_->shape_;
    const std::string query = block + "attn_q.weight";
    if (NormsWholeHeads(block)) return s.head_length;
    const int64_t rest = s.head_length - rope_dim;
    if (!s.converted || !find_.Has(query)) return static_cast<int32_t>(std::max<int64_t>(0, rest));
    const int64_t rows = find_.Rows(query), nope = rows / s.heads - rope_dim;
    if (rows % s.heads == 0 && nope >= 0 && nope <= kLongestHead) return static_cast<int32_t>(nope);
    find_.Fail(MLA_BAD_FILE, query,
               "has " + std::to_string(rows) + " rows, expected " + std::to_string(s.heads) +
                   " heads of " + std::to_string(rope_dim) + " to " +
                   std::to_string(rope_dim + kLongestHead));
    return 0;
  }

  // One segment that all KV heads share, or kv_heads of them side by side; returns the index of the
  // first.
  int32_t AddSegments(int32_t offset, int32_t count, int32_t length, LayerLayout& layout) {
    const int32_t first = static_cast<int32_t>(layout.segments.size());
    for (int32_t i = 0; i < count; ++i) layout.segments.push_back({offset + i * length, length});
    return first;
  }

  void ReadAttention(const std::string& block, int32_t l, const float*& frequencies,
                     AttentionWeights& a) {
    const ModelShape& s = weights_->shape_;
    const int64_t d = s.embedding;
    LayerLayout& layout = a.layout;
    layout.heads = s.heads;
    layout.kv_heads = s.kv_heads;
    layout.rope_groups = rope_groups_[static_cast<size_t>(l)];
    layout.rope_dim = rope_dims_[static_cast<size_t>(l)];
    a.nope_dim = NopeLength(block, layout.rope_dim);
    a.value_length = s.value_length;
    for (int32_t g = 0; g < layout.rope_groups; ++g) {
      if (shared_frequencies_ != nullptr) {
        a.frequencies.push_back(shared_frequencies_);
      } else {
        a.frequencies.push_back(Intern(frequencies, layout.rope_dim / 2));
        frequencies += layout.rope_dim / 2;
      }
    }
    const int64_t keys = int64_t{s.kv_heads} * s.head_length;
    const bool whole = NormsWholeHeads(block);
    if (whole) ReadWholeHeads(block, a);
    a.input_length = whole ? d + keys : d;
    a.q = find_.RequiredLinear(block + "attn_q", int64_t{s.heads} * a.query_length(), d);
    if (layout.rope_dim > 0) {
      a.k_rope = find_.RequiredLinear(
          block + "attn_k", int64_t{layout.rope_groups} * layout.rope_dim, whole ? keys : d);
    }
    a.output = find_.RequiredLinear(block + "attn_output", d, int64_t{s.heads} * s.value_length);
    ReadLatent(block, a);
    if (whole) return;
    a.q_norm = find_.OptionalHeadNorm(block + "attn_q_norm.weight", s.heads, s.head_length);
    a.k_norm = find_.OptionalHeadNorm(block + "attn_k_norm.weight", s.kv_heads, s.head_length);
    const bool norms_queries = a.q_norm.weight != nullptr;
    if ((norms_queries || a.k_norm.weight != nullptr) && a.query_length() != s.head_length) {
      find_.Fail(MLA_BAD_FILE,
                 block + (norms_queries ? "attn_q_norm.weight" : "attn_k_norm.weight"),
                 "norms heads of " + std::to_string(s.head_length) +
                     " dims, expected the layer's " + std::to_string(a.query_length()));
      return;
    }
    if (a.k_norm.weight != nullptr) PrepareKeyNorm(block, a);
  }

  // Told by tensors that no other form has.
  bool NormsWholeHeads(const std::string& block) const {
    return weights_->shape_.converted &&
           (find_.Has(block + "attn_k_in.weight") || find_.Has(block + "attn_q_rope.weight"));
  }

  void ReadWholeHeads(const std::string& block, AttentionWeights& a) {
    const ModelShape& s = weights_->shape_;
    const int64_t d = s.head_length;
    a.k_in = find_.RequiredLinear(block + "attn_k_in", s.kv_heads * d, s.embedding);
    if (a.layout.rope_dim > 0) {
      a.q_rope = HeadMatrices(block + "attn_q_rope.weight", d, a.layout.rope_dim, s.heads);
    }
    a.q_norm = find_.RequiredHeadNorm(block + "attn_q_norm.weight", s.heads, d);
    a.k_norm = find_.RequiredHeadNorm(block + "attn_k_norm.weight", s.kv_heads, d);
    if (weights_->norm_after_rope_) {
      find_.Fail(MLA_BAD_FILE, block + "attn_k_in.weight",
                 "is of heads that are normed before they are rotated, expected key "
                 "'mha2mla.attention.norm_after_rope' to be false");
    }
  }

  void ReadLatent(const std::string& block, AttentionWeights& a) {
    const ModelShape& s = weights_->shape_;
    LayerLayout& layout = a.layout;
    const bool joint = find_.Has(block + "attn_kv_a.weight");
    const bool key_latent = find_.Has(block + "attn_k_a.weight");
    const bool value_latent = find_.Has(block + "attn_v_a.weight");
    layout.key_segment.assign(static_cast<size_t>(s.kv_heads), -1);
    layout.value_segment.assign(static_cast<size_t>(s.kv_heads), 0);
    auto shared = [&](const std::string& name) {
      const std::string tensor = block + name;
      const int64_t rows = find_.Rows(tensor + ".weight");
      const int32_t offset = AddLatent(tensor, rows, a);
      return AddSegments(offset, 1, layout.latent - offset, layout);
    };
    int32_t joint_segment = -1;
    if (joint) joint_segment = shared("attn_kv_a");
    if (a.nope_dim > 0) {
      if (joint || key_latent) {
        const int32_t segment = key_latent ? shared("attn_k_a") : joint_segment;
        if (!find_.status().ok()) return;
        std::fill(layout.key_segment.begin(), layout.key_segment.end(), segment);
        const int64_t rank = layout.segments[static_cast<size_t>(segment)].length;
        a.k_up = HeadMatrices(block + "attn_k_b.weight", a.nope_dim, rank, s.kv_heads);
      } else {
        const int32_t offset =
            AddLatent(block + "attn_k_nope", int64_t{s.kv_heads} * a.nope_dim, a);
        const int32_t first = AddSegments(offset, s.kv_heads, a.nope_dim, layout);
        for (int32_t g = 0; g < s.kv_heads; ++g)
          layout.key_segment[static_cast<size_t>(g)] = first + g;
      }
    }
    if (joint || value_latent) {
      const int32_t segment = value_latent ? shared("attn_v_a") : joint_segment;
      if (!find_.status().ok()) return;
      std::fill(layout.value_segment.begin(), layout.value_segment.end(), segment);
      const int64_t rank = layout.segments[static_cast<size_t>(segment)].length;
      a.v_up = HeadMatrices(block + "attn_v_b.weight", rank, s.value_length, s.kv_heads);
    } else {
      const int32_t offset = AddLatent(block + "attn_v", int64_t{s.kv_heads} * s.value_length, a);
      const int32_t first = AddSegments(offset, s.kv_heads, s.value_length, layout);
      for (int32_t g = 0; g < s.kv_heads; ++g)
        layout.value_segment[static_cast<size_t>(g)] = first + g;
    }
  }

  // dims {cols, rows, heads}.
  Matrix HeadMatrices(const std::string& name, int64_t cols, int64_t rows, int64_t heads) {
    const Matrix matrix = find_.RequiredFloatMatrix(name, heads * rows, cols);
    if (!matrix.empty() && find_.Dim(name, 1) != rows && heads > 1) {
      find_.Fail(MLA_BAD_FILE, name,
                 "must have dims [" + std::to_string(cols) + ", " + std::to_string(rows) + ", " +
                     std::to_string(heads) + "]");
    }
    return matrix;
  }

  // A key norm needs the whole key of every KV head. Uncompressed keys are normed before they are
  // cached; factored ones are reconstructed once, to cache their scalar 1/rms.
  void PrepareKeyNorm(const std::string& block, AttentionWeights& a) {
    LayerLayout& layout = a.layout;
    if (layout.rope_groups != layout.kv_heads && layout.rope_dim > 0) {
      find_.Fail(MLA_UNSUPPORTED, block + "attn_k_norm.weight",
                 "cannot be used with rotary keys that heads share");
      return;
    }
    if (a.k_up.empty()) return;
    layout.key_scalar = true;
    const int64_t rank = a.k_up.rows / layout.kv_heads;
    const int64_t nope = a.nope_dim;
    weights_->owned_.emplace_back(layout.kv_heads * nope * rank *
                                  static_cast<int64_t>(sizeof(float)));
    float* out = weights_->owned_.back().floats();
    std::vector<float> row(static_cast<size_t>(nope));
    for (int64_t g = 0; g < layout.kv_heads; ++g) {
      for (int64_t r = 0; r < rank; ++r) {
        DequantizeRow(a.k_up.type, a.k_up.row(g * rank + r), row.data(), nope);
        for (int64_t i = 0; i < nope; ++i)
          out[(g * nope + i) * rank + r] = row[static_cast<size_t>(i)];
      }
    }
    a.k_up_rows = {Type::kF32, reinterpret_cast<const uint8_t*>(out), layout.kv_heads * nope, rank};
  }

  std::shared_ptr<Weights> weights_;
  const GgufFile& file_;
  TensorFinder find_;
  std::vector<int32_t> rope_dims_, rope_groups_;
  const float* shared_frequencies_ = nullptr;
  const float* layer_frequencies_ = nullptr;
  std::map<std::vector<float>, const float*> tables_;
};

Result<std::shared_ptr<const Weights>> Weights::Load(std::shared_ptr<const GgufFile> file) {
  return WeightsLoader(std::move(file)).Load();
}

void Weights::Pack(int threads) const {
  std::call_once(packs_once_, [&] {
    std::vector<PackedWeights::Together> batches = {{&output_.w}};
    const auto matrices_of = [](std::initializer_list<Linear*> linears) {
      PackedWeights::Together matrices;
      for (Linear* linear : linears) {
        if (!linear->empty()) matrices.push_back(&linear->w);
      }
      return matrices;
    };
    for (LayerWeights& layer : layers_) {
      AttentionWeights& a = layer.attention;
      batches.push_back(matrices_of({&a.q, &a.k_in}));
      if (!a.k_in.empty()) batches.emplace_back();  // what is cached then waits for whole keys
      PackedWeights::Together& cached = batches.back();
      if (!a.k_rope.empty()) cached.push_back(&a.k_rope.w);
      for (LatentPart& part : a.latent) cached.push_back(&part.linear.w);
      batches.push_back(matrices_of({&a.output}));
      batches.push_back(matrices_of({&layer.gate, &layer.up}));
      batches.push_back(matrices_of({&layer.down}));
    }
    packed_.Pack(batches, threads,
                 [this](const uint8_t* data, int64_t bytes) { file_->Release(data, bytes); });
  });
}

}  // namespace mla
