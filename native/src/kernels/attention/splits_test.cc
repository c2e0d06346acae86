#include "kernels/attention/splits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace mla {
namespace {

TEST(Splits, NodesOfATree) {
  const SplitNode leaf = {6, 0}, sibling = {7, 0}, pair = {4, 1}, other = {6, 1};
  EXPECT_TRUE(sibling.Completes(leaf));
  EXPECT_FALSE(leaf.Completes(sibling));
  EXPECT_FALSE(leaf.is_right());
  EXPECT_TRUE(other.Completes(pair));
  EXPECT_FALSE(pair.Completes({2, 1})) << "neighbours, and yet no siblings";
  EXPECT_FALSE(SplitNode({6, 0}).Completes(pair)) << "of another level";
  EXPECT_EQ(other.end(), 8);
}

TEST(Splits, LevelsHoldEveryNodeThatWaits) {
  for (int32_t splits : {1, 2, 3, 4, 5, 8, 9, 16, 17, 100, 128}) {
    std::vector<SplitNode> waiting;
    size_t most = 0;
    for (int32_t split = 0; split < splits; ++split) {
      waiting.push_back({split, 0});
      most = std::max(most, waiting.size());
      while (waiting.size() > 1 && waiting.back().Completes(waiting[waiting.size() - 2])) {
        waiting.pop_back();
        ++waiting.back().level;
      }
    }
    EXPECT_LE(most, static_cast<size_t>(MostSplitLevels(splits))) << splits;
  }
}

TEST(Splits, MergedAreWhatAllTokensGive) {
  const float left[] = {1.0f, -2.0f}, right[] = {0.5f, 4.0f};
  float out[] = {9.0f, 9.0f, 9.0f};
  const SplitResult merged = MergeSplits({3.0f, 2.0f}, left, {5.0f, 1.5f}, right, 2, out);
  EXPECT_EQ(merged.maximum, 5.0f);
  EXPECT_EQ(merged.total, 2.0f / 4 + 1.5f);
  EXPECT_EQ(out[0], 1.0f / 4 + 0.5f);
  EXPECT_EQ(out[1], -2.0f / 4 + 4.0f);
  EXPECT_EQ(out[2], 9.0f);
}

TEST(Splits, OneOfNoTokenChangesNothing) {
  const float nothing = -std::numeric_limits<float>::infinity();
  const float some[] = {1.0f, -2.0f}, none[] = {0.0f, 0.0f};
  float out[2];
  SplitResult merged = MergeSplits({3.0f, 2.0f}, some, {nothing, 0.0f}, none, 2, out);
  EXPECT_EQ(merged.maximum, 3.0f);
  EXPECT_EQ(merged.total, 2.0f);
  EXPECT_EQ(out[1], -2.0f);
  merged = MergeSplits({nothing, 0.0f}, none, {3.0f, 2.0f}, some, 2, out);
  EXPECT_EQ(merged.total, 2.0f);
  EXPECT_EQ(out[0], 1.0f);
  merged = MergeSplits({nothing, 0.0f}, none, {nothing, 0.0f}, none, 2, out);
  EXPECT_EQ(merged.total, 0.0f);
  EXPECT_EQ(out[0], 0.0f);
}

TEST(Splits, NotANumberStays) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float some[] = {1.0f}, bad[] = {nan};
  float out[1];
  EXPECT_TRUE(std::isnan(MergeSplits({1.0f, nan}, bad, {3.0f, 2.0f}, some, 1, out).total));
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_TRUE(std::isnan(MergeSplits({3.0f, 2.0f}, some, {1.0f, nan}, bad, 1, out).total));
  EXPECT_TRUE(std::isnan(out[0]));
}

}  // namespace
}  // namespace mla
