// Float rows met in fixed point, against sums in double precision, within the half steps that
// fixed_scores_simd.h and fixed_sums_simd.h promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/attention/attention_testing.h"
#include "kernels/attention/errors_testing.h"
#include "kernels/attention/fixed_query.h"
#include "kernels/attention/tile_kernels.h"
#include "tensor/convert.h"

namespace mla::testing_attention {
namespace {

constexpr int32_t kLengths[] = {1, 2, 7, 16, 17, 31, 32, 33, 63, 64, 65, 88, 128, 130, 200};

std::vector<Isa> IsasWithFixedPoint() {
  std::vector<Isa> isas;
  for (Isa isa : SupportedIsas()) {
    if (GetAttentionTileKernels(isa).score_fixed != nullptr) isas.push_back(isa);
  }
  return isas;
}

class FixedPoint : public testing::Test {
 protected:
  void SetUp() override {
    if (IsasWithFixedPoint().empty()) GTEST_SKIP() << "no instruction set here has it";
  }
};

// Float rows a few elements apart, NaN between them.
struct Rows {
  Rows(CacheType type, int32_t tokens, int32_t length, std::mt19937& random)
      : values(static_cast<size_t>(tokens * length)) {
    format = {type, length, 0, 0, int64_t{length + 3} * FloatBytes(type)};
    bytes.assign(static_cast<size_t>(tokens * format.stride), 0xff);
    for (int32_t t = 0; t < tokens; ++t) {
      std::vector<float> row = Normal(random, length);
      row[static_cast<size_t>(t % length)] *= 20.0f;  // channels are not alike
      uint8_t* to = bytes.data() + t * format.stride;
      const Type stored = type == CacheType::kF32   ? Type::kF32
                          : type == CacheType::kF16 ? Type::kF16
                                                    : Type::kBF16;
      QuantizeRow(stored, row.data(), to, length);
      DequantizeRow(stored, to, &values[static_cast<size_t>(t * length)], length);
    }
  }

  PackedRows First(int32_t count) const { return {format, bytes.data(), nullptr, count}; }
  const float* row(int32_t t) const { return &values[static_cast<size_t>(t * format.length)]; }

