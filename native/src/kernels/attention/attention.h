// The one attention form (DESIGN), over packed cache rows:
//   score[t] = scale * s[g, t] * (q_rope[h] · k_rope[group(h), t] + q_lat[h] · c[t, key segment of
//   g]) o_lat[h] = sum_t softmax(score)[t] * c[t, value segment of g]
// for query i at position `first + i`, t = 0 .. first + i (limited to the last `window` positions
// where window > 0). Every packed row that is read serves all heads that need it; nothing of the
// cache is ever expanded but the rows of the tile at hand in the expanded form.
#ifndef MLA_KERNELS_ATTENTION_ATTENTION_H_
#define MLA_KERNELS_ATTENTION_ATTENTION_H_

#include <cstdint>

#include "cache/cache_view.h"
#include "cache/layout.h"
#include "kernels/attention/splits.h"
#include "kernels/isa.h"
#include "tensor/types.h"

namespace mla {

struct AttentionParams {
  const LayerLayout* layout;
  const CacheView* cache;
  int32_t first;  // position of query 0; rows of positions first .. first + queries - 1 are already
                  // written
  int32_t queries;  // 1 in decode
  int32_t window;   // sliding window, 0: none
  float scale;
  // int4 and int2 rows meet softmax weights of 15 bits, else of 8; f16 rows meet many queries in
  // floats, else in 16-bit fixed point.
  bool fine_weights;
  const float* q_rope;  // [queries][heads][R] rotated, strides below
  int64_t q_rope_stride, q_rope_head_stride;
  // Absorbed: queries in latent space, [queries][heads][key_length(g)].
  const float* q_latent;
  int64_t q_latent_stride, q_latent_head_stride;
  float* out;  // absorbed: [queries][heads][value_length(g)]; expanded: [queries][heads][value rows
               // of v_up]
  int64_t out_stride, out_head_stride;
  // What the thread reads after this: another sequence's cache, by a query at next_first. Its first
  // page is fetched meanwhile; null: nothing, or who knows.
  const CacheView* next_cache = nullptr;
  int32_t next_first = 0;
};

// The expanded form for prompts: keys and values are up-projected tile by tile, in bounded scratch.
//   k_nope[g, t] = k_upᵀ[g] · c[t, key segment], v[g, t] = v_up[g] · c[t, value segment]
// A head without a latent key, or whose k_up is empty, uses its segment as it is; the same for
// v_up.
struct ExpandedParams {
  const float* q_nope;  // [queries][heads][d_nope]
  int64_t q_nope_stride, q_nope_head_stride;
  int32_t nope_dim;
  // F32 or F16, all KV heads: k_up [kv_heads * rank, d_nope] (as absorbed), v_up [kv_heads * d_v,
  // rank].
  Matrix k_up;
  Matrix v_up;
};

// The work is a number of independent tasks, and a merge of independent rows after all of them:
//   plan = PlanAttention(...);
//   AttentionTasks tasks(plan, params, expanded, partials, scratch), one for each thread;
//   tasks.Run(begin, end) for parts of [0, plan.tasks), any thread; each tasks.Finish(); barrier;
//   MergeAttention(plan, params, r, partials, scratch) for r in [0, plan.merge_rows).
// partials (plan.partial_bytes) are of all tasks, scratch (plan.scratch_bytes) is the running
// thread's own; both 64-byte aligned. The split depends on the shape alone, never on the number of
// threads or on what else runs beside it, so that results do not either.
struct AttentionPlan {
  int32_t tasks = 0;
  int32_t merge_rows = 0;
  bool expanded = false;
  // A task is one of `context_splits` ranges of tokens, for one of `head_blocks` equal ranges of KV
  // heads, for `query_block` queries.
  int32_t context_splits = 1;
  int32_t head_blocks = 1;
  int32_t query_block = 1;
  int32_t value_length = 0;  // of an up-projected value; 0: each KV head's value_length
  // Partial results of splits are rows of partial_floats; none where context_splits is 1.
  int64_t partial_floats = 0;
  int64_t partial_bytes = 0;
  int64_t scratch_bytes = 0;
};

// expanded null: absorbed. Of one shape, a later `first` never needs less memory.
AttentionPlan PlanAttention(const LayerLayout& layout, int32_t first, int32_t queries,
                            const ExpandedParams* expanded);

// One thread's share of the tasks. Neighbours share their preparation and leave one partial result;
// results do not depend on how tasks are shared out. Everything passed must outlive it.
class AttentionTasks {
 public:
  AttentionTasks(const AttentionPlan& plan, const AttentionParams& params,
                 const ExpandedParams* expanded, void* partials, void* scratch)
      : AttentionTasks(ChosenIsa().isa, plan, params, expanded, partials, scratch) {}
  // For tests and benchmarks: with a given implementation.
  AttentionTasks(Isa isa, const AttentionPlan& plan, const AttentionParams& params,
                 const ExpandedParams* expanded, void* partials, void* scratch)
      : isa_(isa),
        plan_(plan),
        params_(params),
        expanded_(expanded),
        partials_(partials),
        scratch_(scratch) {}

  // Tasks [begin, end).
  void Run(int32_t begin, int32_t end);
  // Delivers what waits for neighbours that did not come.
  void Finish();

 private:
  const Isa isa_;
  const AttentionPlan& plan_;
  const AttentionParams& params_;
  const ExpandedParams* const expanded_;
  void* const partials_;
  void* const scratch_;
  int32_t block_ = -1;      // of the task before: its queries are prepared
  int32_t next_split_ = 0;  // the one's behind it
  int32_t depth_ = 0;       // of nodes_, in ascending order, each smaller than the last
  SplitNode nodes_[MostSplitLevels(INT32_MAX)];
};

// scratch as for tasks.
void MergeAttention(const AttentionPlan& plan, const AttentionParams& params, int32_t row,
                    const void* partials, void* scratch);

// Counted multiply-adds of both forms for a prompt chunk; the cheaper one is what `auto` takes. So
// many queries share an up-projected context; 0: as PlanAttention has it.
bool ExpandedIsCheaper(const LayerLayout& layout, int32_t first, int32_t queries, int32_t nope_dim,
                       int32_t value_dim, int32_t query_block = 0);

// The formula in plain loops and double precision over the cached rows, written to params.out.
void AttentionReference(const AttentionParams& params, const ExpandedParams* expanded);

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_ATTENTION_H_
