// What the threads' nodes of a row's tree of splits leave to be done.
#include <algorithm>
#include <array>
#include <cassert>

#include "kernels/attention/attention.h"
#include "kernels/attention/splits.h"
#include "kernels/attention/task.h"

namespace mla {
namespace {

struct Part {
  SplitNode node;
  SplitResult result;
  const float* sums;
};

constexpr size_t kMostLevels = MostSplitLevels(INT32_MAX);

}  // namespace

void MergeAttention(const AttentionPlan& plan, const AttentionParams& params, int32_t row,
                    const void* partials, void* scratch) {
  const LayerLayout& layout = *params.layout;
  const int32_t query = row / layout.heads;
  const int32_t head = row % layout.heads;
  const int32_t kv_head = head / (layout.heads / layout.kv_heads);
  const int32_t length = plan.value_length > 0 ? plan.value_length : layout.value_length(kv_head);
  // Merged sums, one for every level: of what stands at `depth` in the stack.
  float* merged = static_cast<float*>(scratch);
  std::array<Part, kMostLevels> stack;
  size_t depth = 0;
  const auto merge_last_two = [&] {
    Part& left = stack[depth - 2];
    const Part& right = stack[depth - 1];
    float* out = merged + static_cast<int64_t>(depth - 2) * plan.partial_floats;
    left.result = MergeSplits(left.result, left.sums, right.result, right.sums, length, out);
    left.sums = out;
    ++left.node.level;
    --depth;
  };

  for (int32_t split = 0; split < plan.context_splits;) {
    const float* partial =
        static_cast<const float*>(partials) + PartialRow(plan, params, split, query, head);
    const SplitNode node = {split, static_cast<int32_t>(partial[kPartialLevel])};
    assert(depth < stack.size());
    stack[depth++] = {node, {partial[0], partial[1]}, partial + kPartialHeader};
    while (depth > 1 && stack[depth - 1].node.Completes(stack[depth - 2].node)) merge_last_two();
    split = node.end();
  }
  // Nodes whose right sibling would begin behind the last split.
  while (depth > 1) merge_last_two();

  float* out = params.out + query * params.out_stride + head * params.out_head_stride;
  const float inverse = 1.0f / stack[0].result.total;
  for (int32_t e = 0; e < length; ++e) out[e] = stack[0].sums[e] * inverse;
}

}  // namespace mla
