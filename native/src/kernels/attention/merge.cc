// Partial results of a row's splits to the result.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/attention.h"
#include "kernels/attention/task.h"

namespace mla {

// With split s holding its maximum m_s, total l_s and sum o_s, and m the largest m_s:
//   out = sum_s 2^(m_s - m) o_s / sum_s 2^(m_s - m) l_s
// always in the order of the splits. A split that saw no token has l_s = 0 and no o_s.
void MergeAttention(const AttentionPlan& plan, const AttentionParams& params, int32_t row,
                    const void* partials) {
  const LayerLayout& layout = *params.layout;
  const int32_t query = row / layout.heads;
  const int32_t head = row % layout.heads;
  const int32_t kv_head = head / (layout.heads / layout.kv_heads);
  const int32_t length = plan.value_length > 0 ? plan.value_length : layout.value_length(kv_head);

  const auto partial_row = [&](int32_t split) {
    return static_cast<const float*>(partials) + PartialRow(plan, params, split, query, head);
  };

  float maximum = -std::numeric_limits<float>::infinity();
  for (int32_t s = 0; s < plan.context_splits; ++s) {
    maximum = std::max(maximum, partial_row(s)[0]);
  }
  float* out = params.out + query * params.out_stride + head * params.out_head_stride;
  std::fill_n(out, length, 0.0f);
  float total = 0.0f;
  for (int32_t s = 0; s < plan.context_splits; ++s) {
    const float* partial = partial_row(s);
    if (partial[1] == 0.0f) continue;
    const float share = std::exp2(partial[0] - maximum);
    total += share * partial[1];
    for (int32_t e = 0; e < length; ++e) out[e] += share * partial[kPartialHeader + e];
  }
  const float inverse = 1.0f / total;
  for (int32_t e = 0; e < length; ++e) out[e] *= inverse;
}

}  // namespace mla
