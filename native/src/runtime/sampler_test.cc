#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <utility>

#include "runtime/sampler_testing.h"

namespace mla {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Sampler Make(SamplerOptions options, int32_t vocabulary) {
  Result<Sampler> sampler = Sampler::Create(std::move(options), vocabulary);
  EXPECT_TRUE(sampler.ok()) << sampler.status().message();
  return std::move(sampler.value());
}

// The same random stream, inverted over the reference's distribution by ascending token. A draw
// that falls within rounding of a border may go either way.
void ExpectDrawsAsReference(const SamplerOptions& options, const std::vector<float>& logits,
                            const std::vector<int32_t>& recent) {
  const std::vector<double> p = Distribution(options, logits, recent);
  Sampler sampler = Make(options, static_cast<int32_t>(logits.size()));
  Random random(options.seed);
  for (int draw = 0; draw < 20; ++draw) {
    const double u = random.Unit();
    const Result<int32_t> token =
        sampler.Choose(logits.data(), recent.data(), static_cast<int64_t>(recent.size()), nullptr);
    ASSERT_TRUE(token.ok()) << token.status().message();
    ASSERT_GT(p[token.value()], 0);
    const double below = std::accumulate(p.begin(), p.begin() + token.value(), 0.0);
    ASSERT_GE(u, below - 2e-6);
    ASSERT_LE(u, below + p[token.value()] + 2e-6);
  }
}

TEST(Random, IsXoshiro256StarStarSeededBySplitMix64) {
  Random zero(0);
  EXPECT_EQ(zero.Next(), 0x99ec5f36cb75f2b4u);
  EXPECT_EQ(zero.Next(), 0xbf6e1f784956452au);
  Random other(42);
  EXPECT_EQ(other.Next(), 0x15780b2e0c2ec716u);
}

TEST(Random, UnitsFillTheUnitInterval) {
  Random random(7);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double u = random.Unit();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(Sampler, GreedyTakesTheLargestAndOfEqualOnesTheLowestToken) {
  Sampler sampler = Make({}, 7);
  EXPECT_EQ(sampler.Choose(std::vector<float>{-3, 2, 5, 1, 5, -kInf, 0}.data(), nullptr, 0, nullptr)
                .value(),
            2);
  EXPECT_EQ(
      sampler.Choose(std::vector<float>{-9, -8, -7, -6, -5, -4, -4.5f}.data(), nullptr, 0, nullptr)
          .value(),
      5);
}

TEST(Sampler, LogProbabilityIsOfTheModelsOwnDistribution) {
  const std::vector<float> logits = RandomLogits(1000, 3);
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit));
  SamplerOptions options;
  options.temperature = 2;
  options.top_k = 5;
  options.repetition_penalty = 3;
  options.bias = {{3, 8}};
  Sampler sampler = Make(options, 1000);
  const std::vector<int32_t> recent{1, 2, 3, 4};
  for (int i = 0; i < 20; ++i) {
    float log_probability = 0;
    const int32_t token = sampler.Choose(logits.data(), recent.data(), 4, &log_probability).value();
    EXPECT_NEAR(log_probability, logits[token] - std::log(sum), 1e-5);
  }
}

TEST(Sampler, EveryFilterAndTheirCombinationsDrawAsTheReference) {
  const std::vector<int32_t> recent{5, 9, 5, 0, 44, 17, 17, 3};
  uint64_t seed = 1;
  for (int32_t vocabulary : {64, 2000}) {
    for (float spread : {0.01f, 1.0f, 6.0f}) {
      const std::vector<float> logits = RandomLogits(vocabulary, 11, spread);
      for (float temperature : {0.3f, 1.0f, 1.7f}) {
        for (int32_t top_k : {0, 1, 7, 40, 1500}) {
          for (float top_p : {0.0f, 0.05f, 0.6f, 0.95f, 1.0f}) {
            for (float min_p : {0.0f, 0.1f}) {
              SamplerOptions options;
              options.temperature = temperature;
              options.top_k = top_k;
              options.top_p = top_p;
              options.min_p = min_p;
              options.seed = ++seed;
              ExpectDrawsAsReference(options, logits, recent);
            }
          }
        }
      }
    }
  }
}

// Of flat distributions of many tokens a nucleus has some whose logits are far below the best.
TEST(Sampler, AWideNucleusDrawsAsTheReference) {
  const std::vector<float> logits = RandomLogits(20000, 11, 2.5f);
  const float best = *std::max_element(logits.begin(), logits.end());
  double near = 0, all = 0;
  for (const float logit : logits) {
    all += std::exp(logit - best);
    if (logit > best - 8) near += std::exp(logit - best);
  }
  ASSERT_LT(near, 0.99 * all);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SamplerOptions options;
    options.temperature = 2;
    options.top_p = 0.99f;
    options.seed = seed;
    ExpectDrawsAsReference(options, logits, {});
  }
}

