#include "graph/gpu_forward.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention.h"
#include "mla/mla.h"

namespace mla {
namespace {

// Of fewer tokens a block of queries would be nearly empty.
constexpr int32_t kLeastExpanded = 33;

class Layer {
 public:
  Layer(const GpuStep& step, size_t number)
      : step_(step),
        shape_(step.weights.host().shape()),
        w_(step.workspace),
        number_(number),
        host_(step.weights.host().layers()[number].attention),
        layout_(host_.layout),
        weights_(step.weights.layers()[number]),
        a_(weights_.attention),
        n_(step.shape.rows),
        expanded_(step.shape.Expands(number)) {}

  void Launch() const {
    Project();
    if (layout_.key_scalar) ReconstructKeys();
    Append();
    if (expanded_) {
      AttendExpanded();
    } else {
      if (!a_.k_up.empty()) AbsorbQueries();
      for (const GpuQueryBlock& block : step_.shape.blocks) Attend(block);
      if (!a_.v_up.empty()) UpProjectValues();
    }
    const int64_t attended = AttendedStride();
    GpuProducts output = Products({GpuInput::Kind::kPlain, w_.attended, attended}, attended);
    AddTo(output, a_.output, w_.hidden, shape_.embedding, true);
    Multiply(output);
    Mlp();
  }

  // Any products of the step, by the kernel that suits its rows.
  static void Multiply(const GpuStep& step, const GpuProducts& products) {
    if (products.n <= GpuMatVec::kMostRows) {
      step.kernels.mat_vec(step.stream, {products});
    } else {
      step.kernels.mat_mul(step.stream, {products, step.workspace.products});
    }
  }

 private:
  bool NormsWholeHeads() const { return host_.norms_whole_heads(); }
  int64_t QueryLength() const { return host_.query_length(); }
  int64_t QueryStride() const { return int64_t{shape_.heads} * QueryLength(); }
  float* QueryRope() const { return NormsWholeHeads() ? w_.q_rope : w_.q; }
  int64_t QueryRopeLength() const { return NormsWholeHeads() ? layout_.rope_dim : QueryLength(); }
  int64_t QueryRopeStride() const { return int64_t{shape_.heads} * QueryRopeLength(); }
  int64_t RopeStride() const { return int64_t{layout_.rope_groups} * layout_.rope_dim; }
  int64_t AttendedStride() const { return int64_t{shape_.heads} * shape_.value_length; }
  int64_t KeyRank() const { return a_.k_up.rows / layout_.kv_heads; }
  int64_t ValueRank() const { return a_.v_up.cols; }

  GpuInput Normed(const float* norm) const {
    return {GpuInput::Kind::kNorm, w_.hidden, shape_.embedding, norm, shape_.norm_epsilon};
  }

  GpuProducts Products(const GpuInput& input, int64_t cols) const {
    GpuProducts products;
    products.input = input;
    products.n = n_;
    products.cols = cols;
    return products;
  }

  static void AddTo(GpuProducts& products, const GpuLinear& linear, float* out, int64_t stride,
                    bool add = false) {
    if (!linear.empty()) products.Add({linear.w, linear.bias, out, stride, add});
  }

  void Multiply(const GpuProducts& products) const { Multiply(step_, products); }

  void Multiply(const GpuHeadProduct& product) const {
    if (n_ <= GpuMatVec::kMostRows) {
      step_.kernels.head_product(step_.stream, product);
    } else {
      step_.kernels.head_mat_mul(step_.stream, {product, w_.products});
    }
  }

  // Queries, rotary keys and latent of all rows.
  void Project() const {
    GpuProducts products = Products(Normed(weights_.attention_norm), shape_.embedding);
    AddTo(products, a_.q, w_.q, QueryStride());
    if (NormsWholeHeads()) {
      AddTo(products, a_.k_in, w_.normed + shape_.embedding, host_.input_length);
      Multiply(products);
      ProjectWholeHeads();
      return;
    }
    AddTo(products, a_.k_rope, w_.k_rope, RopeStride());
    AddLatent(products);
    Multiply(products);
  }

