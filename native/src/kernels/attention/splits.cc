#include "kernels/attention/splits.h"

#include <algorithm>
#include <cmath>

namespace mla {

SplitResult MergeSplits(SplitResult left, const float* left_sums, SplitResult right,
                        const float* right_sums, int32_t length, float* out) {
  if (right.total == 0.0f) {
    if (out != left_sums) std::copy_n(left_sums, length, out);
    return left;
  }
  if (left.total == 0.0f) {
    std::copy_n(right_sums, length, out);
    return right;
  }
  const float maximum = std::max(left.maximum, right.maximum);
  const float left_share = std::exp2(left.maximum - maximum);
  const float right_share = std::exp2(right.maximum - maximum);
  for (int32_t e = 0; e < length; ++e) {
    out[e] = left_share * left_sums[e] + right_share * right_sums[e];
  }
  return {maximum, left_share * left.total + right_share * right.total};
}

}  // namespace mla
