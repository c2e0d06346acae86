// Small random models for tests: as a file that the decoder loads, and as a decoder in plain loops
// and double precision that never absorbs, never caches and knows nothing of segments. Both read
// the same tensors.
#ifndef MLA_GRAPH_TINY_MODEL_TESTING_H_
#define MLA_GRAPH_TINY_MODEL_TESTING_H_

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "gguf/gguf_writer.h"

namespace mla {

enum class Compression { kPlain, kJoint, kSplit, kOnlyKey, kOnlyValue, kNone };

// What may differ from layer to layer of converted models.
struct TinyLayer {
  int rope_dim = 16;    // R
  int rope_groups = 2;  // G
  int rank = 12;        // of each compressed part
  int nope_dim = -1;    // n; -1: what rotation leaves of a head
};

struct TinyShape : TinyLayer {
  Compression compression = Compression::kPlain;
  std::string family = "llama";  // of plain models; of converted ones the base
  int layers = 2, embedding = 32, feed_forward = 48, heads = 4, kv_heads = 2, head = 16,
      vocabulary = 61;
  std::vector<TinyLayer> unlike;  // [layers]; empty: all layers as the shape itself says
  int window = 0;
  bool biases = false;
  bool norms = false;            // of query and key heads
  bool norm_after_rope = false;  // of converted models
  bool whole_norms = false;      // of converted models: heads are normed before they are split

  bool converted() const { return compression != Compression::kPlain; }
  bool key_latent() const {
    return compression == Compression::kSplit || compression == Compression::kOnlyKey;
  }
  bool value_latent() const {
    return compression == Compression::kSplit || compression == Compression::kOnlyValue;
  }
  bool joint() const { return compression == Compression::kJoint; }
  bool interleaved() const { return !converted() && family == "llama"; }
  bool rotates_first() const { return converted() && norm_after_rope; }
  const TinyLayer& layer(int l) const {
    return unlike.empty() ? *this : unlike[static_cast<size_t>(l)];
  }
  int rope(int l) const { return converted() ? layer(l).rope_dim : head; }
  int nope(int l) const {
    if (whole_norms) return head;
    return converted() && layer(l).nope_dim >= 0 ? layer(l).nope_dim : head - rope(l);
  }
  // A head's row of attn_q.
  int query(int l) const { return whole_norms ? head : rope(l) + nope(l); }
  int keys() const { return kv_heads * head; }
  int latent_input() const { return whole_norms ? embedding + keys() : embedding; }
  int groups(int l) const { return converted() ? layer(l).rope_groups : kv_heads; }
};

class TinyModel {
 public:
  struct Tensor {
    std::vector<int64_t> dims;  // dims[0] contiguous
    std::vector<float> data;
  };

  TinyModel(const TinyShape& shape, uint32_t seed) : shape_(shape), random_(seed) { Fill(); }

  const TinyShape& shape() const { return shape_; }
  std::map<std::string, Tensor>& tensors() { return tensors_; }
  std::map<std::string, int64_t>& integers() { return integers_; }
  std::map<std::string, std::vector<int64_t>>& integer_lists() { return integer_lists_; }
  std::vector<float>& frequencies() { return frequencies_; }  // group by group

  // The model as a file of F32 tensors.
  std::shared_ptr<const GgufFile> File() const;

  // Logits of every position, [tokens][vocabulary].
  std::vector<std::vector<double>> Forward(const std::vector<int32_t>& tokens) const;

 private:
  using Row = std::vector<double>;

  void Add(const std::string& name, std::vector<int64_t> dims, double scale, double mean = 0) {
    int64_t count = 1;
    for (int64_t dim : dims) count *= dim;
    std::normal_distribution<float> normal(static_cast<float>(mean), static_cast<float>(scale));
    std::vector<float> data(static_cast<size_t>(count));
    for (float& value : data) value = normal(random_);
    tensors_[name] = {std::move(dims), std::move(data)};
  }
  void AddLinear(const std::string& name, int64_t rows, int64_t cols, bool bias) {
    Add(name + ".weight", {cols, rows}, 1.5 / std::sqrt(static_cast<double>(cols)));
    if (bias) Add(name + ".bias", {rows}, 0.3);
  }
  void Fill();
  void FillLayer(const std::string& b, int layer);

