#include "graph/attention_block.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

#include "graph/head_matmul.h"
#include "graph/matmul_batch.h"
#include "graph/prepared_input.h"
#include "kernels/encode/encode.h"
#include "kernels/norm/norm.h"
#include "kernels/rope/rope.h"
#include "mla/mla.h"

namespace mla {
namespace {

// Attention's work on one sequence's rows of a layer.
struct SequenceWork {
  const AttentionPlan* plan;
  CacheView view, next_view;
  AttentionParams params;
  ExpandedParams expanded;
  const ExpandedParams* form;  // null: absorbed
  uint8_t* partials;
};

class Block {
 public:
  Block(const Step& step, int32_t layer, const LayerWeights* previous, const RowShare& rows,
        Team& team, int member)
      : step_(step),
        shape_(step.weights.shape()),
        w_(step.workspace),
        layer_(layer),
        weights_(step.weights.layers()[static_cast<size_t>(layer)]),
        a_(weights_.attention),
        layout_(a_.layout),
        // Every member compares the same two lists, so all of them decide alike.
        new_angles_(previous == nullptr || previous->attention.frequencies != a_.frequencies),
        expanded_(PlanOf(step.sequences[0]).expanded),
        merges_alone_(rows.one() && IsLittleToMerge(PlanOf(step.sequences[0]), team.size())),
        rows_(rows),
        team_(team),
        member_(member),
        n_(step.rows) {}

  bool Run() {
    if (!Project()) return false;
    if (layout_.key_scalar) ReconstructKeys();
    step_.Begin(Operation::kRopeAppend, member_);
    const bool absorbs = !expanded_ && !a_.k_up.empty();
    // What is absorbed of a single row nobody rotates: the others begin with it meanwhile.
    const bool absorbs_meanwhile = rows_.one() && absorbs && !NormsHeads();
    if (!absorbs_meanwhile) {
      rows_.EachOnce(team_, kEncodedTokens,
                     [this](int64_t begin, int64_t end) { FinishRows(begin, end); });
      rows_.Meet(team_);
    } else if (member_ == 0) {
      FinishRows(0, 1);
    }
    if (absorbs) AbsorbQueries();
    if (rows_.apart() && step_.stop.load()) return false;
    Attend();
    if (HasValuesToProject()) UpProjectValues();
    step_.Begin(Operation::kNorm, member_);
    const int64_t first = rows_.begin();
    PreparedInput input = rows_.Input(w_, step_.activations, a_.output.w.cols);
    input.Plan(a_.output);
    const float* attended = HasValuesToProject() ? w_.attended : Attended();
    rows_.Each(team_, kRowsAtOnce, [&](int64_t begin, int64_t end) {
      input.Fill(attended + first * AttendedStride(), AttendedStride(), begin - first, end - first);
    });
    step_.Begin(Operation::kOutputProjection, member_);
    MatmulBatch batch;
    batch.Add(a_.output, input, rows_.count(), w_.hidden + first * shape_.embedding,
              shape_.embedding, true);
    rows_.Run(batch, team_);
    return true;
  }

 private:
  static constexpr int64_t kRowsAtOnce = 8;

  int64_t QueryStride() const { return int64_t{shape_.heads} * QueryLength(); }
  int64_t QueryLength() const { return a_.query_length(); }
  // Rotary queries: the beginnings of the heads' rows, or rows of their own.
  float* QueryRope() const { return a_.norms_whole_heads() ? w_.q_rope : w_.q; }
  int64_t QueryRopeStride() const { return int64_t{shape_.heads} * QueryRopeLength(); }
  int64_t QueryRopeLength() const {
    return a_.norms_whole_heads() ? layout_.rope_dim : QueryLength();
  }
  int64_t AttendedStride() const { return int64_t{shape_.heads} * shape_.value_length; }
  int64_t RopeStride() const { return int64_t{layout_.rope_groups} * layout_.rope_dim; }