TEST(Sampler, PenaltyAndBiasComeFirst) {
  const std::vector<int32_t> recent{5, 9, 5, 0, 44, 17, 17, 3};
  const std::vector<float> logits = RandomLogits(60, 12, 2);
  for (int32_t window : {-1, 0, 1, 3, 100}) {
    for (float penalty : {0.5f, 1.0f, 1.3f, 4.0f}) {
      SamplerOptions options;
      options.temperature = 0.8f;
      options.top_k = 12;
      options.top_p = 0.9f;
      options.repetition_penalty = penalty;
      options.repetition_window = window;
      options.bias = {{7, 5.5f}, {9, -kInf}, {20, -1}, {20, 3}};
      options.seed = 77;
      ExpectDrawsAsReference(options, logits, recent);
    }
  }
}

TEST(Sampler, GreedySeesBiasAndPenalty) {
  const std::vector<float> logits{1, 5, 4, 3};
  const std::vector<int32_t> recent{1};
  SamplerOptions options;
  options.repetition_penalty = 2;
  EXPECT_EQ(Make(options, 4).Choose(logits.data(), recent.data(), 1, nullptr).value(), 2);
  options.bias = {{2, -kInf}};
  EXPECT_EQ(Make(options, 4).Choose(logits.data(), recent.data(), 1, nullptr).value(), 3);
}

// All logits equal: a filter that looked at ties in a library's order would keep other tokens
// elsewhere.
TEST(Sampler, TiesGoToTheLowestTokens) {
  const std::vector<float> logits(2000, 0.5f);
  for (int32_t top_k : {8, 1200}) {
    SamplerOptions options;
    options.temperature = 1;
    options.top_k = top_k;
    Sampler sampler = Make(options, 2000);
    int32_t largest = 0;
    for (int i = 0; i < 5000; ++i) {
      largest = std::max(largest, sampler.Choose(logits.data(), nullptr, 0, nullptr).value());
    }
    EXPECT_LT(largest, top_k);
    EXPECT_GT(largest, top_k * 9 / 10 - 1);
  }
}

TEST(Sampler, FrequenciesMatchProbabilities) {
  const std::vector<float> logits = RandomLogits(20, 4, 1.5f);
  SamplerOptions options;
  options.temperature = 0.9f;
  options.seed = 2024;
  const std::vector<double> p = Distribution(options, logits, {});
  Sampler sampler = Make(options, 20);
  constexpr int kDraws = 200000;
  std::vector<int> seen(20, 0);
  for (int i = 0; i < kDraws; ++i) {
    ++seen[sampler.Choose(logits.data(), nullptr, 0, nullptr).value()];
  }
  double chi_squared = 0;
  for (int t = 0; t < 20; ++t) {
    chi_squared += (seen[t] - p[t] * kDraws) * (seen[t] - p[t] * kDraws) / (p[t] * kDraws);
  }
  EXPECT_LT(chi_squared, 43.8);  // 19 degrees of freedom, one in a thousand
}

TEST(Sampler, TheSeedDecidesTheTokens) {
  const std::vector<float> logits = RandomLogits(5000, 8, 2);
  const auto draw = [&](uint64_t seed) {
    SamplerOptions options;
    options.temperature = 1;
    options.seed = seed;
    Sampler sampler = Make(options, 5000);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 20; ++i) {
      tokens.push_back(sampler.Choose(logits.data(), nullptr, 0, nullptr).value());
    }
    return tokens;
  };
  EXPECT_EQ(draw(5), draw(5));
  EXPECT_NE(draw(5), draw(6));
}

TEST(Sampler, ExtremeOptionsStayDefined) {
  std::vector<float> logits = RandomLogits(300, 5, 4);
  logits[7] = -kInf;
  const int32_t best =
      static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  SamplerOptions cold;
  cold.temperature = 1e-42f;
  EXPECT_EQ(Make(cold, 300).Choose(logits.data(), nullptr, 0, nullptr).value(), best);
  SamplerOptions narrow;
  narrow.temperature = 5;
  narrow.top_p = 1e-30f;
  EXPECT_EQ(Make(narrow, 300).Choose(logits.data(), nullptr, 0, nullptr).value(), best);
  narrow.top_p = 1;
  narrow.min_p = 1;
  EXPECT_EQ(Make(narrow, 300).Choose(logits.data(), nullptr, 0, nullptr).value(), best);
  SamplerOptions hot;
  hot.temperature = 3e38f;
  hot.top_k = 1 << 30;
  hot.top_p = 0.99999994f;
  Sampler sampler = Make(hot, 300);
  for (int i = 0; i < 3000; ++i) {
    EXPECT_NE(sampler.Choose(logits.data(), nullptr, 0, nullptr).value(), 7);
  }
  EXPECT_EQ(Make(hot, 1).Choose(logits.data(), nullptr, 0, nullptr).value(), 0);
}