  const Tensor& Get(const std::string& name) const { return tensors_.at(name); }
  Row Apply(const std::string& name, const Row& x) const;
  Row Norm(const Row& x, const float* weight, size_t offset, size_t length) const;
  Row Attend(const std::string& b, int layer, const std::vector<Row>& x, size_t query) const;
  void HeadNorm(const std::string& name, size_t head, Row& row) const;
  // What rotary keys and the latent are made of: x, or whole normed keys, and x beside them.
  Row WholeKeys(const std::string& b, const Row& x) const;
  Row LatentInput(const std::string& b, const Row& x) const;
  Row Query(const std::string& b, int layer, const Row& queries, size_t position, int head) const;
  void Rotate(Row& row, size_t position, const float* frequencies, int pairs) const;
  // One head's whole key (rotary part rotated, normed) and value at a position.
  Row Key(const std::string& b, int layer, const Row& x, size_t position, int kv_head) const;
  Row Value(const std::string& b, int layer, const Row& x, int kv_head) const;
  const float* Frequencies(int layer, int group) const;
  Row Slice(const Row& row, int begin, int count) const {
    return Row(row.begin() + begin, row.begin() + begin + count);
  }

  TinyShape shape_;
  std::mt19937 random_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, int64_t> integers_;
  std::map<std::string, std::vector<int64_t>> integer_lists_;
  std::vector<float> frequencies_;
};

inline void TinyModel::Fill() {
  const TinyShape& s = shape_;
  Add("token_embd.weight", {s.embedding, s.vocabulary}, 1.0);
  Add("output_norm.weight", {s.embedding}, 0.1, 1.0);
  AddLinear("output", s.vocabulary, s.embedding, false);
  for (int l = 0; l < s.layers; ++l) FillLayer("blk." + std::to_string(l) + ".", l);
  integers_ = {{"block_count", s.layers},
               {"embedding_length", s.embedding},
               {"feed_forward_length", s.feed_forward},
               {"context_length", 4096},
               {"attention.head_count", s.heads},
               {"attention.head_count_kv", s.kv_heads},
               {"attention.key_length", s.head},
               {"attention.value_length", s.head}};
  if (s.window > 0) integers_["attention.sliding_window"] = s.window;
  int table = 0;
  for (int l = 0; l < (s.converted() ? s.layers : 1); ++l) {
    // Converted: every group its own, as 2-norm gives them.
    for (int g = 0; g < (s.converted() ? s.groups(l) : 1); ++g, ++table) {
      for (int i = 0; i < s.rope(l) / 2; ++i) {
        frequencies_.push_back(
            std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(s.rope(l))) *
            (1.0f + 0.1f * static_cast<float>(table)));
      }
    }
  }
  if (!s.converted()) return;
  integers_["format_version"] = 1;
  for (int l = 0; l < s.layers; ++l) {
    integer_lists_["rope.dimension_counts"].push_back(s.rope(l));
    integer_lists_["attention.rope_group_counts"].push_back(s.groups(l));
  }
}

inline void TinyModel::FillLayer(const std::string& b, int layer) {
  const TinyShape& s = shape_;
  const int nope = s.nope(layer), rope = s.rope(layer), rank = s.layer(layer).rank;
  Add(b + "attn_norm.weight", {s.embedding}, 0.1, 1.0);
  Add(b + "ffn_norm.weight", {s.embedding}, 0.1, 1.0);
  AddLinear(b + "ffn_gate", s.feed_forward, s.embedding, false);
  AddLinear(b + "ffn_up", s.feed_forward, s.embedding, false);
  AddLinear(b + "ffn_down", s.embedding, s.feed_forward, false);
  AddLinear(b + "attn_q", s.heads * s.query(layer), s.embedding, s.biases);
  AddLinear(b + "attn_output", s.embedding, s.heads * s.head, s.biases);
  if (rope > 0) {
    AddLinear(b + "attn_k", s.groups(layer) * rope, s.whole_norms ? s.keys() : s.embedding,
              s.biases);
  }
  if (s.joint()) AddLinear(b + "attn_kv_a", rank, s.latent_input(), s.biases);
  if (nope > 0) {
    if (s.key_latent()) AddLinear(b + "attn_k_a", rank, s.latent_input(), s.biases);
    if (s.joint() || s.key_latent()) {
      Add(b + "attn_k_b.weight", {nope, rank, s.kv_heads}, 0.4);
    } else {
      AddLinear(b + "attn_k_nope", s.kv_heads * nope, s.latent_input(), s.biases);
    }
  }
  if (s.value_latent()) AddLinear(b + "attn_v_a", rank, s.latent_input(), s.biases);
  if (s.joint() || s.value_latent()) {
    Add(b + "attn_v_b.weight", {rank, s.head, s.kv_heads}, 0.4);
  } else {
    AddLinear(b + "attn_v", s.kv_heads * s.head, s.latent_input(), s.biases);
  }
  if (s.whole_norms) {
    AddLinear(b + "attn_k_in", s.keys(), s.embedding, s.biases);
    if (rope > 0) Add(b + "attn_q_rope.weight", {s.head, rope, s.heads}, 0.25);
  }
  if (s.norms || s.whole_norms) {
    Add(b + "attn_q_norm.weight", {s.head}, 0.2, 1.0);
    if (s.converted()) {
      Add(b + "attn_k_norm.weight", {s.head * s.kv_heads}, 0.2, 1.0);
    } else {
      Add(b + "attn_k_norm.weight", {s.head}, 0.2, 1.0);
    }
  }
}