  void AddLatent(GpuProducts& products) const {
    for (size_t i = 0; i < a_.latent.size(); ++i) {
      AddTo(products, a_.latent[i], w_.latent + host_.latent[i].offset, layout_.latent);
    }
  }

  // Norms whole queries and keys, then rotary queries, rotary keys and latent of all rows.
  void ProjectWholeHeads() const {
    const int64_t d = shape_.head_length, stride = host_.input_length, embedding = shape_.embedding;
    float* keys = w_.normed + embedding;
    Norm(w_.hidden, embedding, weights_.attention_norm, 0, w_.normed, stride, 1, embedding);
    Norm(w_.q, QueryStride(), a_.q_norm, host_.q_norm.head_stride, w_.q, QueryStride(),
         shape_.heads, d);
    Norm(keys, stride, a_.k_norm, host_.k_norm.head_stride, keys, stride, shape_.kv_heads, d);
    if (!a_.k_rope.empty()) {
      GpuProducts rope = Products({GpuInput::Kind::kPlain, keys, stride}, stride - embedding);
      AddTo(rope, a_.k_rope, w_.k_rope, RopeStride());
      Multiply(rope);
    }
    GpuProducts latent = Products({GpuInput::Kind::kPlain, w_.normed, stride}, stride);
    AddLatent(latent);
    if (latent.count > 0) Multiply(latent);
    if (a_.q_rope.empty()) return;
    Multiply({a_.q_rope, shape_.heads, 1, n_, w_.q, QueryStride(), QueryLength(), w_.q_rope,
              QueryRopeStride(), QueryRopeLength()});
  }

  // Of heads that lie one after the other.
  void Norm(const float* x, int64_t stride, const float* weight, int64_t weight_stride, float* out,
            int64_t out_stride, int32_t heads, int64_t length) const {
    step_.kernels.rms_norm(step_.stream,
                           {x, stride, length, weight, weight_stride, shape_.norm_epsilon, out,
                            out_stride, length, n_, heads, length});
  }

  // k_nope of all rows, for the key norm's scalar.
  void ReconstructKeys() const {
    const Segment& key = layout_.segments[static_cast<size_t>(layout_.key_segment[0])];
    Multiply({a_.k_up_rows, layout_.kv_heads, 1, n_, w_.latent + key.offset, layout_.latent, 0,
              w_.k_nope, int64_t{layout_.kv_heads} * host_.nope_dim, host_.nope_dim});
  }

  // Norms, rotation and the cache's rows.
  void Append() const {
    const Weights& host = step_.weights.host();
    GpuAppend append = step_.cache.append(number_);
    append.n = n_;
    append.positions = w_.inputs.positions;
    append.tables = w_.inputs.tables;
    append.q = QueryRope();
    append.q_stride = QueryRopeStride();
    append.q_head_stride = QueryRopeLength();
    append.k = w_.k_rope;
    append.k_stride = RopeStride();
    append.latent = w_.latent;
    append.latent_stride = layout_.latent;
    append.k_nope = w_.k_nope;
    append.k_nope_stride = int64_t{layout_.kv_heads} * host_.nope_dim;
    append.rotation.layout = host.rope_layout();
    append.rotation.dims = layout_.rope_dim > 0 ? host.rotated_dims(layout_) : 0;
    append.rotation.factor = host.rope_factor();
    append.rotation.frequencies = a_.frequencies;
    append.rotation.group_stride = append.rotation.dims / 2;
    if (!NormsWholeHeads()) {
      append.q_norm = {a_.q_norm, host_.q_norm.head_stride};
      append.k_norm = {a_.k_norm, host_.k_norm.head_stride};
    }
    append.epsilon = shape_.norm_epsilon;
    append.norm_after_rotation = host.norm_after_rope();
    append.head_length = shape_.head_length;
    append.nope_dim = host_.nope_dim;
    step_.kernels.append(step_.stream, append);
  }