  RowFormat format;
  std::vector<uint8_t> bytes;
  std::vector<float> values;
};

double Norm(const float* x, int32_t n) {
  double squares = 0;
  for (int32_t i = 0; i < n; ++i) squares += double{x[i]} * x[i];
  return std::sqrt(squares);
}

// What half a step of every element, of both, makes at most.
double ScoreBound(const float* query, const float* key, int32_t length) {
  double bound = 0;
  for (int32_t begin = 0; begin < length; begin += kStretch) {
    const int32_t n = std::min(kStretch, length - begin);
    const double q = Norm(query + begin, n), k = Norm(key + begin, n);
    const double half = 0.5 / 32767;
    for (int32_t i = begin; i < begin + n; ++i) {
      bound += half * (k * std::fabs(query[i]) + q * std::fabs(key[i])) + half * half * q * k;
    }
  }
  return 1.001 * bound + 1e-6;
}

void CheckScores(Isa isa, const Rows& rows, int32_t count, int32_t n, bool add,
                 std::mt19937& random) {
  const AttentionTileKernels& kernels = GetAttentionTileKernels(isa);
  const int32_t length = rows.format.length;
  const FixedQuery places(length);
  const std::vector<float> queries = NormalRows(random, n, length, length + 1);
  std::vector<uint8_t> fixed(static_cast<size_t>(n * places.size), 0xff);
  for (int32_t m = 0; m < n; ++m) {
    kernels.fix_query(&queries[static_cast<size_t>(m * (length + 1))], length,
                      &fixed[static_cast<size_t>(m * places.size)]);
  }
  std::vector<float> scores(static_cast<size_t>(n * kTileTokens), 3.0f);
  kernels.score_fixed(rows.First(count), fixed.data(), places.size, n, add, scores.data(),
                      kTileTokens);
  for (int32_t m = 0; m < n; ++m) {
    const float* query = &queries[static_cast<size_t>(m * (length + 1))];
    for (int32_t t = 0; t < count; ++t) {
      double expected = add ? 3.0 : 0.0;
      for (int32_t i = 0; i < length; ++i) expected += double{query[i]} * rows.row(t)[i];
      ASSERT_NEAR(scores[static_cast<size_t>(m * kTileTokens + t)], expected,
                  ScoreBound(query, rows.row(t), length) + 1e-6 * std::fabs(expected))
          << IsaName(isa) << " length " << length << " count " << count << " query " << m << " of "
          << n << " token " << t;
    }
  }
}

TEST_F(FixedPoint, ScoresAreHalfStepsOff) {
  for (Isa isa : IsasWithFixedPoint()) {
    std::mt19937 random(3);
    for (CacheType type : {CacheType::kF16, CacheType::kF32, CacheType::kBf16}) {
      for (int32_t length : kLengths) {
        const Rows rows(type, kTileTokens, length, random);
        for (int32_t count : {1, 2, 5, 16, 33, 63, 64}) {
          CheckScores(isa, rows, count, 1 + (count + length) % 31, length % 2 == 0, random);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

struct Weights {
  Weights(int32_t n, int32_t count, std::mt19937& random)
      : values(static_cast<size_t>(n * kTileTokens), 0.0f), blends(static_cast<size_t>(n)) {
    for (int32_t m = 0; m < n; ++m) {
      // All alike, a few large, or in between; some rows do not see the last tokens.
      std::normal_distribution<float> normal(0.0f, static_cast<float>(m % 4) * 3.0f);
      const auto weight = [&] { return m % 4 == 0 ? 1.0f : std::exp(-std::fabs(normal(random))); };
      for (int32_t t = 0; t < std::max(1, count - m % 5 * 3); ++t) {
        values[static_cast<size_t>(m * kTileTokens + t)] = weight();
      }
      values[static_cast<size_t>(m * kTileTokens)] = 1.0f;
      blends[static_cast<size_t>(m)] = {weight(), weight()};
    }
  }
  const float* row(int32_t m) const { return &values[static_cast<size_t>(m * kTileTokens)]; }

  std::vector<float> values;
  std::vector<Blend> blends;
};

double Largest(const float* x, int32_t n) {
  float largest = 0;
  for (int32_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  return largest;
}

void CheckSums(Isa isa, const Rows& rows, int32_t count, int32_t n, std::mt19937& random) {
  const int32_t length = rows.format.length, stride = length + 3;
  const Weights weights(n, count, random);
  std::vector<float> out(static_cast<size_t>(n * stride), 0.5f);
  GetAttentionTileKernels(isa).accumulate_fixed(rows.First(count), weights.values.data(),
                                                kTileTokens, weights.blends.data(), n, out.data(),
                                                stride);
  std::vector<double> units;
  for (int32_t t = 0; t < count; ++t) units.push_back(Largest(rows.row(t), length) / 16383);
  for (int32_t m = 0; m < n; ++m) {
    double most = 0, total = 0;
    for (int32_t t = 0; t < count; ++t) {
      most = std::max(most, weights.row(m)[t] * units[static_cast<size_t>(t)]);
      total += weights.row(m)[t] * units[static_cast<size_t>(t)];
    }
    const double step = std::max(most / 32767, total / ((1 << 17) - 64));
    const Blend blend = weights.blends[static_cast<size_t>(m)];
    for (int32_t e = 0; e < length; ++e) {
      double sum = 0, bound = 0;
      for (int32_t t = 0; t < count; ++t) {
        const double weight = weights.row(m)[t], value = rows.row(t)[e];
        const double unit = units[static_cast<size_t>(t)];
        sum += weight * value;
        bound += 0.5 * (weight * unit + step * (std::fabs(value) / unit + 0.5));
      }
      const double expected = 0.5 * blend.before + blend.tile * sum;
      ASSERT_NEAR(out[static_cast<size_t>(m * stride + e)], expected,
                  1.001 * blend.tile * bound + 1e-6 * (1 + std::fabs(expected)))
          << IsaName(isa) << " length " << length << " count " << count << " row " << m << " of "
          << n << " element " << e;
    }
    for (int32_t e = length; e < stride; ++e) {
      ASSERT_EQ(out[static_cast<size_t>(m * stride + e)], 0.5f) << "beyond the row";
    }
  }
}

TEST_F(FixedPoint, SumsAreHalfStepsOff) {
  for (Isa isa : IsasWithFixedPoint()) {
    std::mt19937 random(4);
    for (CacheType type : {CacheType::kF16, CacheType::kF32, CacheType::kBf16}) {
      for (int32_t length : kLengths) {
        const Rows rows(type, kTileTokens, length, random);
        for (int32_t count : {1, 2, 5, 16, 33, 63, 64}) {
          CheckSums(isa, rows, count, count == 64 ? 270 : 1 + (count + length) % 31, random);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// The largest whole numbers that sums are made of.
TEST_F(FixedPoint, EqualValuesOfEqualWeightsDoNotOverflow) {
  constexpr int32_t kLength = 64;
  std::mt19937 random(5);
  Rows rows(CacheType::kF32, kTileTokens, kLength, random);
  std::fill_n(reinterpret_cast<float*>(rows.bytes.data()), rows.bytes.size() / 4, -65504.0f);
  const std::vector<float> query(kLength, 65504.0f), weights(kTileTokens, 1.0f);
  const FixedQuery places(kLength);
  for (Isa isa : IsasWithFixedPoint()) {
    const AttentionTileKernels& kernels = GetAttentionTileKernels(isa);
    std::vector<uint8_t> fixed(static_cast<size_t>(places.size));
    kernels.fix_query(query.data(), kLength, fixed.data());
    std::vector<float> scores(kTileTokens), out(kLength, 0.0f);
    kernels.score_fixed(rows.First(kTileTokens), fixed.data(), places.size, 1, false, scores.data(),
                        kTileTokens);
    const Blend blend = {1.0f, 1.0f};
    kernels.accumulate_fixed(rows.First(kTileTokens), weights.data(), kTileTokens, &blend, 1,
                             out.data(), kLength);
    const float expected = -65504.0f * 65504.0f * kLength;
    for (float score : scores) EXPECT_NEAR(score / expected, 1.0, 5e-4) << IsaName(isa);
    for (float sum : out) EXPECT_NEAR(sum / (-65504.0f * kTileTokens), 1.0, 5e-4) << IsaName(isa);
  }
}

TEST_F(FixedPoint, WhatIsNotFiniteShows) {
  constexpr int32_t kLength = 20;
  std::mt19937 random(6);
  const FixedQuery places(kLength);
  for (float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    Rows rows(CacheType::kF32, kTileTokens, kLength, random);
    std::memcpy(rows.bytes.data() + 7 * rows.format.stride + 3 * 4, &bad, 4);
    const std::vector<float> query = Normal(random, kLength);
    const std::vector<float> weights(kTileTokens, 1.0f);
    for (Isa isa : IsasWithFixedPoint()) {
      const AttentionTileKernels& kernels = GetAttentionTileKernels(isa);
      std::vector<uint8_t> fixed(static_cast<size_t>(places.size));
      kernels.fix_query(query.data(), kLength, fixed.data());
      std::vector<float> scores(kTileTokens), out(kLength, 0.0f);
      kernels.score_fixed(rows.First(kTileTokens), fixed.data(), places.size, 1, false,
                          scores.data(), kTileTokens);
      for (size_t t = 0; t < scores.size(); ++t) EXPECT_EQ(std::isfinite(scores[t]), t != 7);
      const Blend blend = {1.0f, 1.0f};
      kernels.accumulate_fixed(rows.First(kTileTokens), weights.data(), kTileTokens, &blend, 1,
                               out.data(), kLength);
      EXPECT_FALSE(std::isfinite(out[3])) << IsaName(isa);
    }
  }
}

// A query of a chunk among later tokens gives what it gives alone, to the last bit.
TEST_F(FixedPoint, TokensThatARowDoesNotSeeChangeNothing) {
  constexpr int32_t kSeen = 21, kLength = 88, kRows = 40;
  std::mt19937 random(8);
  const Rows rows(CacheType::kF16, kTileTokens, kLength, random);
  const Weights weights(kRows, kSeen, random);
  for (Isa isa : IsasWithFixedPoint()) {
    const auto sums = [&](int32_t count) {
      std::vector<float> out(static_cast<size_t>(kRows * kLength), 0.0f);
      GetAttentionTileKernels(isa).accumulate_fixed(rows.First(count), weights.values.data(),
                                                    kTileTokens, weights.blends.data(), kRows,
                                                    out.data(), kLength);
      return out;
    };
    EXPECT_EQ(sums(kTileTokens), sums(kSeen)) << IsaName(isa);
  }
}

// An f16 cache's prompts: off by less than f16 itself makes them.
TEST_F(FixedPoint, PromptsHardlyChange) {
  Errors errors(1e-3);
  for (uint32_t seed = 0; seed < 80; ++seed) {
    std::mt19937 random(seed);
    const Kind kind = seed % 2 == 0 ? Kind::kPlain : Kind::kJoint;
    const int32_t kv_heads = Pick<int32_t>(random, {1, 3});
    const LayerLayout layout =
        MakeLayout(kind, kv_heads, Pick<int32_t>(random, {1, 3}),
                   Pick<int32_t>(random, {1, kv_heads}), Pick<int32_t>(random, {2, 16, 64}),
                   Pick<int32_t>(random, {17, 64, 130}), Pick<int32_t>(random, {9, 64, 200}));
    Options options;
    options.type = CacheType::kF16;
    options.fine = false;
    options.first = Pick<int32_t>(random, {0, 5, 64, 300});
    options.queries = Pick<int32_t>(random, {24, 70, 130});
    options.window = Pick<int32_t>(random, {0, 0, 50});
    const Problem problem(layout, options, seed);
    const std::vector<float> expected = problem.Reference(nullptr);
    for (Isa isa : IsasWithFixedPoint()) {
      errors.Add(problem.Run(isa, nullptr), expected, IsaName(isa) + std::to_string(seed));
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_LE(errors.RootMeanSquare(), 2e-5);
}

// Of the values of a text's first token, far beyond all others'. Those beside it in its tile keep
// their precision, whether it is read or not.
TEST_F(FixedPoint, AnOutlierLeavesOthersTheirPrecision) {
  for (int32_t window : {0, 50}) {
    Options options;
    options.type = CacheType::kF16;
    options.fine = false;
    options.first = 60;
    options.queries = 30;
    options.window = window;
    options.outlier = 3;
    const Problem problem(MakeLayout(Kind::kPlain, 1, 3, 1, 16, 0, 40), options, 5);
    const std::vector<float> expected = problem.Reference(nullptr);
    for (Isa isa : IsasWithFixedPoint()) {
      Errors errors(1e-4);
      errors.Add(problem.Run(isa, nullptr), expected, IsaName(isa));
    }
  }
}

#if defined(__x86_64__)
TEST(FixedPointKernels, AreWhatVectorsOfX86Have) {
  for (Isa isa : SupportedIsas()) {
    EXPECT_EQ(GetAttentionTileKernels(isa).score_fixed != nullptr, isa != Isa::kGeneric);
  }
}
#endif

}  // namespace
}  // namespace mla::testing_attention