inline std::shared_ptr<const GgufFile> TinyModel::File() const {
  const std::shared_ptr<GgufWriter> writer = GgufWriter::ToMemory();
  const std::string architecture = shape_.converted() ? "mha2mla" : shape_.family;
  const std::string prefix = architecture + ".";
  auto check = [](const Status& status) {
    if (!status.ok()) throw std::runtime_error(status.message());
  };
  auto text = [&](const std::string& key, std::string_view value) {
    check(writer->SetStrings(key, &value, -1));
  };
  text("general.architecture", architecture);
  if (shape_.converted()) text(prefix + "base_architecture", shape_.family);
  for (const auto& [key, value] : integers_) {
    check(writer->SetIntegers(prefix + key, MLA_VALUE_U32, &value, -1));
  }
  for (const auto& [key, values] : integer_lists_) {
    check(writer->SetIntegers(prefix + key, MLA_VALUE_I32, values.data(),
                              static_cast<int64_t>(values.size())));
  }
  const double epsilon = 1e-5;
  check(writer->SetReals(prefix + "attention.layer_norm_rms_epsilon", MLA_VALUE_F32, &epsilon, -1));
  if (shape_.converted()) {
    const std::vector<double> all(frequencies_.begin(), frequencies_.end());
    check(writer->SetReals(prefix + "rope.frequencies", MLA_VALUE_F32, all.data(),
                           static_cast<int64_t>(all.size())));
    const int64_t after = shape_.norm_after_rope;
    check(writer->SetIntegers(prefix + "attention.norm_after_rope", MLA_VALUE_BOOL, &after, -1));
  }
  for (const auto& [name, tensor] : tensors_) {
    check(writer->BeginTensor(name, MLA_TYPE_F32, static_cast<int32_t>(tensor.dims.size()),
                              tensor.dims.data()));
    check(writer->AppendF32(tensor.data.data(), static_cast<int64_t>(tensor.data.size())));
  }
  check(writer->Finish());
  return writer->Reader().value();
}

inline TinyModel::Row TinyModel::Apply(const std::string& name, const Row& x) const {
  const Tensor& w = Get(name + ".weight");
  const size_t cols = static_cast<size_t>(w.dims[0]), rows = w.data.size() / cols;
  const auto bias = tensors_.find(name + ".bias");
  Row y(rows);
  for (size_t r = 0; r < rows; ++r) {
    double sum = bias == tensors_.end() ? 0.0 : bias->second.data[r];
    for (size_t c = 0; c < cols; ++c) sum += w.data[r * cols + c] * x[c];
    y[r] = sum;
  }
  return y;
}

inline TinyModel::Row TinyModel::Norm(const Row& x, const float* weight, size_t offset,
                                      size_t length) const {
  double sum = 0;
  for (size_t i = 0; i < length; ++i) sum += x[offset + i] * x[offset + i];
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(length) + 1e-5);
  Row y = x;
  for (size_t i = 0; i < length; ++i) y[offset + i] = x[offset + i] * scale * weight[i];
  return y;
}

inline void TinyModel::HeadNorm(const std::string& name, size_t head, Row& row) const {
  const auto tensor = tensors_.find(name);
  if (tensor == tensors_.end()) return;
  const std::vector<float>& w = tensor->second.data;
  const size_t d = static_cast<size_t>(shape_.head);
  row = Norm(row, w.data() + (w.size() > d ? head * d : 0), 0, d);
}

