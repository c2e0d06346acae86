// The choices of the GPU under test, against the sampler's definition in plain arithmetic.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "cuda/gpu_testing.h"
#include "kernels/sampling/gpu.h"
#include "runtime/sampler.h"
#include "runtime/sampler_testing.h"

namespace mla {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<Choice> Choose(const std::vector<float>& logits,
                           const std::vector<ChoiceRequest>& draws,
                           std::vector<float>* copies = nullptr,
                           Emulator::Order order = Emulator::Order::kForward) {
  const size_t rows = draws.size(), vocabulary = logits.size() / rows;
  TestGpu gpu(order);
  const DeviceArray<float> there(gpu, logits);
  const DeviceArray<Choice> choices(gpu, std::vector<Choice>(rows, {-2, kNan}));
  const DeviceArray<float> copied(gpu, copies == nullptr ? std::vector<float>() : *copies);
  std::vector<GpuSamplingRow> rows_asked;
  for (size_t i = 0; i < rows; ++i) {
    float* copy = copies == nullptr || i == 1 ? nullptr : copied.data() + i * vocabulary;
    rows_asked.push_back({draws[i], copy, choices.data() + i});
  }
  const DeviceArray<GpuSamplingRow> asked(gpu, rows_asked);
  tested::Launch(gpu, GpuSampling{there.data(), static_cast<int32_t>(rows),
                                  static_cast<int32_t>(vocabulary), asked.data()});
  if (copies != nullptr) *copies = copied.Read();
  return choices.Read();
}

Choice ChooseOne(const std::vector<float>& logits, const ChoiceRequest& draw = {}) {
  return Choose(logits, {draw}).front();
}

// As draws of a sampler with these options; one that falls within rounding of a border may go
// either way.
void ExpectAsSampler(const SamplerOptions& options, const std::vector<float>& logits,
                     Emulator::Order order) {
  const int32_t vocabulary = static_cast<int32_t>(logits.size());
  Result<Sampler> sampler = Sampler::Create(options, vocabulary);
  ASSERT_TRUE(sampler.ok());
  constexpr int32_t kDraws = 2;
  std::vector<ChoiceRequest> draws;
  std::vector<float> rows;
  for (int32_t i = 0; i < kDraws; ++i) {
    draws.push_back(*sampler.value().DrawAfter(i));
    rows.insert(rows.end(), logits.begin(), logits.end());
  }
  const std::vector<double> p = Distribution(options, logits, {});
  const double best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - best);
  const std::vector<Choice> choices = Choose(rows, draws, nullptr, order);
  for (int32_t i = 0; i < kDraws; ++i) {
    const Choice& choice = choices[static_cast<size_t>(i)];
    ASSERT_GE(choice.token, 0);
    ASSERT_LT(choice.token, vocabulary);
    const size_t token = static_cast<size_t>(choice.token);
    ASSERT_GT(p[token], 0) << token;
    const double below = std::accumulate(p.begin(), p.begin() + choice.token, 0.0);
    ASSERT_GE(draws[static_cast<size_t>(i)].unit, below - 2e-6);
    ASSERT_LE(draws[static_cast<size_t>(i)].unit, below + p[token] + 2e-6);
    ASSERT_NEAR(choice.log_probability, logits[token] - best - std::log(sum), 1e-5);
  }
}

TEST(SamplingGpu, EveryFilterAndTheirCombinations) {
  uint64_t seed = 1;
  for (const int32_t vocabulary : {1, 33, 2000, 33001}) {
    for (const float spread : {0.01f, 1.0f, 6.0f}) {
      const std::vector<float> logits = RandomLogits(vocabulary, 11, spread);
      for (const int32_t top_k : {0, 1, 40, 1500}) {
        for (const float top_p : {0.05f, 0.95f, 1.0f}) {
          for (const float min_p : {0.0f, 0.1f}) {
            // Large ones take long here.
            if (seed++ % 7 >= (vocabulary > 2000 ? 1u : 4u)) continue;
            SamplerOptions options;
            options.temperature = seed % 2 == 0 ? 0.3f : 1.4f;
            options.top_k = top_k;
            options.top_p = top_p;
            options.min_p = min_p;
            options.seed = ++seed;
            SCOPED_TRACE(testing::Message()
                         << vocabulary << " tokens, spread " << spread << ", top_k " << top_k
                         << ", top_p " << top_p << ", min_p " << min_p);
            ExpectAsSampler(options, logits, static_cast<Emulator::Order>(seed % 3));
          }
        }
      }
    }
  }
}

TEST(SamplingGpu, GreedyTakesTheLargestAndOfEqualOnesTheLowestToken) {
  EXPECT_EQ(ChooseOne({-3, 2, 5, 1, 5, -kInf, 0}).token, 2);
  EXPECT_EQ(ChooseOne({-9, -8, -7, -6, -5, -4, -4.5f}).token, 5);
  EXPECT_EQ(ChooseOne({-0.0f, 0.0f}).token, 0);
  EXPECT_EQ(ChooseOne({0.0f, -0.0f}).token, 0);
  const Choice sure = ChooseOne({-kInf, -kInf, -7, -kInf});
  EXPECT_EQ(sure.token, 2);
  EXPECT_EQ(sure.log_probability, 0);
  EXPECT_NEAR(ChooseOne({1, 1, 1, 1}).log_probability, -std::log(4), 1e-6);
}

