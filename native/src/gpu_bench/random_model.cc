#include "gpu_bench/random_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "gguf/gguf_writer.h"
#include "mla/mla.h"
#include "tensor/convert.h"
#include "tensor/types.h"

namespace mla {
namespace {

// One piece of every type, which tensors repeat: times do not depend on what is in them.
constexpr int64_t kSliceElements = int64_t{1} << 20;
// Keeps the residual stream's size about the same from layer to layer.
constexpr float kWeightSize = 0.02f;

class Writer {
 public:
  Writer(std::shared_ptr<GgufWriter> file, std::string prefix)
      : file_(std::move(file)), prefix_(std::move(prefix)) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0f, kWeightSize);
    std::vector<float> values(kSliceElements);
    for (float& value : values) value = normal(random);
    for (const Type type : {Type::kQ4_0, Type::kF16}) {
      std::vector<uint8_t>& slice = type == Type::kF16 ? halves_ : blocks_;
      slice.resize(static_cast<size_t>(RowBytes(type, kSliceElements)));
      QuantizeRow(type, values.data(), slice.data(), kSliceElements);
    }
  }

  // The first error; nothing is written after it.
  const Status& status() const { return status_; }

  void Text(const std::string& key, std::string_view value) {
    Do([&] { return file_->SetStrings(key, &value, -1); });
  }
  void Integer(const std::string& key, int64_t value) {
    Do([&] { return file_->SetIntegers(prefix_ + key, MLA_VALUE_U32, &value, -1); });
  }
  void Integers(const std::string& key, int64_t value, int32_t count) {
    const std::vector<int64_t> values(static_cast<size_t>(count), value);
    Do([&] { return file_->SetIntegers(prefix_ + key, MLA_VALUE_I32, values.data(), count); });
  }
  void Reals(const std::string& key, const std::vector<double>& values) {
    const bool one = values.size() == 1;
    Do([&] {
      return file_->SetReals(prefix_ + key, MLA_VALUE_F32, values.data(),
                             one ? -1 : static_cast<int64_t>(values.size()));
    });
  }
  void Ones(const std::string& name, int64_t count) {
    const std::vector<float> ones(static_cast<size_t>(count), 1.0f);
    Do([&] { return file_->BeginTensor(name, MLA_TYPE_F32, 1, &count); });
    Do([&] { return file_->AppendF32(ones.data(), count); });
  }
  void Matrix(const std::string& name, Type type, std::vector<int64_t> dims) {
    int64_t elements = 1;
    for (const int64_t dim : dims) elements *= dim;
    Do([&] {
      return file_->BeginTensor(name, static_cast<uint32_t>(type),
                                static_cast<int32_t>(dims.size()), dims.data());
    });
    const std::vector<uint8_t>& slice = type == Type::kF16 ? halves_ : blocks_;
    for (int64_t left = RowBytes(type, elements); left > 0;) {
      const int64_t bytes = std::min(left, static_cast<int64_t>(slice.size()));
      Do([&] { return file_->AppendBytes(slice.data(), bytes); });
      left -= bytes;
    }
  }
  Status Finish() {
    Do([&] { return file_->Finish(); });
    return status_;
  }

 private:
  template <typename Call>
  void Do(const Call& call) {
    if (status_.ok()) status_ = call();
  }

  const std::shared_ptr<GgufWriter> file_;
  const std::string prefix_;
  std::vector<uint8_t> blocks_, halves_;
  Status status_;
};

void WriteKeys(const RandomModel& m, bool converted, Writer& out) {
  const int32_t head = m.embedding / m.heads;
  out.Text("general.architecture", converted ? "mha2mla" : "llama");
  out.Integer("block_count", m.layers);
  out.Integer("context_length", m.context);
  out.Integer("embedding_length", m.embedding);
  out.Integer("feed_forward_length", m.feed_forward);
  out.Integer("vocab_size", m.vocabulary);
  out.Integer("attention.head_count", m.heads);
  out.Integer("attention.head_count_kv", m.kv_heads);
  out.Integer("attention.key_length", head);
  out.Integer("attention.value_length", head);
  out.Reals("attention.layer_norm_rms_epsilon", {1e-5});
  if (!converted) return;
  out.Text("mha2mla.base_architecture", "llama");
  out.Integer("format_version", 1);
  out.Integers("rope.dimension_counts", m.rope_dim, m.layers);
  out.Integers("attention.rope_group_counts", m.kv_heads, m.layers);
  std::vector<double> frequencies;
  for (int32_t i = 0; i < m.layers * m.kv_heads * m.rope_dim / 2; ++i) {
    frequencies.push_back(std::pow(1e4, -2.0 * (i % (m.rope_dim / 2)) / m.rope_dim));
  }
  out.Reals("rope.frequencies", frequencies);
}

void WriteLayer(const RandomModel& m, bool converted, const std::string& b, Writer& out) {
  const int64_t d = m.embedding, head = d / m.heads;
  const auto matrix = [&](const char* name, int64_t rows, int64_t cols) {
    out.Matrix(b + name + ".weight", Type::kQ4_0, {cols, rows});
  };
  out.Ones(b + "attn_norm.weight", d);
  out.Ones(b + "ffn_norm.weight", d);
  if (converted) {
    matrix("attn_q", m.heads * (m.rope_dim + head), d);
    matrix("attn_k", int64_t{m.kv_heads} * m.rope_dim, d);
    matrix("attn_kv_a", m.rank, d);
    out.Matrix(b + "attn_k_b.weight", Type::kF16, {head, m.rank, m.kv_heads});
    out.Matrix(b + "attn_v_b.weight", Type::kF16, {m.rank, head, m.kv_heads});
  } else {
    matrix("attn_q", d, d);
    matrix("attn_k", m.kv_heads * head, d);
    matrix("attn_v", m.kv_heads * head, d);
  }
  matrix("attn_output", d, d);
  matrix("ffn_gate", m.feed_forward, d);
  matrix("ffn_up", m.feed_forward, d);
  matrix("ffn_down", d, m.feed_forward);
}

}  // namespace

int64_t RandomModel::cached_elements() const {
  const int64_t a_layer =
      rank == 0 ? int64_t{2} * kv_heads * (embedding / heads) : rank + int64_t{kv_heads} * rope_dim;
  return layers * a_layer;
}

Status WriteRandomModel(const RandomModel& model, const std::string& path) {
  const bool converted = model.rank > 0;
  Result<std::shared_ptr<GgufWriter>> file = GgufWriter::ToFile(path);
  if (!file.ok()) return file.status();
  Writer out(std::move(file.value()), converted ? "mha2mla." : "llama.");
  WriteKeys(model, converted, out);
  out.Matrix("token_embd.weight", Type::kQ4_0, {model.embedding, model.vocabulary});
  out.Ones("output_norm.weight", model.embedding);
  out.Matrix("output.weight", Type::kQ4_0, {model.embedding, model.vocabulary});
  for (int32_t l = 0; l < model.layers; ++l) {
    WriteLayer(model, converted, "blk." + std::to_string(l) + ".", out);
  }
  return out.Finish();
}

}  // namespace mla