  // Norm, then queries, rotary keys and latent of all rows.
  bool Project() {
    step_.Begin(Operation::kNorm, member_);
    const bool whole = a_.norms_whole_heads();
    const int64_t d = shape_.embedding, stride = a_.input_length;
    const int64_t first = rows_.begin();
    float* const normed = rows_.Normed(w_);
    PreparedInput input = rows_.Input(w_, step_.activations, d);
    input.Plan(a_.q);
    input.Plan(whole ? a_.k_in : a_.k_rope);
    if (!whole) PlanLatent(input);
    rows_.Each(team_, kRowsAtOnce, [&](int64_t begin, int64_t end) {
      if (begin == 0 && (!rows_.one() || member_ == 0)) step_.stop.store(step_.IsCancelled());
      RmsNorm(w_.hidden + begin * d, d, weights_.attention_norm, shape_.norm_epsilon,
              normed + begin * stride, stride, end - begin, d);
      input.Fill(normed + first * stride, stride, begin - first, end - first);
    });
    // Others ask only after they met the member that did.
    if (!rows_.apart() && step_.stop.load()) return false;
    step_.Begin(Operation::kQkvProjections, member_);
    MatmulBatch batch;
    batch.Add(a_.q, input, rows_.count(), w_.q + first * QueryStride(), QueryStride());
    if (whole) {
      batch.Add(a_.k_in, input, n_, w_.normed + d, stride);
    } else {
      AddCached(input, input, batch);
    }
    rows_.Run(batch, team_);
    if (whole) ProjectWholeHeads();
    return true;
  }

  // Norms whole queries and keys, then rotary queries, rotary keys and latent of all rows.
  void ProjectWholeHeads() {
    step_.Begin(Operation::kNorm, member_);
    const int64_t d = shape_.embedding, stride = a_.input_length;
    PreparedInput keys(w_.prepared_keys, step_.activations, n_, stride - d);
    keys.Plan(a_.k_rope);
    PreparedInput inputs(w_.prepared, step_.activations, n_, stride);
    PlanLatent(inputs);
    team_.Each(n_, RowGrain(n_, team_.size(), kRowsAtOnce), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        NormHeads(a_.q_norm, shape_.heads, w_.q + i * QueryStride());
        NormHeads(a_.k_norm, shape_.kv_heads, w_.normed + i * stride + d);
      }
      keys.Fill(w_.normed + d, stride, begin, end);
      inputs.Fill(w_.normed, stride, begin, end);
    });
    step_.Begin(Operation::kQkvProjections, member_);
    MatmulBatch batch;
    AddCached(keys, inputs, batch);
    batch.Run(team_, member_);
    if (a_.q_rope.empty()) return;
    step_.Begin(Operation::kHeadProjections, member_);
    HeadMatmul({a_.q_rope, shape_.heads, 1, n_, w_.q, QueryStride(), QueryLength(), w_.q_rope,
                QueryRopeStride(), QueryRopeLength()},
               team_, member_);
  }

  void PlanLatent(PreparedInput& input) const {
    for (const LatentPart& part : a_.latent) input.Plan(part.linear);
  }

  void AddCached(const PreparedInput& rope_input, const PreparedInput& latent_input,
                 MatmulBatch& batch) const {
    const int64_t first = rows_.begin(), n = rows_.count();
    if (!a_.k_rope.empty()) {
      batch.Add(a_.k_rope, rope_input, n, w_.k_rope + first * RopeStride(), RopeStride());
    }
    for (const LatentPart& part : a_.latent) {
      batch.Add(part.linear, latent_input, n, w_.latent + first * layout_.latent + part.offset,
                layout_.latent);
    }
  }

  void NormHeads(const HeadNorm& norm, int64_t heads, float* rows) const {
    const int64_t d = shape_.head_length;
    for (int64_t h = 0; h < heads; ++h) {
      RmsNorm(rows + h * d, d, norm.weight + h * norm.head_stride, shape_.norm_epsilon,
              rows + h * d, d, 1, d);
    }
  }

  // k_nope of all rows, for the key norm's scalar.
  void ReconstructKeys() {
    step_.Begin(Operation::kHeadProjections, member_);
    const Segment& key = layout_.segments[static_cast<size_t>(layout_.key_segment[0])];
    HeadMatmul({a_.k_up_rows, layout_.kv_heads, 1, n_, w_.latent + key.offset, layout_.latent, 0,
                w_.k_nope, int64_t{layout_.kv_heads} * a_.nope_dim, a_.nope_dim},
               team_, member_);
  }