// All logits equal: the last of the kept is found by its token, where a draw ends, too.
TEST(SamplingGpu, TiesGoToTheLowestTokens) {
  const std::vector<float> logits(2000, 0.5f);
  ChoiceRequest draw;
  draw.temperature = 1;
  draw.unit = 1 - 1e-12;
  for (const int32_t top_k : {1, 8, 1200}) {
    draw.top_k = top_k;
    EXPECT_EQ(ChooseOne(logits, draw).token, top_k - 1);
  }
  draw.top_k = 0;
  draw.top_p = 0.25f;
  EXPECT_EQ(ChooseOne(logits, draw).token, 499);
  draw.top_k = 100;
  EXPECT_EQ(ChooseOne(logits, draw).token, 24);
  draw.unit = 0;
  EXPECT_EQ(ChooseOne(logits, draw).token, 0);
}

TEST(SamplingGpu, ExtremeDrawsStayDefined) {
  std::vector<float> logits = RandomLogits(300, 5, 4);
  logits[7] = -kInf;
  const int32_t best =
      static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  for (const double unit : {0.0, 0.5, 1 - 0x1p-53}) {
    ChoiceRequest cold;
    cold.unit = unit;
    cold.temperature = 1e-42f;
    EXPECT_EQ(ChooseOne(logits, cold).token, best);
    ChoiceRequest narrow;
    narrow.unit = unit;
    narrow.temperature = 5;
    narrow.top_p = 1e-30f;
    EXPECT_EQ(ChooseOne(logits, narrow).token, best);
    narrow.top_p = 1;
    narrow.log_min_p = 0;
    EXPECT_EQ(ChooseOne(logits, narrow).token, best);
    ChoiceRequest hot;
    hot.unit = unit;
    hot.temperature = 3e38f;
    hot.top_p = 0.99999994f;
    EXPECT_NE(ChooseOne(logits, hot).token, 7);
  }
}

TEST(SamplingGpu, DamagedLogitsGiveNoToken) {
  for (const float temperature : {0.0f, 1.0f}) {
    ChoiceRequest draw;
    draw.temperature = temperature;
    for (const float bad : {kNan, kInf, -kNan}) {
      std::vector<float> logits = RandomLogits(5000, 6);
      logits[4999] = bad;
      EXPECT_EQ(ChooseOne(logits, draw).token, -1);
    }
    EXPECT_EQ(ChooseOne(std::vector<float>(50, -kInf), draw).token, -1);
  }
}

TEST(SamplingGpu, RowsAreCopiedWhereTheyAreWanted) {
  const std::vector<float> logits = RandomLogits(3 * 77, 9);
  std::vector<float> copies(logits.size(), kNan);
  const std::vector<Choice> choices = Choose(logits, std::vector<ChoiceRequest>(3), &copies);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (i / 77 == 1) {
      EXPECT_TRUE(std::isnan(copies[i]));
    } else {
      EXPECT_EQ(copies[i], logits[i]);
    }
  }
  for (size_t row = 0; row < 3; ++row) {
    const auto first = logits.begin() + static_cast<ptrdiff_t>(row * 77);
    EXPECT_EQ(choices[row].token, std::max_element(first, first + 77) - first);
  }
}

TEST(SamplingGpu, ScoresAreLogProbabilities) {
  for (const int32_t vocabulary : {1, 77, 9000}) {
    constexpr int32_t kRows = 5;
    std::vector<float> logits = RandomLogits(kRows * vocabulary, 3, 4);
    const size_t damaged = static_cast<size_t>(4 * vocabulary);
    logits[damaged] = kNan;
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < kRows; ++i) tokens.push_back(i * 31 % vocabulary);
    TestGpu gpu;
    const DeviceArray<float> there(gpu, logits);
    const DeviceArray<int32_t> asked(gpu, tokens);
    const DeviceArray<float> found(gpu, std::vector<float>(kRows, 7));
    tested::Launch(gpu, GpuScores{there.data(), kRows, vocabulary, asked.data(), found.data()});
    const std::vector<float> scores = found.Read();
    for (int32_t i = 0; i < kRows - 1; ++i) {
      const float* row = logits.data() + i * vocabulary;
      double sum = 0;
      for (int32_t j = 0; j < vocabulary; ++j) sum += std::exp(double{row[j]});
      EXPECT_NEAR(scores[static_cast<size_t>(i)],
                  row[tokens[static_cast<size_t>(i)]] - std::log(sum), 2e-6);
    }
    EXPECT_TRUE(std::isnan(scores.back()));
  }
}

}  // namespace
}  // namespace mla
