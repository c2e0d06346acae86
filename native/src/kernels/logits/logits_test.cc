#include "kernels/logits/logits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/logits/exponential.h"

namespace mla {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> RandomLogits(int32_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(static_cast<size_t>(n));
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TEST(Exponential, IsAccurate) {
  for (float x = 0; x >= -87; x -= 0.0137f) {
    EXPECT_NEAR(ExpNonPositive(x) / std::exp(static_cast<double>(x)), 1, 3e-7) << x;
  }
  EXPECT_EQ(ExpNonPositive(-kInf), 0);
}

TEST(Logits, AgreeWithDoubleOverAllSizes) {
  for (Isa isa : SupportedIsas()) {
    const LogitKernels& kernels = GetLogitKernels(isa);
    for (int32_t n : {1, 2, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 50000}) {
      SCOPED_TRACE(testing::Message() << IsaName(isa) << ", " << n);
      std::vector<float> logits = RandomLogits(n, static_cast<uint32_t>(n));
      logits[static_cast<size_t>(n / 2)] = -kInf;  // of a token that is not allowed
      if (n == 1) logits[0] = -2;
      const LogitScan scan = kernels.scan(logits.data(), n);
      const auto best = std::max_element(logits.begin(), logits.end());
      EXPECT_EQ(scan.best, *best);
      EXPECT_EQ(scan.best_at, best - logits.begin());
      EXPECT_EQ(scan.bad, -1);
      for (float scale : {1.0f, 0.3f, 7.0f}) {
        double sum = 0;
        for (float logit : logits) {
          sum += std::exp((static_cast<double>(logit) - scan.best) * scale);
        }
        EXPECT_NEAR(std::log(kernels.sum_exp(logits.data(), n, scan.best, scale)), std::log(sum),
                    1e-6);
      }
      double sum = 0;
      for (float logit : logits) sum += std::exp(static_cast<double>(logit));
      EXPECT_NEAR(LogSumExp(logits.data(), n, scan.best), std::log(sum), 1e-6);
    }
  }
}

TEST(Logits, ScanFindsTheFirstOfTheLargestWhereverTheyAre) {
  for (Isa isa : SupportedIsas()) {
    for (int32_t n : {1, 70, 4096, 9001}) {
      for (int32_t at = 0; at < n; at += 1 + at / 7) {
        std::vector<float> logits = RandomLogits(n, 1);
        for (int32_t i = at; i < n; i += 977) logits[static_cast<size_t>(i)] = 100;
        EXPECT_EQ(GetLogitKernels(isa).scan(logits.data(), n).best_at, at) << IsaName(isa);
      }
    }
  }
}

TEST(Logits, RunsWithALargeOneAreFound) {
  for (Isa isa : SupportedIsas()) {
    for (int64_t n : {1, 63, 64, 65, 200, 1000}) {
      std::vector<float> logits(static_cast<size_t>(n), 1.0f);
      const LogitKernels& kernels = GetLogitKernels(isa);
      EXPECT_EQ(kernels.find_run(logits.data(), n, 0, 1.0f), 0) << IsaName(isa);
      EXPECT_GE(kernels.find_run(logits.data(), n, 0, 1.1f), n) << IsaName(isa);
      for (int64_t at = 0; at < n; ++at) {
        logits[static_cast<size_t>(at)] = 2.0f;
        const int64_t run = at / kLogitRun * kLogitRun;
        EXPECT_EQ(kernels.find_run(logits.data(), n, 0, 2.0f), run) << IsaName(isa);
        EXPECT_EQ(kernels.find_run(logits.data(), n, run, 2.0f), run) << IsaName(isa);
        EXPECT_GE(kernels.find_run(logits.data(), n, run + kLogitRun, 2.0f), n) << IsaName(isa);
        logits[static_cast<size_t>(at)] = -kInf;
      }
    }
  }
}

TEST(Logits, ScanFindsTheFirstBadOneWhereverItIs) {
  for (Isa isa : SupportedIsas()) {
    for (int32_t n : {1, 16, 64, 200}) {
      for (int32_t at = 0; at < n; ++at) {
        for (float bad : {kNan, kInf}) {
          std::vector<float> logits = RandomLogits(n, 1);
          logits[static_cast<size_t>(at)] = bad;
          logits[static_cast<size_t>(n - 1)] = bad;
          EXPECT_EQ(GetLogitKernels(isa).scan(logits.data(), n).bad, at) << IsaName(isa);
        }
      }
    }
  }
}

}  // namespace
}  // namespace mla
