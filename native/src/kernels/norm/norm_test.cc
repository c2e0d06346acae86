#include "kernels/norm/norm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/guard_testing.h"

namespace mla {
namespace {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

class NormTest : public testing::TestWithParam<Isa> {
 protected:
  const RmsNormKernel kernel_ = GetRmsNormKernel(GetParam());
  std::mt19937 random_{11};

  void Check(int64_t n, int64_t d, float size, bool in_place) {
    SCOPED_TRACE(testing::Message() << "n " << n << " d " << d << " size " << size);
    const int64_t x_stride = d + 3, y_stride = in_place ? x_stride : d + 1;
    Guarded<float> x(n == 0 ? 0 : (n - 1) * x_stride + d), w(d);
    Guarded<float> other(n == 0 ? 0 : (n - 1) * y_stride + d);
    Guarded<float>& y = in_place ? x : other;
    std::normal_distribution<float> normal;
    std::fill(x.begin(), x.end(), kPoison);
    std::fill(other.begin(), other.end(), kPoison);
    for (float& v : w) v = normal(random_);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t c = 0; c < d; ++c) x[i * x_stride + c] = size * normal(random_);
    }
    std::vector<float> expected(static_cast<size_t>(n * d));
    RmsNormReference(x.data(), x_stride, w.data(), 1e-5f, expected.data(), d, n, d);
    kernel_(x.data(), x_stride, w.data(), 1e-5f, y.data(), y_stride, n, d);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t c = 0; c < d; ++c) {
        const float want = expected[static_cast<size_t>(i * d + c)];
        ASSERT_NEAR(y[i * y_stride + c], want, 2e-6 * std::fabs(want) + 1e-30) << i << ", " << c;
      }
      for (int64_t c = d; i + 1 < n && c < y_stride; ++c) {
        ASSERT_TRUE(std::isnan(y[i * y_stride + c])) << "padding was written";
      }
    }
  }
};

TEST_P(NormTest, AgreesWithTheReference) {
  for (int64_t d : {1, 2, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 100, 576, 1023, 4096}) {
    for (bool in_place : {false, true}) {
      Check(1, d, 1.0f, in_place);
      Check(3, d, 1.0f, in_place);
    }
  }
}

TEST_P(NormTest, LargeAndSmallRows) {
  for (float size : {1e-6f, 1e-2f, 1e4f, 1e12f}) Check(2, 77, size, false);
}

TEST_P(NormTest, NoRows) { Check(0, 16, 1.0f, false); }

TEST_P(NormTest, ZerosGiveZeros) {
  const std::vector<float> x(50, 0.0f), w(50, 2.0f);
  std::vector<float> y(50, kPoison);
  kernel_(x.data(), 50, w.data(), 1e-6f, y.data(), 50, 1, 50);
  for (float v : y) EXPECT_EQ(v, 0.0f);
}

INSTANTIATE_TEST_SUITE_P(All, NormTest, testing::ValuesIn(SupportedIsas()),
                         [](const auto& param) { return IsaName(param.param); });

TEST(Norm, ChosenImplementationIsUsed) {
  const std::vector<float> x = {1, 2, 3}, w = {1, 1, 2};
  std::vector<float> y(3), chosen(3);
  RmsNorm(x.data(), 3, w.data(), 1e-5f, y.data(), 3, 1, 3);
  GetRmsNormKernel(ChosenIsa().isa)(x.data(), 3, w.data(), 1e-5f, chosen.data(), 3, 1, 3);
  EXPECT_EQ(y, chosen);
}

}  // namespace
}  // namespace mla