inline const float* TinyModel::Frequencies(int layer, int group) const {
  const float* table = frequencies_.data();
  if (!shape_.converted()) return table;
  for (int l = 0; l < layer; ++l) table += shape_.groups(l) * (shape_.rope(l) / 2);
  return table + group * (shape_.rope(layer) / 2);
}

inline void TinyModel::Rotate(Row& row, size_t position, const float* frequencies,
                              int pairs) const {
  for (int i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    double& a = row[static_cast<size_t>(shape_.interleaved() ? 2 * i : i)];
    double& b = row[static_cast<size_t>(shape_.interleaved() ? 2 * i + 1 : i + pairs)];
    const double x = a, y = b;
    a = x * std::cos(angle) - y * std::sin(angle);
    b = x * std::sin(angle) + y * std::cos(angle);
  }
}

inline TinyModel::Row TinyModel::WholeKeys(const std::string& b, const Row& x) const {
  const Row rows = Apply(b + "attn_k_in", x);
  Row keys;
  for (int g = 0; g < shape_.kv_heads; ++g) {
    Row key = Slice(rows, g * shape_.head, shape_.head);
    HeadNorm(b + "attn_k_norm.weight", static_cast<size_t>(g), key);
    keys.insert(keys.end(), key.begin(), key.end());
  }
  return keys;
}

inline TinyModel::Row TinyModel::LatentInput(const std::string& b, const Row& x) const {
  Row inputs = x;
  if (shape_.whole_norms) {
    const Row keys = WholeKeys(b, x);
    inputs.insert(inputs.end(), keys.begin(), keys.end());
  }
  return inputs;
}

// A head's whole query, its rotary part turned and first.
inline TinyModel::Row TinyModel::Query(const std::string& b, int layer, const Row& queries,
                                       size_t position, int h) const {
  const TinyShape& s = shape_;
  const int r = s.rope(layer);
  const int group = s.groups(layer) == 1 ? 0 : h / (s.heads / s.kv_heads);
  const float* frequencies = Frequencies(layer, group);
  Row q = Slice(queries, h * s.query(layer), s.query(layer));
  if (s.rotates_first()) Rotate(q, position, frequencies, r / 2);
  HeadNorm(b + "attn_q_norm.weight", 0, q);
  if (s.whole_norms && r > 0) {
    const std::vector<float>& split = Get(b + "attn_q_rope.weight").data;
    Row rotary(static_cast<size_t>(r));
    for (int i = 0; i < r; ++i) {
      for (int j = 0; j < s.head; ++j) {
        rotary[static_cast<size_t>(i)] +=
            split[static_cast<size_t>((h * r + i) * s.head + j)] * q[static_cast<size_t>(j)];
      }
    }
    q.insert(q.begin(), rotary.begin(), rotary.end());
  }
  if (!s.rotates_first()) Rotate(q, position, frequencies, r / 2);
  return q;
}

inline TinyModel::Row TinyModel::Key(const std::string& b, int layer, const Row& x, size_t position,
                                     int g) const {
  const TinyShape& s = shape_;
  const int r = s.rope(layer), nope = s.nope(layer), rank = s.layer(layer).rank;
  const int group = s.groups(layer) == 1 ? 0 : g;
  const Row inputs = LatentInput(b, x);
  Row key;
  if (r > 0) {
    key = Slice(Apply(b + "attn_k", s.whole_norms ? WholeKeys(b, x) : x), group * r, r);
  }
  if (nope > 0) {
    if (s.joint() || s.key_latent()) {
      const Row c = Apply(b + (s.joint() ? "attn_kv_a" : "attn_k_a"), inputs);
      const Tensor& up = Get(b + "attn_k_b.weight");
      for (int i = 0; i < nope; ++i) {
        double sum = 0;
        for (int k = 0; k < rank; ++k) {
          sum +=
              up.data[static_cast<size_t>((g * rank + k) * nope + i)] * c[static_cast<size_t>(k)];
        }
        key.push_back(sum);
      }
    } else {
      const Row rest = Slice(Apply(b + "attn_k_nope", inputs), g * nope, nope);
      key.insert(key.end(), rest.begin(), rest.end());
    }
  }
  if (s.rotates_first()) Rotate(key, position, Frequencies(layer, group), r / 2);
  if (!s.whole_norms) HeadNorm(b + "attn_k_norm.weight", static_cast<size_t>(g), key);
  if (!s.rotates_first()) Rotate(key, position, Frequencies(layer, group), r / 2);
  return key;
}