  void AbsorbQueries() const {
    Multiply({a_.k_up, layout_.kv_heads, shape_.group(), n_, w_.q + host_.nope_offset(),
              QueryStride(), QueryLength(), w_.q_latent, KeyRank() * shape_.heads, KeyRank()});
  }

  float Scale() const { return 1.0f / std::sqrt(static_cast<float>(shape_.head_length)); }

  void AttendExpanded() const {
    const GpuPromptRows& rows = step_.shape.prompt;
    const GpuCachePlan::Prompt& plan = (*rows.plans)[number_];
    GpuPrompt prompt = {};
    prompt.plan = &*plan.plan;
    prompt.pieces = plan.pieces;
    prompt.first = rows.first;
    prompt.queries = n_;
    prompt.window = shape_.sliding_window;
    prompt.scale = Scale();
    prompt.pages = w_.inputs.tables;
    prompt.places = step_.cache.append(number_).places;
    prompt.layer = static_cast<int32_t>(number_);
    prompt.k_up_rows = a_.k_up_rows;
    prompt.v_up = a_.v_up;
    prompt.q_rope = QueryRope();
    prompt.q_rope_query = QueryRopeStride();
    prompt.q_rope_head = QueryRopeLength();
    prompt.q_nope = w_.q + host_.nope_offset();
    prompt.q_nope_query = QueryStride();
    prompt.q_nope_head = QueryLength();
    prompt.out = w_.attended;
    prompt.out_query = AttendedStride();
    prompt.out_head = shape_.value_length;
    prompt.tokens = plan.plan->Tokens(rows.first, n_, shape_.sliding_window);
    prompt.workspace = w_.attention.data();
    step_.kernels.prompt(step_.stream, prompt);
  }

  void Attend(const GpuQueryBlock& block) const {
    const GpuCachePlan::Attention& plan = (*block.plans)[number_];
    const PageTablePlaces& places = step_.cache.append(number_).places;
    GpuAttention attention = {};
    attention.plan = &plan.plan;
    attention.tables = plan.tables;
    attention.sequences = block.count;
    attention.bucket = step_.shape.bucket;
    attention.window = shape_.sliding_window;
    attention.scale = Scale();
    attention.positions = w_.inputs.query_positions + block.first;
    attention.pages = w_.inputs.query_tables + block.first;
    attention.places = places;
    attention.layer = static_cast<int32_t>(number_);
    const auto query = [&](int64_t stride, int64_t* sequence, int64_t* row) {
      *sequence = stride * block.queries;
      *row = stride;
    };
    attention.q_rope = QueryRope() + block.first_row * QueryRopeStride();
    attention.q_rope_head = QueryRopeLength();
    query(QueryRopeStride(), &attention.q_rope_sequence, &attention.q_rope_query);
    const bool absorbed = !a_.k_up.empty();
    const int64_t latent_stride = absorbed ? KeyRank() * shape_.heads : QueryStride();
    attention.q_latent =
        (absorbed ? w_.q_latent : w_.q + host_.nope_offset()) + block.first_row * latent_stride;
    attention.q_latent_head = absorbed ? KeyRank() : QueryLength();
    query(latent_stride, &attention.q_latent_sequence, &attention.q_latent_query);
    const bool up = !a_.v_up.empty();
    const int64_t out_stride = up ? ValueRank() * shape_.heads : AttendedStride();
    attention.out = (up ? w_.o_latent : w_.attended) + block.first_row * out_stride;
    attention.out_head = up ? ValueRank() : shape_.value_length;
    query(out_stride, &attention.out_sequence, &attention.out_query);
    attention.workspace = w_.attention.data();
    step_.kernels.attention(step_.stream, attention);
  }

