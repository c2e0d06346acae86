#include "graph/head_matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

namespace mla {
namespace {

struct Case {
  int64_t kv_heads, group, rows, cols;
};

std::vector<float> Normal(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

// y of all tokens and heads, in rows with NaN between them; by parts of so many tokens.
std::vector<float> Multiply(const Case& c, const std::vector<float>& w, const std::vector<float>& x,
                            int64_t n, int64_t part, int threads) {
  const int64_t heads = c.kv_heads * c.group;
  std::vector<float> y(static_cast<size_t>(n * heads * (c.rows + 1)),
                       std::numeric_limits<float>::quiet_NaN());
  for (int64_t done = 0; done < n; done += part) {
    const int64_t count = std::min(part, n - done);
    const HeadMatmulParams params = {
        {Type::kF32, reinterpret_cast<const uint8_t*>(w.data()), c.kv_heads * c.rows, c.cols},
        c.kv_heads,
        c.group,
        count,
        x.data() + done * heads * (c.cols + 2),
        heads * (c.cols + 2),
        c.cols + 2,
        y.data() + done * heads * (c.rows + 1),
        heads * (c.rows + 1),
        c.rows + 1};
    const auto region = [&](Team& team, int member) { HeadMatmul(params, team, member); };
    ThreadPool::Shared().Run(threads, std::ref(region));
  }
  return y;
}

TEST(HeadMatmul, IsTheFormulaAndOneTokenOrManyAgreeToTheBit) {
  uint32_t seed = 1;
  for (const Case& c : {Case{1, 1, 5, 7}, Case{3, 4, 40, 24}, Case{2, 7, 17, 33}, Case{5, 1, 16, 8},
                        Case{1, 9, 20, 12}}) {
    const int64_t heads = c.kv_heads * c.group;
    const std::vector<float> w = Normal(c.kv_heads * c.rows * c.cols, seed++);
    for (int64_t n : {1, 2, 4, 5, 9, 40}) {
      SCOPED_TRACE(testing::Message() << c.kv_heads << " KV heads of " << c.group << ", " << c.rows
                                      << " x " << c.cols << ", " << n << " tokens");
      const std::vector<float> x = Normal(n * heads * (c.cols + 2), seed++);
      const std::vector<float> one_by_one = Multiply(c, w, x, n, 1, 1);
      const auto at = [&](int64_t t, int64_t h) { return t * heads + h; };
      for (int64_t t = 0; t < n; ++t) {
        for (int64_t h = 0; h < heads; ++h) {
          const float* row = one_by_one.data() + at(t, h) * (c.rows + 1);
          for (int64_t r = 0; r < c.rows; ++r) {
            double sum = 0;
            for (int64_t k = 0; k < c.cols; ++k) {
              sum += double{w[static_cast<size_t>((h / c.group * c.rows + r) * c.cols + k)]} *
                     x[static_cast<size_t>(at(t, h) * (c.cols + 2) + k)];
            }
            ASSERT_NEAR(row[r], sum, 1e-4) << "token " << t << ", head " << h << ", row " << r;
          }
          ASSERT_TRUE(std::isnan(row[c.rows])) << "written beyond the row";
        }
      }
      for (int threads : {1, 3, 16}) {
        const std::vector<float> together = Multiply(c, w, x, n, n, threads);
        for (size_t i = 0; i < together.size(); ++i) {
          ASSERT_TRUE(together[i] == one_by_one[i] || std::isnan(one_by_one[i]))
              << threads << " threads, element " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mla
