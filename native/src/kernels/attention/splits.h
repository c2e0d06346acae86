// How results of a context's splits become one: pairwise, as the leaves of a binary tree, so that
// whoever ran neighbours can merge them at once and the result is the same to the last bit whoever
// ran what.
#ifndef MLA_KERNELS_ATTENTION_SPLITS_H_
#define MLA_KERNELS_ATTENTION_SPLITS_H_

#include <bit>
#include <cstdint>

namespace mla {

// Splits [begin, begin + 2^level), begin a multiple of 2^level.
struct SplitNode {
  int32_t begin, level;

  int32_t end() const { return begin + (1 << level); }
  bool is_right() const { return (begin >> level & 1) != 0; }
  // Whether this node's parent is `left` and it.
  bool Completes(const SplitNode& left) const {
    return is_right() && left.level == level && left.end() == begin;
  }
};

// Nodes at most that wait for their right siblings, with the one that comes.
constexpr int32_t MostSplitLevels(int32_t splits) {
  return std::bit_width(static_cast<uint32_t>(splits > 1 ? splits - 1 : 0)) + 1;
}

// One row's softmax over some tokens: its maximum m (logarithm to base 2), the total l of weights
// relative to it, and their sum o. Of no token, l = 0.
struct SplitResult {
  float maximum, total;
};

// With m the larger maximum: l = sum 2^(m_i - m) l_i, o = sum 2^(m_i - m) o_i. `out` may be `left`.
SplitResult MergeSplits(SplitResult left, const float* left_sums, SplitResult right,
                        const float* right_sums, int32_t length, float* out);

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_SPLITS_H_