  // Norms, rotation and the cache write of some rows.
  void FinishRows(int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) FinishRow(i);
    GroupPacker packer;
    for (int64_t i = begin; i < end;) {
      const SequenceRows& sequence = step_.SequenceOf(i);
      const int64_t last = std::min<int64_t>(end, int64_t{sequence.begin} + sequence.rows);
      sequence.cache->Write(layer_, sequence.first + static_cast<int32_t>(i) - sequence.begin,
                            static_cast<int32_t>(last - i), w_.k_rope + i * RopeStride(),
                            RopeStride(), w_.latent + i * layout_.latent, layout_.latent,
                            layout_.key_scalar ? w_.scalars + i * layout_.kv_heads : nullptr,
                            layout_.kv_heads, packer);
      i = last;
    }
  }

  // Norms and rotation of one row.
  void FinishRow(int64_t i) {
    float* q = w_.q + i * QueryStride();
    float* k = w_.k_rope + i * RopeStride();
    const SequenceRows& sequence = step_.SequenceOf(i);
    const int32_t position = sequence.first + static_cast<int32_t>(i) - sequence.begin;
    const bool whole = a_.norms_whole_heads();  // already normed
    const bool rotates_first = step_.weights.norm_after_rope();
    if (layout_.rope_dim > 0 && rotates_first) Rotate(i, position, k);
    if (a_.q_norm.weight != nullptr && !whole) NormHeads(a_.q_norm, shape_.heads, q);
    if (a_.k_norm.weight != nullptr && !whole) NormKeys(i, q, k);
    if (layout_.rope_dim > 0 && !rotates_first) Rotate(i, position, k);
  }

  // Qwen3: k = w * key / rms(key). Uncompressed keys are normed as they are cached. Of factored
  // ones the rotary part gets w, the other part's w goes to the queries, and 1/rms becomes the
  // cached scalar.
  void NormKeys(int64_t i, float* q, float* k) {
    const int64_t r = layout_.rope_dim, nope = a_.nope_dim;
    for (int64_t g = 0; g < layout_.kv_heads; ++g) {
      const float* weight = a_.k_norm.weight + g * a_.k_norm.head_stride;
      float* rope = k + g * r;
      float* rest = nullptr;
      if (layout_.key_scalar) {
        rest = w_.k_nope + (i * layout_.kv_heads + g) * nope;
      } else if (nope > 0) {
        const int32_t segment = layout_.key_segment[static_cast<size_t>(g)];
        rest =
            w_.latent + i * layout_.latent + layout_.segments[static_cast<size_t>(segment)].offset;
      }
      double sum = 0.0;
      for (int64_t j = 0; j < r; ++j) sum += double{rope[j]} * rope[j];
      for (int64_t j = 0; j < nope; ++j) sum += double{rest[j]} * rest[j];
      const float scale =
          static_cast<float>(1.0 / std::sqrt(sum / shape_.head_length + shape_.norm_epsilon));
      if (!layout_.key_scalar) {
        for (int64_t j = 0; j < r; ++j) rope[j] *= scale * weight[j];
        for (int64_t j = 0; j < nope; ++j) rest[j] *= scale * weight[r + j];
        continue;
      }
      w_.scalars[i * layout_.kv_heads + g] = scale;
      for (int64_t j = 0; j < r; ++j) rope[j] *= weight[j];
      for (int64_t h = g * shape_.group(); h < (g + 1) * shape_.group(); ++h) {
        float* q_nope = q + h * shape_.head_length + r;
        for (int64_t j = 0; j < nope; ++j) q_nope[j] *= weight[r + j];
      }
    }
  }

  void Rotate(int64_t i, int32_t position, float* k) {
    float* q = QueryRope() + i * QueryRopeStride();
    const int64_t r = layout_.rope_dim;
    const int32_t rotated = step_.weights.rotated_dims(layout_);
    float* angles = w_.cos_sin + i * RopeStride();
    const RopeLayout pairs = step_.weights.rope_layout();
    int64_t g = 0;
    while (g < layout_.rope_groups) {
      // Neighbouring groups with one table turn together.
      const float* table = a_.frequencies[static_cast<size_t>(g)];
      int64_t last = g + 1;
      while (last < layout_.rope_groups && a_.frequencies[static_cast<size_t>(last)] == table) {
        ++last;
      }
      float* cos_sin = angles + g * r;
      if (new_angles_) {
        RopeAngles(table, rotated / 2, position, step_.weights.rope_factor(), cos_sin);
      }
      RopeRotate(pairs, cos_sin, k + g * r, r, last - g, rotated);
      const int64_t heads_each = shape_.heads / layout_.rope_groups;
      RopeRotate(pairs, cos_sin, q + g * heads_each * QueryRopeLength(), QueryRopeLength(),
                 (last - g) * heads_each, rotated);
      g = last;
    }
  }

  void AbsorbQueries() {
    step_.Begin(Operation::kHeadProjections, member_);
    HeadMatmul({a_.k_up, layout_.kv_heads, shape_.group(), n_, w_.q + a_.nope_offset(),
                QueryStride(), QueryLength(), w_.q_latent, KeyRank() * shape_.heads, KeyRank()},
               team_, member_);
  }

  bool NormsHeads() const { return a_.q_norm.weight != nullptr || a_.k_norm.weight != nullptr; }
  bool HasValuesToProject() const { return !expanded_ && !a_.v_up.empty(); }
  // What attention gives: latents to be up-projected, or values.
  float* Attended() const {
    if (merges_alone_) return w_.own(member_).merged;
    return HasValuesToProject() ? w_.o_latent : w_.attended;
  }
  // Less than it takes to meet: every member does it for itself.
  bool IsLittleToMerge(const AttentionPlan& plan, int members) const {
    constexpr int64_t kLittle = 16384;  // floats
    const int64_t nodes = std::min(plan.context_splits, 4 * members);
    return plan.context_splits > 1 && plan.merge_rows * plan.partial_floats * nodes <= kLittle;
  }
  int64_t KeyRank() const { return a_.k_up.rows / layout_.kv_heads; }
  int64_t ValueRank() const { return a_.v_up.cols; }

  const AttentionPlan& PlanOf(const SequenceRows& rows) const {
    return rows.plans[static_cast<size_t>(layer_)];
  }

  // `next` may be null: the sequence that comes after it.
  void Bind(const SequenceRows& rows, const SequenceRows* next, SequenceWork* work) const {
    const int64_t begin = rows.begin;
    float* q = w_.q + begin * QueryStride();
    work->plan = &PlanOf(rows);
    work->view = rows.cache->View(layer_);
    work->partials = rows.partials;
    AttentionParams& p = work->params;
    p.layout = &layout_;
    p.cache = &work->view;
    if (next != nullptr) {
      work->next_view = next->cache->View(layer_);
      p.next_first = next->first;
    }
    p.next_cache = next == nullptr ? nullptr : &work->next_view;
    p.first = rows.first;
    p.queries = rows.rows;
    p.window = shape_.sliding_window;
    p.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_length));
    p.fine_weights = step_.activations == Activations::kFine;
    p.q_rope = QueryRope() + begin * QueryRopeStride();
    p.q_rope_stride = QueryRopeStride();
    p.q_rope_head_stride = QueryRopeLength();
    if (a_.k_up.empty()) {
      p.q_latent = q + a_.nope_offset();
      p.q_latent_stride = QueryStride();
      p.q_latent_head_stride = QueryLength();
    } else {
      p.q_latent_stride = KeyRank() * shape_.heads;
      p.q_latent_head_stride = KeyRank();
      p.q_latent = w_.q_latent + begin * p.q_latent_stride;
    }
    if (expanded_ || a_.v_up.empty()) {
      p.out_stride = AttendedStride();
      p.out_head_stride = shape_.value_length;
    } else {
      p.out_stride = ValueRank() * shape_.heads;
      p.out_head_stride = ValueRank();
    }
    p.out = Attended() + begin * p.out_stride;
    work->expanded = ExpandedForm(shape_, a_, q);
    work->form = expanded_ ? &work->expanded : nullptr;
  }

  void Attend() {
    step_.Begin(Operation::kAttention, member_);
    std::optional<AttentionTasks> tasks;  // of the sequence at hand
    EachOfAll([](const AttentionPlan& plan) { return plan.tasks; },
              [&](const SequenceWork& work) {
                tasks.emplace(*work.plan, work.params, work.form, work.partials,
                              w_.scratch(member_));
              },
              [&](const SequenceWork&, int32_t begin, int32_t end) { tasks->Run(begin, end); },
              [&] {
                if (tasks) tasks->Finish();
              });
    if (merges_alone_) {
      SequenceWork work = {};
      Bind(step_.sequences[0], nullptr, &work);
      for (int32_t row = 0; row < work.plan->merge_rows; ++row) {
        MergeAttention(*work.plan, work.params, row, work.partials, w_.scratch(member_));
      }
      return;
    }
    EachOfAll([](const AttentionPlan& plan) { return plan.merge_rows; }, [](const SequenceWork&) {},
              [this](const SequenceWork& work, int32_t begin, int32_t end) {
                for (int32_t row = begin; row < end; ++row) {
                  MergeAttention(*work.plan, work.params, row, work.partials, w_.scratch(member_));
                }
              },
              [] {});
  }

  // run(work of a sequence, begin, end) for parts of [0, count(its plan)), of all sequences as one
  // piece of work: one that is long keeps the team as busy as many that are short. begin(work)
  // comes before neighbouring parts of a sequence; finish() behind them, while its work is still
  // there, and before the first.
  // Ends with the team's barrier, if there is anything to do.
  template <typename Count, typename Begin, typename Run, typename Finish>
  void EachOfAll(const Count& count, const Begin& begin_sequence, const Run& run,
                 const Finish& finish) {
    int64_t total = 0;
    for (const SequenceRows& rows : step_.sequences) total += count(PlanOf(rows));
    if (total == 0) return;
    auto next = step_.sequences.begin();
    int64_t first = 0, last = 0;  // of the sequence at hand
    SequenceWork work = {};
    team_.EachFromOwn(
        member_, total, 1,
        [&](int64_t begin, int64_t end) {
          if (begin < first) {
            next = step_.sequences.begin();
            first = last = 0;
          }
          while (begin < end) {
            if (begin >= last) {
              for (; begin >= last; ++next) {
                first = last;
                last += count(PlanOf(*next));
              }
              finish();
              Bind(*std::prev(next), next == step_.sequences.end() ? nullptr : &*next, &work);
              begin_sequence(work);
            }
            const int64_t stop = std::min(end, last);
            run(work, static_cast<int32_t>(begin - first), static_cast<int32_t>(stop - first));
            begin = stop;
          }
        },
        finish);
  }

  void UpProjectValues() {
    step_.Begin(Operation::kHeadProjections, member_);
    HeadMatmul(
        {a_.v_up, layout_.kv_heads, shape_.group(), n_, Attended(), ValueRank() * shape_.heads,
         ValueRank(), w_.attended, AttendedStride(), shape_.value_length},
        team_, member_);
  }

  const Step& step_;
  const ModelShape& shape_;
  Workspace& w_;
  const int32_t layer_;
  const LayerWeights& weights_;
  const AttentionWeights& a_;
  const LayerLayout& layout_;
  const bool new_angles_;
  const bool expanded_;
  const bool merges_alone_;
  const RowShare& rows_;
  Team& team_;
  const int member_;
  const int32_t n_;
};

}  // namespace

bool TakesExpandedForm(const AttentionWeights& attention, int32_t prefill, int32_t first,
                       int32_t n) {
  if (n == 1 || prefill == MLA_PREFILL_ABSORBED) return false;
  if (attention.k_up.empty() && attention.v_up.empty()) return false;
  return prefill == MLA_PREFILL_EXPANDED ||
         ExpandedIsCheaper(attention.layout, first, n, attention.nope_dim, attention.value_length);
}

ExpandedParams ExpandedForm(const ModelShape& shape, const AttentionWeights& attention,
                            const float* q) {
  ExpandedParams out = {};
  out.q_nope = q == nullptr ? nullptr : q + attention.nope_offset();
  out.q_nope_stride = int64_t{shape.heads} * attention.query_length();
  out.q_nope_head_stride = attention.query_length();
  out.nope_dim = attention.nope_dim;
  out.k_up = attention.k_up;
  out.v_up = attention.v_up;
  return out;
}

bool AttentionBlock(const Step& step, int32_t layer, const LayerWeights* previous,
                    const RowShare& rows, Team& team, int member) {
  return Block(step, layer, previous, rows, team, member).Run();
}

}  // namespace mla
