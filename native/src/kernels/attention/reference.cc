#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "cache/row_codec.h"
#include "kernels/attention/attention.h"
#include "tensor/convert.h"

namespace mla {
namespace {

using Doubles = std::vector<double>;

Doubles CachedRow(const PageRows& rows, const RowArray& array, int32_t position) {
  std::vector<float> row(static_cast<size_t>(array.format.length));
  const int32_t slot = array.format.packed() ? position % kPageTokens : 0;
  DecodeRow(rows.Rows(array, position, slot + 1), slot, row.data());
  return Doubles(row.begin(), row.end());
}

// Which rows a query at `query` reads token t from.
const PageRows& RowsOf(const CacheView& cache, int32_t query, int32_t t) {
  if (t < cache.sink) return cache.first;
  return t > query - cache.residual ? cache.exact : cache.rows;
}

// A layer without one of the parts has no pointer to add to.
const float* At(const float* base, int64_t offset) {
  return base == nullptr ? nullptr : base + offset;
}

double Dot(const float* a, const Doubles& b) {
  double sum = 0.0;
  for (size_t i = 0; i < b.size(); ++i) sum += a[i] * b[i];
  return sum;
}

Doubles MatrixRow(const Matrix& matrix, int64_t r) {
  std::vector<float> row(static_cast<size_t>(matrix.cols));
  DequantizeRow(matrix.type, matrix.row(r), row.data(), matrix.cols);
  return Doubles(row.begin(), row.end());
}

// What a query is scored against besides the rotary part: the latent row, or the key it stands for.
Doubles LatentKey(const AttentionParams& params, const ExpandedParams* expanded,
                  const PageRows& rows, int32_t g, int32_t position) {
  const int32_t segment = params.layout->key_segment[static_cast<size_t>(g)];
  if (segment < 0) return {};
  Doubles c = CachedRow(rows, rows.latent[segment], position);
  if (expanded == nullptr || expanded->k_up.empty()) return c;
  Doubles key(static_cast<size_t>(expanded->nope_dim), 0.0);
  for (size_t r = 0; r < c.size(); ++r) {
    const Doubles row =
        MatrixRow(expanded->k_up, static_cast<int64_t>(c.size()) * g + static_cast<int64_t>(r));
    for (size_t d = 0; d < key.size(); ++d) key[d] += c[r] * row[d];
  }
  return key;
}

Doubles Value(const AttentionParams& params, const ExpandedParams* expanded, const PageRows& rows,
              int32_t g, int32_t position) {
  const int32_t segment = params.layout->value_segment[static_cast<size_t>(g)];
  Doubles c = CachedRow(rows, rows.latent[segment], position);
  if (expanded == nullptr || expanded->v_up.empty()) return c;
  const int64_t length = expanded->v_up.rows / params.layout->kv_heads;
  Doubles value(static_cast<size_t>(length), 0.0);
  for (int64_t e = 0; e < length; ++e) {
    const Doubles row = MatrixRow(expanded->v_up, length * g + e);
    for (size_t r = 0; r < c.size(); ++r) value[static_cast<size_t>(e)] += row[r] * c[r];
  }
  return value;
}

// What one KV head's queries are scored against, and what they sum.
struct Token {
  Doubles rope, key, value;
  double scalar;
};

// The tokens of one KV head, each read once from each place where queries find it.
class Head {
 public:
  Head(const AttentionParams& params, const ExpandedParams* expanded, int32_t g)
      : params_(params), expanded_(expanded), g_(g) {}

  const Token& At(int32_t query, int32_t t) {
    const PageRows& rows = RowsOf(*params_.cache, query, t);
    const auto [found, is_new] = tokens_.try_emplace({&rows, t});
    if (is_new) found->second = Read(rows, t);
    return found->second;
  }

 private:
  Token Read(const PageRows& rows, int32_t t) const {
    const LayerLayout& layout = *params_.layout;
    return {layout.rope_dim > 0 ? CachedRow(rows, rows.rope[layout.rope_group(g_)], t) : Doubles(),
            LatentKey(params_, expanded_, rows, g_, t), Value(params_, expanded_, rows, g_, t),
            layout.key_scalar ? static_cast<double>(*params_.cache->Scalars(g_, t)) : 1.0};
  }

  const AttentionParams& params_;
  const ExpandedParams* expanded_;
  const int32_t g_;
  std::map<std::pair<const PageRows*, int32_t>, Token> tokens_;
};

void OneQuery(const AttentionParams& params, Head& head, const float* q_rope, const float* q_key,
              int32_t position, float* out) {
  const int32_t begin = params.window > 0 ? std::max(0, position - params.window + 1) : 0;
  Doubles scores;
  for (int32_t t = begin; t <= position; ++t) {
    const Token& token = head.At(position, t);
    const double score = Dot(q_rope, token.rope) + Dot(q_key, token.key);
    scores.push_back(static_cast<double>(params.scale) * token.scalar * score);
  }
  const double maximum = *std::max_element(scores.begin(), scores.end());
  double total = 0.0;
  Doubles sum(head.At(position, position).value.size(), 0.0);
  for (int32_t t = begin; t <= position; ++t) {
    const double weight = std::exp(scores[static_cast<size_t>(t - begin)] - maximum);
    const Doubles& value = head.At(position, t).value;
    for (size_t e = 0; e < sum.size(); ++e) sum[e] += weight * value[e];
    total += weight;
  }
  for (size_t e = 0; e < sum.size(); ++e) out[e] = static_cast<float>(sum[e] / total);
}

}  // namespace

void AttentionReference(const AttentionParams& params, const ExpandedParams* expanded) {
  const LayerLayout& layout = *params.layout;
  const float* other = expanded != nullptr ? expanded->q_nope : params.q_latent;
  const int64_t other_stride =
      expanded != nullptr ? expanded->q_nope_stride : params.q_latent_stride;
  const int64_t other_head_stride =
      expanded != nullptr ? expanded->q_nope_head_stride : params.q_latent_head_stride;
  const int32_t heads_per_kv = layout.heads / layout.kv_heads;
  for (int32_t g = 0; g < layout.kv_heads; ++g) {
    Head head(params, expanded, g);
    for (int32_t h = g * heads_per_kv; h < (g + 1) * heads_per_kv; ++h) {
      for (int32_t i = 0; i < params.queries; ++i) {
        OneQuery(params, head,
                 At(params.q_rope, i * params.q_rope_stride + h * params.q_rope_head_stride),
                 At(other, i * other_stride + h * other_head_stride), params.first + i,
                 params.out + i * params.out_stride + h * params.out_head_stride);
      }
    }
  }
}

}  // namespace mla