TEST(Sampler, DamagedLogitsAreAnErrorThatNamesTheToken) {
  for (float temperature : {0.0f, 1.0f}) {
    SamplerOptions options;
    options.temperature = temperature;
    Sampler sampler = Make(options, 50);
    std::vector<float> logits = RandomLogits(50, 6);
    const int32_t before = Make(options, 50).Choose(logits.data(), nullptr, 0, nullptr).value();
    for (float bad : {kNan, kInf}) {
      std::vector<float> damaged = logits;
      damaged[31] = bad;
      const Result<int32_t> token = sampler.Choose(damaged.data(), nullptr, 0, nullptr);
      ASSERT_FALSE(token.ok());
      EXPECT_EQ(token.status().code(), MLA_INTERNAL);
      EXPECT_NE(token.status().message().find("token 31"), std::string::npos);
    }
    const std::vector<float> none(50, -kInf);
    EXPECT_FALSE(sampler.Choose(none.data(), nullptr, 0, nullptr).ok());
    EXPECT_EQ(sampler.Choose(logits.data(), nullptr, 0, nullptr).value(), before)
        << "a failed call moved the random stream";
  }
}

TEST(Sampler, ABanOfEveryTokenIsAnError) {
  for (float temperature : {0.0f, 1.0f}) {
    SamplerOptions options;
    options.temperature = temperature;
    for (int32_t t = 0; t < 10; ++t) options.bias.push_back({t, -kInf});
    Sampler sampler = Make(options, 10);
    const std::vector<float> logits(10, 1.0f);
    const Result<int32_t> token = sampler.Choose(logits.data(), nullptr, 0, nullptr);
    ASSERT_FALSE(token.ok());
    EXPECT_EQ(token.status().code(), MLA_INVALID_ARGUMENT);
  }
}

TEST(Sampler, BiasThatOverflowsIsAnError) {
  SamplerOptions options;
  options.bias = {{3, 3e38f}, {3, 3e38f}};
  const std::vector<float> logits(10, 1.0f);
  const Result<int32_t> token = Make(options, 10).Choose(logits.data(), nullptr, 0, nullptr);
  ASSERT_FALSE(token.ok());
  EXPECT_NE(token.status().message().find("token 3"), std::string::npos);
}

TEST(Sampler, OptionsOutsideTheirRangeAreRefusedByName) {
  const auto refused = [](const char* name, auto change) {
    SamplerOptions options;
    change(options);
    const Result<Sampler> sampler = Sampler::Create(options, 100);
    ASSERT_FALSE(sampler.ok()) << name;
    EXPECT_EQ(sampler.status().code(), MLA_INVALID_ARGUMENT);
    EXPECT_NE(sampler.status().message().find(name), std::string::npos)
        << sampler.status().message();
  };
  refused("temperature", [](SamplerOptions& o) { o.temperature = -0.1f; });
  refused("temperature", [](SamplerOptions& o) { o.temperature = kNan; });
  refused("temperature", [](SamplerOptions& o) { o.temperature = kInf; });
  refused("top_k is -1", [](SamplerOptions& o) { o.top_k = -1; });
  refused("top_p is 1.5,", [](SamplerOptions& o) { o.top_p = 1.5f; });
  refused("top_p", [](SamplerOptions& o) { o.top_p = kNan; });
  refused("min_p", [](SamplerOptions& o) { o.min_p = -1; });
  refused("repetition_penalty", [](SamplerOptions& o) { o.repetition_penalty = 0; });
  refused("repetition_window", [](SamplerOptions& o) { o.repetition_window = -2; });
  refused("token 100", [](SamplerOptions& o) { o.bias = {{100, 1}}; });
  refused("token -1", [](SamplerOptions& o) { o.bias = {{-1, 1}}; });
  refused("token 4", [](SamplerOptions& o) { o.bias = {{4, kNan}}; });
  refused("token 4", [](SamplerOptions& o) { o.bias = {{4, kInf}}; });
}

}  // namespace
}  // namespace mla