  void UpProjectValues() const {
    Multiply({a_.v_up, layout_.kv_heads, shape_.group(), n_, w_.o_latent,
              ValueRank() * shape_.heads, ValueRank(), w_.attended, AttendedStride(),
              shape_.value_length});
  }

  void Mlp() const {
    const int64_t f = shape_.feed_forward;
    GpuProducts gate_up = Products(Normed(weights_.mlp_norm), shape_.embedding);
    AddTo(gate_up, weights_.gate, w_.gate, f);
    AddTo(gate_up, weights_.up, w_.up, f);
    GpuInput input = {GpuInput::Kind::kSwiGlu, w_.gate, f, w_.up};
    if (n_ <= GpuMatVec::kMostRows) {
      // Once, rather than in every block of the next launch.
      step_.kernels.mat_vec(step_.stream, {gate_up, true});
      input = {GpuInput::Kind::kPlain, w_.gate, f};
    } else {
      Multiply(gate_up);
    }
    GpuProducts down = Products(input, f);
    AddTo(down, weights_.down, w_.hidden, shape_.embedding, true);
    Multiply(down);
  }

  const GpuStep& step_;
  const ModelShape& shape_;
  const GpuWorkspace& w_;
  const size_t number_;
  const AttentionWeights& host_;
  const LayerLayout& layout_;
  const GpuLayerWeights& weights_;
  const GpuAttentionWeights& a_;
  const int32_t n_;
  const bool expanded_;
};

}  // namespace

bool ExpandsOnGpu(const AttentionWeights& attention, int32_t prefill, int32_t first, int32_t n) {
  if (n == 1 || prefill == MLA_PREFILL_ABSORBED) return false;
  if (prefill == MLA_PREFILL_EXPANDED) return true;
  if (n < kLeastExpanded) return false;
  if (attention.k_up.empty() && attention.v_up.empty()) return true;
  return ExpandedIsCheaper(attention.layout, first, n, attention.nope_dim, attention.value_length,
                           n);
}

int64_t AttentionBytes(const GpuStepShape& shape, int32_t window) {
  int64_t bytes = 0;
  for (const GpuQueryBlock& block : shape.blocks) {
    for (size_t l = 0; l < block.plans->size(); ++l) {
      if (shape.Expands(l)) continue;
      const GpuAttentionPlan& plan = (*block.plans)[l].plan;
      bytes = std::max(bytes, plan.WorkspaceBytes(block.count, shape.bucket, window));
    }
  }
  for (size_t l = 0; shape.prompt.plans != nullptr && l < shape.prompt.plans->size(); ++l) {
    if (!shape.Expands(l)) continue;
    const GpuPromptPlan& plan = *(*shape.prompt.plans)[l].plan;
    const int32_t tokens = plan.Tokens(shape.prompt.first, shape.rows, window);
    bytes = std::max(bytes, plan.WorkspaceBytes(shape.rows, tokens));
  }
  return bytes;
}

void LaunchForward(const GpuStep& step) {
  step.kernels.lookup(step.stream, {step.weights.embedding(), step.workspace.inputs.tokens,
                                    step.shape.rows, step.workspace.hidden});
  for (size_t l = 0; l < step.weights.layers().size(); ++l) Layer(step, l).Launch();
}

void LaunchOutputHead(const GpuStep& step, int32_t begin, int32_t count, float* out) {
  const ModelShape& shape = step.weights.host().shape();
  GpuProducts products;
  products.input = {GpuInput::Kind::kNorm, step.workspace.hidden + int64_t{begin} * shape.embedding,
                    shape.embedding, step.weights.output_norm(), shape.norm_epsilon};
  products.n = count;
  products.cols = shape.embedding;
  products.Add({step.weights.output().w, step.weights.output().bias, out, shape.vocabulary, false});
  Layer::Multiply(step, products);
}

}  // namespace mla