inline TinyModel::Row TinyModel::Value(const std::string& b, int layer, const Row& x, int g) const {
  const TinyShape& s = shape_;
  const Row inputs = LatentInput(b, x);
  if (!s.joint() && !s.value_latent()) {
    return Slice(Apply(b + "attn_v", inputs), g * s.head, s.head);
  }
  const Row c = Apply(b + (s.joint() ? "attn_kv_a" : "attn_v_a"), inputs);
  const Tensor& up = Get(b + "attn_v_b.weight");
  const int rank = s.layer(layer).rank;
  Row value(static_cast<size_t>(s.head));
  for (int i = 0; i < s.head; ++i) {
    for (int k = 0; k < rank; ++k) {
      value[static_cast<size_t>(i)] +=
          up.data[static_cast<size_t>((g * s.head + i) * rank + k)] * c[static_cast<size_t>(k)];
    }
  }
  return value;
}

// The heads' outputs for the token `query`, before the output projection.
inline TinyModel::Row TinyModel::Attend(const std::string& b, int layer, const std::vector<Row>& x,
                                        size_t query) const {
  const TinyShape& s = shape_;
  const Row queries = Apply(b + "attn_q", x[query]);
  const size_t begin = s.window > 0 && query + 1 > static_cast<size_t>(s.window)
                           ? query + 1 - static_cast<size_t>(s.window)
                           : 0;
  Row out;
  for (int h = 0; h < s.heads; ++h) {
    const int g = h / (s.heads / s.kv_heads);
    const Row q = Query(b, layer, queries, query, h);
    Row scores;
    double high = -1e300;
    for (size_t t = begin; t <= query; ++t) {
      const Row k = Key(b, layer, x[t], t, g);
      double score = 0;
      for (size_t i = 0; i < k.size(); ++i) score += q[i] * k[i];
      scores.push_back(score / std::sqrt(static_cast<double>(s.head)));
      high = std::max(high, scores.back());
    }
    double sum = 0;
    Row o(static_cast<size_t>(s.head));
    for (size_t t = begin; t <= query; ++t) {
      const double p = std::exp(scores[t - begin] - high);
      const Row v = Value(b, layer, x[t], g);
      sum += p;
      for (size_t i = 0; i < o.size(); ++i) o[i] += p * v[i];
    }
    for (double value : o) out.push_back(value / sum);
  }
  return out;
}

inline std::vector<std::vector<double>> TinyModel::Forward(
    const std::vector<int32_t>& tokens) const {
  const size_t d = static_cast<size_t>(shape_.embedding);
  std::vector<Row> hidden;
  for (int32_t token : tokens) {
    const float* row = Get("token_embd.weight").data.data() + static_cast<size_t>(token) * d;
    hidden.emplace_back(row, row + d);
  }
  for (int l = 0; l < shape_.layers; ++l) {
    const std::string b = "blk." + std::to_string(l) + ".";
    std::vector<Row> x;
    for (const Row& h : hidden) x.push_back(Norm(h, Get(b + "attn_norm.weight").data.data(), 0, d));
    for (size_t t = 0; t < hidden.size(); ++t) {
      const Row y = Apply(b + "attn_output", Attend(b, l, x, t));
      for (size_t i = 0; i < d; ++i) hidden[t][i] += y[i];
    }
    for (Row& h : hidden) {
      const Row z = Norm(h, Get(b + "ffn_norm.weight").data.data(), 0, d);
      const Row gate = Apply(b + "ffn_gate", z);
      Row inner = Apply(b + "ffn_up", z);
      for (size_t i = 0; i < inner.size(); ++i) inner[i] *= gate[i] / (1.0 + std::exp(-gate[i]));
      const Row y = Apply(b + "ffn_down", inner);
      for (size_t i = 0; i < d; ++i) h[i] += y[i];
    }
  }
  std::vector<Row> logits;
  for (const Row& h : hidden) {
    logits.push_back(Apply("output", Norm(h, Get("output_norm.weight").data.data(), 0, d)));
  }
  return logits;
}

}  // namespace mla
#endif  // MLA_GRAPH_TINY_MODEL_TESTING_H_
