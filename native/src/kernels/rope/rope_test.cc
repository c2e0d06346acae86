#include "kernels/rope/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace mla {
namespace {

TEST(RopeAngles, AreThoseOfThePositionInDouble) {
  const std::vector<float> frequencies = {1.0f, 0.25f, 1e-4f};
  std::vector<float> table(6);
  // In float the product 131071 * 0.25 + ... would keep only two digits of the angle's fraction.
  RopeAngles(frequencies.data(), 3, 131071, 1.5f, table.data());
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = 131071.0 * static_cast<double>(frequencies[i]);
    EXPECT_NEAR(table[2 * i], 1.5 * std::cos(angle), 1e-6);
    EXPECT_NEAR(table[2 * i + 1], 1.5 * std::sin(angle), 1e-6);
  }
}

TEST(RopeRotate, QuarterTurnMapsTheFirstOfAPairToTheSecond) {
  const std::vector<float> quarter = {0.0f, 1.0f, 0.0f, 1.0f};
  std::vector<float> halves = {1, 2, 3, 4};
  RopeRotate(RopeLayout::kHalves, quarter.data(), halves.data(), 4, 1, 4);
  EXPECT_EQ(halves, (std::vector<float>{-3, -4, 1, 2}));
  std::vector<float> interleaved = {1, 2, 3, 4};
  RopeRotate(RopeLayout::kInterleaved, quarter.data(), interleaved.data(), 4, 1, 4);
  EXPECT_EQ(interleaved, (std::vector<float>{-2, 1, -4, 3}));
}

TEST(RopeRotate, EveryIsaAgreesWithTheReferenceAndStaysInItsRows) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (Isa isa : SupportedIsas()) {
    for (RopeLayout layout : {RopeLayout::kHalves, RopeLayout::kInterleaved}) {
      for (int64_t rope_dim : {2, 4, 6, 8, 14, 16, 22, 32, 34, 64, 100, 128}) {
        const int64_t heads = 3;
        const int64_t stride = rope_dim + 5;
        std::vector<float> table(static_cast<size_t>(rope_dim));
        for (float& x : table) x = normal(random);
        std::vector<float> expected(static_cast<size_t>(heads * stride));
        for (float& x : expected) x = normal(random);
        std::vector<float> actual = expected;
        RopeRotateReference(layout, table.data(), expected.data(), stride, heads, rope_dim);
        GetRopeKernel(isa)(layout, table.data(), actual.data(), stride, heads, rope_dim);
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(actual[i], expected[i], 2e-6)
              << IsaName(isa) << " R = " << rope_dim << " at " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mla
