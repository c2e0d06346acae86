#include "graph/step_work.h"

#include <algorithm>

#include "cache/page_places.h"
#include "graph/attention_block.h"
#include "graph/gpu_forward.h"

namespace mla {
namespace {

Work& Of(OperationWork& work, Operation operation) { return work[static_cast<size_t>(operation)]; }

double Bytes(const Matrix& matrix) {
  return matrix.empty() ? 0 : static_cast<double>(matrix.rows * matrix.row_bytes());
}

// `count` products with elements of this type.
void Multiply(Type type, double count, Work& to) {
  (GetTypeTraits(type).block > 1 ? to.integer_multiply_adds : to.float_multiply_adds) += count;
}

void Multiply(CacheType type, double count, Work& to) {
  (IsFloat(type) ? to.float_multiply_adds : to.integer_multiply_adds) += count;
}

// n rows of activations times a matrix; a matrix of each KV head times the rows of `group` heads.
void AddMatrix(const Matrix& matrix, double n, Work& to, int32_t group = 1) {
  if (matrix.empty()) return;
  to.weight_bytes += Bytes(matrix);
  Multiply(matrix.type, n * group * static_cast<double>(matrix.rows * matrix.cols), to);
}

void AddLinear(const Linear& linear, double n, Work& to) {
  AddMatrix(linear.w, n, to);
  if (linear.bias != nullptr) to.weight_bytes += static_cast<double>(linear.w.rows) * sizeof(float);
}

// n rows of d: the sum of squares, and the product with the weights.
void AddNorm(double n, double d, Work& to) {
  to.weight_bytes += d * sizeof(float);
  to.float_multiply_adds += 2 * n * d;
}

void AddHeadNorm(const HeadNorm& norm, double n, int32_t heads, int32_t d, Work& to) {
  if (norm.weight == nullptr) return;
  to.weight_bytes += (norm.head_stride == 0 ? 1.0 : heads) * d * sizeof(float);
  to.float_multiply_adds += 2 * n * heads * d;
}

}  // namespace

void AddBeside(const OperationWork& one, OperationWork& step) {
  for (size_t o = 0; o < kOperations; ++o) {
    const double read = step[o].weight_bytes;
    step[o] += one[o];
    if (static_cast<Operation>(o) != Operation::kEmbedding) {
      step[o].weight_bytes = std::max(read, one[o].weight_bytes);
    }
  }
}

StepWork::StepWork(const Weights& weights, const CacheOptions& cache, int32_t prefill, bool on_gpu)
    : weights_(weights), cache_(WindowOptions(cache)), prefill_(prefill), on_gpu_(on_gpu) {
  for (const LayerLayout& layout : weights.shape().cache_layouts) {
    bytes_.push_back(
        {static_cast<double>(PlaceRows(cache, layout).page_bytes) / kPageTokens,
         static_cast<double>(PlaceExactRows(cache, layout, kPageTokens).page_bytes) / kPageTokens});
  }
}

StepWork::Reads StepWork::CountReads(int32_t first, int32_t n) const {
  const int32_t window = weights_.shape().sliding_window;
  const int32_t sink = cache_.sink, residual = cache_.residual;
  const auto begin = [&](int32_t position) {
    return window > 0 ? std::max(0, position - window + 1) : 0;
  };
  // Of tokens [from, to), those that are read as rows where the window begins at `exact`.
  const auto rows = [&](int32_t from, int32_t to, int32_t exact) {
    return std::max(0, std::min(to, exact) - std::max(from, sink));
  };
  const auto window_begin = [&](int32_t position, int32_t end) {
    return residual > 0 ? position - residual + 1 : end;
  };
  Reads out = {};
  for (int32_t p = first; p < first + n; ++p) {
    const int32_t seen = p + 1 - begin(p);
    const int32_t as_rows = rows(begin(p), p + 1, window_begin(p, p + 1));
    out.row_pairs += as_rows;
    out.exact_pairs += seen - as_rows;
  }
  // Together they read rows up to the newest query's window, and all of the oldest one's window.
  const int32_t end = first + n, from = begin(first);
  out.rows = rows(from, end, window_begin(end - 1, end));
  out.exact = end - from - rows(from, end, window_begin(first, end));
  return out;
}

void StepWork::AddAttention(size_t layer, int32_t first, int32_t n, const Reads& reads,
                            OperationWork& to) const {
  const AttentionWeights& a = weights_.layers()[layer].attention;
  const LayerLayout& layout = a.layout;
  const int32_t heads_each = layout.heads / layout.kv_heads;
  const bool expanded =
      on_gpu_ ? ExpandsOnGpu(a, prefill_, first, n) : TakesExpandedForm(a, prefill_, first, n);
  const bool up_keys = expanded && !a.k_up.empty(), up_values = expanded && !a.v_up.empty();
  Work& work = Of(to, Operation::kAttention);
  work.cache_bytes += reads.rows * bytes_[layer].rows + reads.exact * bytes_[layer].exact;

  // Multiply-adds of a query and a token: with what the cache holds, and with what is made of it.
  const double rope = static_cast<double>(layout.heads) * layout.rope_dim;
  double latent = 0, made = 0;
  for (int32_t g = 0; g < layout.kv_heads; ++g) {
    (up_keys ? made : latent) += heads_each * (up_keys ? a.nope_dim : layout.key_length(g));
    (up_values ? made : latent) +=
        heads_each * (up_values ? a.value_length : layout.value_length(g));
  }
  Multiply(cache_.rope, rope * reads.row_pairs, work);
  Multiply(cache_.latent, latent * reads.row_pairs, work);
  work.float_multiply_adds +=
      (rope + latent) * reads.exact_pairs + made * (reads.row_pairs + reads.exact_pairs);

  Work& projections = Of(to, Operation::kHeadProjections);
  const double tokens = reads.rows + reads.exact;  // up-projected once each
  if (up_keys) {
    AddMatrix(a.k_up, tokens, work);
  } else if (!a.k_up.empty()) {
    AddMatrix(a.k_up, n, projections, heads_each);
  }
  if (up_values) {
    AddMatrix(a.v_up, tokens, work);
  } else if (!a.v_up.empty()) {
    AddMatrix(a.v_up, n, projections, heads_each);
  }
  AddMatrix(a.q_rope, n, projections);
  AddMatrix(a.k_up_rows, n, projections);
}

void StepWork::Add(int32_t first, int32_t n, int32_t outputs, OperationWork& to) const {
  const ModelShape& shape = weights_.shape();
  const double d = shape.embedding;
  const Reads reads = CountReads(first, n);
  Of(to, Operation::kEmbedding).weight_bytes +=
      n * static_cast<double>(weights_.embedding().row_bytes());
  for (size_t l = 0; l < bytes_.size(); ++l) {
    const LayerWeights& layer = weights_.layers()[l];
    const AttentionWeights& a = layer.attention;
    Work& norm = Of(to, Operation::kNorm);
    AddNorm(n, d, norm);
    AddNorm(n, d, norm);
    Work& qkv = Of(to, Operation::kQkvProjections);
    AddLinear(a.q, n, qkv);
    AddLinear(a.k_in, n, qkv);
    AddLinear(a.k_rope, n, qkv);
    for (const LatentPart& part : a.latent) AddLinear(part.linear, n, qkv);
    Work& append = Of(to, Operation::kRopeAppend);
    append.cache_bytes += n * (bytes_[l].rows + (cache_.residual > 0 ? bytes_[l].exact : 0));
    append.float_multiply_adds +=
        2.0 * n * weights_.rotated_dims(a.layout) * (shape.heads + a.layout.rope_groups);
    Work& head_norms = a.norms_whole_heads() ? norm : append;
    AddHeadNorm(a.q_norm, n, shape.heads, shape.head_length, head_norms);
    AddHeadNorm(a.k_norm, n, shape.kv_heads, shape.head_length, head_norms);
    AddAttention(l, first, n, reads, to);
    AddLinear(a.output, n, Of(to, Operation::kOutputProjection));
    Work& gate_up = Of(to, Operation::kGateUpProjections);
    AddLinear(layer.gate, n, gate_up);
    AddLinear(layer.up, n, gate_up);
    Of(to, Operation::kSwiGlu).float_multiply_adds += static_cast<double>(n) * shape.feed_forward;
    AddLinear(layer.down, n, Of(to, Operation::kDownProjection));
  }
  if (outputs == 0) return;
  AddNorm(outputs, d, Of(to, Operation::kNorm));
  AddLinear(weights_.output(), outputs, Of(to, Operation::kOutputHead));
}

}  // namespace mla
