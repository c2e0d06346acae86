#include "kernels/swiglu/swiglu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/guard_testing.h"

namespace mla {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class SwiGluTest : public testing::TestWithParam<Isa> {
 protected:
  const SwiGluKernel kernel_ = GetSwiGluKernel(GetParam());

  static void ExpectNear(float got, float want, float gate) {
    ASSERT_NEAR(got, want, 1.5e-6 * std::fabs(want) + 1e-34) << "gate " << gate;
  }
};

TEST_P(SwiGluTest, AgreesWithTheReference) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 4);
  for (int64_t n : {0, 1, 3, 7, 8, 9, 15, 16, 17, 100, 1536}) {
    for (bool in_place : {false, true}) {
      Guarded<float> gate(n), up(n), other(n);
      Guarded<float>& y = in_place ? gate : other;
      for (float& v : gate) v = normal(random);
      for (float& v : up) v = normal(random);
      std::vector<float> expected(static_cast<size_t>(n));
      const std::vector<float> gates(gate.begin(), gate.end());
      SwiGluReference(gate.data(), up.data(), expected.data(), n);
      kernel_(gate.data(), up.data(), y.data(), n);
      for (int64_t i = 0; i < n; ++i) {
        const size_t at = static_cast<size_t>(i);
        ExpectNear(y[i], expected[at], gates[at]);
      }
    }
  }
}

TEST_P(SwiGluTest, WholeRangeOfGates) {
  std::vector<float> gate, up, y, expected;
  for (float z = -150; z <= 150; z += 0.0137f) gate.push_back(z);
  for (float z :
       {0.0f, -0.0f, 1e-38f, -1e-38f, 1e-45f, 1e30f, -1e3f, -1e38f, kInfinity, -kInfinity})
    gate.push_back(z);
  up.assign(gate.size(), 1.0f);
  y.resize(gate.size());
  expected.resize(gate.size());
  SwiGluReference(gate.data(), up.data(), expected.data(), static_cast<int64_t>(gate.size()));
  kernel_(gate.data(), up.data(), y.data(), static_cast<int64_t>(gate.size()));
  for (size_t i = 0; i < gate.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(y[i])) << gate[i];
    } else if (std::isinf(expected[i])) {
      EXPECT_EQ(y[i], expected[i]);
    } else {
      ExpectNear(y[i], expected[i], gate[i]);
    }
  }
}

TEST_P(SwiGluTest, NotANumberStays) {
  for (int at : {0, 5, 17}) {
    std::vector<float> gate(18, 1.0f), up(18, 1.0f), y(18);
    gate[static_cast<size_t>(at)] = std::numeric_limits<float>::quiet_NaN();
    kernel_(gate.data(), up.data(), y.data(), 18);
    for (int i = 0; i < 18; ++i) EXPECT_EQ(std::isnan(y[static_cast<size_t>(i)]), i == at);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SwiGluTest, testing::ValuesIn(SupportedIsas()),
                         [](const auto& param) { return IsaName(param.param); });

TEST(SwiGlu, ChosenImplementationIsUsed) {
  const std::vector<float> gate = {1, -2, 3}, up = {1, 1, 2};
  std::vector<float> y(3), chosen(3);
  SwiGlu(gate.data(), up.data(), y.data(), 3);
  GetSwiGluKernel(ChosenIsa().isa)(gate.data(), up.data(), chosen.data(), 3);
  EXPECT_EQ(y, chosen);
}

}  // namespace
}  // namespace mla
