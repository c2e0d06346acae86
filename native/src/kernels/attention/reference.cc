#include <algorithm>
#include <cmath>
#include <vector>

#include "cache/row_codec.h"
#include "kernels/attention/attention.h"
#include "tensor/convert.h"

namespace mla {
namespace {

using Doubles = std::vector<double>;

Doubles CachedRow(const CacheView& cache, const RowArray& array, int32_t position) {
  std::vector<float> row(static_cast<size_t>(array.format.length));
  DecodeRow(cache.Rows(array, position, 1), 0, row.data());
  return Doubles(row.begin(), row.end());
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
Doubles LatentKey(const AttentionParams& params, const ExpandedParams* expanded, int32_t g,
                  int32_t position) {
  const int32_t segment = params.layout->key_segment[static_cast<size_t>(g)];
  if (segment < 0) return {};
  Doubles c = CachedRow(*params.cache, params.cache->latent[segment], position);
  if (expanded == nullptr || expanded->k_up.empty()) return c;
  Doubles key(static_cast<size_t>(expanded->nope_dim), 0.0);
  for (size_t r = 0; r < c.size(); ++r) {
    const Doubles row =
        MatrixRow(expanded->k_up, static_cast<int64_t>(c.size()) * g + static_cast<int64_t>(r));
    for (size_t d = 0; d < key.size(); ++d) key[d] += c[r] * row[d];
  }
  return key;
}

Doubles Value(const AttentionParams& params, const ExpandedParams* expanded, int32_t g,
              int32_t position) {
  const int32_t segment = params.layout->value_segment[static_cast<size_t>(g)];
  Doubles c = CachedRow(*params.cache, params.cache->latent[segment], position);
  if (expanded == nullptr || expanded->v_up.empty()) return c;
  const int64_t rows = expanded->v_up.rows / params.layout->kv_heads;
  Doubles value(static_cast<size_t>(rows), 0.0);
  for (int64_t e = 0; e < rows; ++e) {
    const Doubles row = MatrixRow(expanded->v_up, rows * g + e);
    for (size_t r = 0; r < c.size(); ++r) value[static_cast<size_t>(e)] += row[r] * c[r];
  }
  return value;
}

void OneHead(const AttentionParams& params, const ExpandedParams* expanded, int32_t query,
             int32_t head) {
  const LayerLayout& layout = *params.layout;
  const CacheView& cache = *params.cache;
  const int32_t g = head / (layout.heads / layout.kv_heads);
  const int32_t last = params.first + query;
  const int32_t begin = params.window > 0 ? std::max(0, last - params.window + 1) : 0;

  const float* q_rope =
      params.q_rope + query * params.q_rope_stride + head * params.q_rope_head_stride;
  const float* q_key =
      expanded != nullptr
          ? expanded->q_nope + query * expanded->q_nope_stride + head * expanded->q_nope_head_stride
          : params.q_latent + query * params.q_latent_stride + head * params.q_latent_head_stride;
  Doubles scores;
  for (int32_t t = begin; t <= last; ++t) {
    double score = Dot(q_key, LatentKey(params, expanded, g, t));
    if (layout.rope_dim > 0)
      score += Dot(q_rope, CachedRow(cache, cache.rope[layout.rope_group(g)], t));
    const double scalar = layout.key_scalar ? static_cast<double>(*cache.Scalars(g, t)) : 1.0;
    scores.push_back(static_cast<double>(params.scale) * scalar * score);
  }
  const double maximum = *std::max_element(scores.begin(), scores.end());
  double total = 0.0;
  Doubles sum;
  for (int32_t t = begin; t <= last; ++t) {
    const double weight = std::exp(scores[static_cast<size_t>(t - begin)] - maximum);
    const Doubles value = Value(params, expanded, g, t);
    sum.resize(value.size(), 0.0);
    for (size_t e = 0; e < value.size(); ++e) sum[e] += weight * value[e];
    total += weight;
  }
  float* out = params.out + query * params.out_stride + head * params.out_head_stride;
  for (size_t e = 0; e < sum.size(); ++e) out[e] = static_cast<float>(sum[e] / total);
}

}  // namespace

void AttentionReference(const AttentionParams& params, const ExpandedParams* expanded) {
  for (int32_t i = 0; i < params.queries; ++i) {
    for (int32_t h = 0; h < params.layout->heads; ++h) OneHead(params, expanded, i, h);
  }
}

}  // namespace mla
