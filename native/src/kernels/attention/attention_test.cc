#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/attention/attention_testing.h"
#include "tensor/convert.h"

namespace mla::testing_attention {
namespace {

constexpr Kind kKinds[] = {Kind::kPlain,   Kind::kJoint,     Kind::kSplit,
                           Kind::kOnlyKey, Kind::kOnlyValue, Kind::kNone};
constexpr CacheType kTypes[] = {CacheType::kF32,  CacheType::kF16,  CacheType::kInt8,
                                CacheType::kInt4, CacheType::kInt2, CacheType::kBf16};

// Both read the same rows, so that only the arithmetic differs: in floats, or of packed rows with
// weights of 15 bits, each half a step off, of values up to 127 steps.
float ToleranceOf(CacheType type) { return IsFloat(type) ? 1e-5f : 5e-4f; }

// And where queries are not whole digits: of 12 bits for int8, of 7 for the others.
float RoundedQueryTolerance(CacheType type) {
  return type == CacheType::kInt4 || type == CacheType::kInt2 ? 4e-2f : 1.5f * ToleranceOf(type);
}

void ExpectClose(const std::vector<float>& actual, const std::vector<float>& expected,
                 const std::string& what, float relative = 1e-5f) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    const float tolerance = relative * (1.0f + std::fabs(expected[i]));
    ASSERT_LE(std::fabs(actual[i] - expected[i]), tolerance)
        << what << " at " << i << ": " << actual[i] << " for " << expected[i];
  }
}

LayerLayout RandomLayout(std::mt19937& random) {
  const Kind kind = kKinds[std::uniform_int_distribution<size_t>(0, std::size(kKinds) - 1)(random)];
  const int32_t kv_heads = Pick<int32_t>(random, {1, 2, 3, 4});
  const int32_t rope_dim = Pick<int32_t>(random, {0, 2, 6, 8, 16, 18, 32, 64});
  const int32_t rope_groups =
      rope_dim == 0 ? Pick<int32_t>(random, {0, 1}) : Pick<int32_t>(random, {1, kv_heads});
  const std::vector<int32_t> lengths = {1,  3,  7,  8,  15, 16, 17,  31,  32,  33,
                                        48, 63, 64, 65, 88, 96, 127, 130, 200, 600};
  LayerLayout layout =
      MakeLayout(kind, kv_heads, Pick<int32_t>(random, {1, 2, 3, 5, 7}), rope_groups, rope_dim,
                 Pick(random, lengths), Pick(random, lengths));
  layout.key_scalar = Pick<int>(random, {0, 0, 1}) == 1;
  return layout;
}

std::string Describe(const LayerLayout& layout, const Options& options, Isa isa) {
  return std::string(IsaName(isa)) + " type " + std::to_string(static_cast<int>(options.type)) +
         " group " + std::to_string(options.group) + " heads " + std::to_string(layout.heads) +
         '/' + std::to_string(layout.kv_heads) + " G " + std::to_string(layout.rope_groups) +
         " R " + std::to_string(layout.rope_dim) + " C " + std::to_string(layout.latent) +
         " segments " + std::to_string(layout.segments.size()) + " first " +
         std::to_string(options.first) + " queries " + std::to_string(options.queries) +
         " window " + std::to_string(options.window) + " residual " +
         std::to_string(options.residual) + " sink " + std::to_string(options.sink);
}

TEST(Attention, AnyLayoutAgreesWithTheReferenceOnEveryIsa) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    const LayerLayout layout = RandomLayout(random);
    Options options;
    options.type = kTypes[seed % std::size(kTypes)];
    options.group = Pick<int32_t>(random, {32, 64});
    options.queries = Pick<int32_t>(random, {1, 1, 1, 2, 5, 17, 70});
    options.first = Pick<int32_t>(random, {0, 1, 5, 62, 63, 64, 100, 129, 400});
    options.window = Pick<int32_t>(random, {0, 0, 0, 1, 7, 64, 100});
    options.residual = Pick<int32_t>(random, {0, 0, 1, 20, 64, 128, 1000});
    options.sink = Pick<int32_t>(random, {0, 0, 1, 4, 64});
    const Problem problem(layout, options, seed);
    const std::vector<float> expected = problem.Reference(nullptr);
    for (Isa isa : SupportedIsas()) {
      ExpectClose(problem.Run(isa, nullptr), expected,
                  "seed " + std::to_string(seed) + ' ' + Describe(layout, options, isa),
                  ToleranceOf(options.type));
      if (HasFatalFailure()) return;
    }
  }
}

// Weights of 8 bits: up to a step off each, of values up to 8 steps. Few of many sums come near
// that; packed_sums_test compares with those weights themselves.
TEST(Attention, WeightsOfFewBitsChangeLittle) {
  double squares = 0, count = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    const LayerLayout layout = RandomLayout(random);
    Options options;
    options.fine = false;
    options.type = seed % 2 == 0 ? CacheType::kInt4 : CacheType::kInt2;
    options.group = Pick<int32_t>(random, {32, 64});
    options.queries = Pick<int32_t>(random, {1, 1, 2, 17});
    options.first = Pick<int32_t>(random, {0, 5, 63, 64, 129, 400});
    options.window = Pick<int32_t>(random, {0, 0, 7, 100});
    options.residual = Pick<int32_t>(random, {0, 0, 20, 128});
    const Problem problem(layout, options, seed);
    const std::vector<float> expected = problem.Reference(nullptr);
    for (Isa isa : SupportedIsas()) {
      const std::vector<float> actual = problem.Run(isa, nullptr);
      const std::string what =
          "seed " + std::to_string(seed) + ' ' + Describe(layout, options, isa);
      ASSERT_NO_FATAL_FAILURE(ExpectClose(actual, expected, what, 5e-2f));
      for (size_t i = 0; i < actual.size(); ++i) {
        squares += std::pow((actual[i] - expected[i]) / (1.0 + std::fabs(expected[i])), 2);
      }
      count += static_cast<double>(actual.size());
    }
  }
  EXPECT_LE(std::sqrt(squares / count), 5e-3);
}

TEST(Attention, DeepContextsAreSplitAndMerged) {
  for (CacheType type : kTypes) {
    for (Kind kind : {Kind::kPlain, Kind::kJoint}) {
      for (int32_t window : {0, 300}) {
        const LayerLayout layout = MakeLayout(kind, 3, 3, kind == Kind::kPlain ? 3 : 1, 16, 24, 24);
        Options options;
        options.type = type;
        options.first = 4500;
        options.window = window;
        const AttentionPlan plan = PlanAttention(layout, options.first, 1, nullptr);
        EXPECT_GT(plan.context_splits, 1);
        EXPECT_EQ(plan.merge_rows, 9);
        const Problem problem(layout, options, 5);
        const std::vector<float> expected = problem.Reference(nullptr);
        for (Isa isa : SupportedIsas()) {
          ExpectClose(problem.Run(isa, nullptr), expected, Describe(layout, options, isa),
                      ToleranceOf(type));
        }
      }
    }
  }
}

TEST(Attention, VeryDeepContextsOfFewBits) {
  for (CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    const LayerLayout layout = MakeLayout(Kind::kJoint, 1, 2, 1, 6, 11, 0);
    Options options;
    options.type = type;
    options.first = 70000;
    options.residual = 128;
    options.sink = 4;
    const Problem problem(layout, options, 5);
    const std::vector<float> expected = problem.Reference(nullptr);
    for (Isa isa : SupportedIsas()) {
      ExpectClose(problem.Run(isa, nullptr), expected, Describe(layout, options, isa),
                  ToleranceOf(type));
    }
  }
}

// The first token of a text has latents far beyond all others'. Those beside it in its tile keep
// their precision, whether it is read or not.
TEST(Attention, AnOutlierLeavesOthersTheirPrecision) {
  for (CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    for (int32_t window : {0, 50}) {
      const LayerLayout layout = MakeLayout(Kind::kPlain, 1, 3, 1, 16, 0, 40);
      Options options;
      options.type = type;
      options.first = 60;
      options.window = window;
      options.outlier = 3;
      const Problem problem(layout, options, 5);
      const std::vector<float> expected = problem.Reference(nullptr);
      for (Isa isa : SupportedIsas()) {
        ExpectClose(problem.Run(isa, nullptr), expected, Describe(layout, options, isa), 1e-4f);
      }
    }
  }
}

TEST(Attention, WideLatentsOfManyGroups) {
  for (CacheType type : kTypes) {
    for (int32_t group : {32, 64}) {
      Options options;
      options.type = type;
      options.group = group;
      options.first = 70;
      const LayerLayout layout = MakeLayout(Kind::kJoint, 2, 3, 1, 64, 4301, 0);
      const Problem problem(layout, options, 17);
      const std::vector<float> expected = problem.Reference(nullptr);
      for (Isa isa : SupportedIsas()) {
        ExpectClose(problem.Run(isa, nullptr), expected, Describe(layout, options, isa),
                    ToleranceOf(type));
      }
    }
  }
}

TEST(Attention, DoesNotDependOnWhoRunsWhat) {
  for (int32_t queries : {1, 40}) {
    Options options;
    options.type = CacheType::kInt8;
    options.first = 900;  // no power of two of splits
    options.queries = queries;
    const Problem problem(MakeLayout(Kind::kJoint, 3, 3, 1, 32, 88, 0), options, 9);
    for (Isa isa : SupportedIsas()) {
      const std::vector<float> alone = problem.Run(isa, nullptr, 1, false, 1000);
      for (int members : {1, 2, 3, 5}) {
        for (bool backwards : {false, true}) {
          for (int32_t together : {1, 2, 3, 5, 8}) {
            EXPECT_EQ(alone, problem.Run(isa, nullptr, members, backwards, together))
                << IsaName(isa) << ' ' << members << ' ' << backwards << ' ' << together;
          }
        }
      }
    }
  }
}

TEST(Attention, HugeScoresStayFinite) {
  Options options;
  options.first = 200;
  Problem problem(MakeLayout(Kind::kJoint, 1, 4, 1, 8, 20, 0), options, 3);
  problem.params.scale = 1e4f;
  const std::vector<float> expected = problem.Reference(nullptr);
  for (Isa isa : SupportedIsas()) ExpectClose(problem.Run(isa, nullptr), expected, IsaName(isa));
}

TEST(Attention, AMissingTokenWouldShow) {
  Options options;
  options.first = 130;
  Problem problem(MakeLayout(Kind::kJoint, 1, 2, 1, 8, 20, 0), options, 3);
  const std::vector<float> expected = problem.Reference(nullptr);
  problem.params.first = 129;
  const std::vector<float> one_less = problem.Run(Isa::kGeneric, nullptr);
  float largest = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    largest = std::max(largest, std::fabs(expected[i] - one_less[i]));
  EXPECT_GT(largest, 1e-4f) << "the tolerance of the other tests is below one token's weight";
}

// Up-projections with the queries and outputs of the expanded form, and the absorbed problem that
// must agree.
class Expansion {
 public:
  Expansion(Problem& problem, Type type, bool k_up, bool v_up, int32_t nope_dim, int32_t value_dim,
            uint32_t seed)
      : problem_(problem), random_(seed), value_dim_(v_up ? value_dim : problem.longest_value) {
    const LayerLayout& l = problem.layout;
    params.nope_dim = k_up ? nope_dim : problem.longest_key;
    if (k_up)
      params.k_up =
          MakeMatrix(type, int64_t{l.kv_heads} * problem.longest_key, params.nope_dim, &k_bytes_);
    if (v_up)
      params.v_up =
          MakeMatrix(type, int64_t{l.kv_heads} * value_dim, problem.longest_value, &v_bytes_);
    params.q_nope_head_stride = params.nope_dim + 2;
    params.q_nope_stride = params.q_nope_head_stride * l.heads;
    nope_ = NormalRows(random_, int64_t{problem.params.queries} * l.heads, params.nope_dim,
                       params.nope_dim + 2);
    params.q_nope = nope_.data();
    Absorb();
  }

  // What absorbed results [queries][heads][latent] are after the value's up-projection.
  std::vector<float> ProjectValues(const std::vector<float>& latent) const {
    const LayerLayout& l = problem_.layout;
    std::vector<float> out(
        static_cast<size_t>(problem_.params.queries * l.heads * (value_dim_ + 1)),
        Problem::kUnwritten);
    for (int64_t row = 0; row < int64_t{problem_.params.queries} * l.heads; ++row) {
      const int64_t g = row % l.heads / (l.heads / l.kv_heads);
      const float* o = &latent[static_cast<size_t>(row * (problem_.longest_value + 1))];
      for (int64_t e = 0; e < value_dim_; ++e) {
        const std::vector<float> up =
            params.v_up.empty() ? std::vector<float>() : Row(params.v_up, g * value_dim_ + e);
        double sum = params.v_up.empty() ? static_cast<double>(o[e]) : 0.0;
        for (size_t r = 0; r < up.size(); ++r) sum += static_cast<double>(up[r]) * o[r];
        out[static_cast<size_t>(row * (value_dim_ + 1) + e)] = static_cast<float>(sum);
      }
    }
    return out;
  }

  int32_t value_dim() const { return value_dim_; }
  ExpandedParams params{};

 private:
  static std::vector<float> Row(const Matrix& m, int64_t r) {
    std::vector<float> row(static_cast<size_t>(m.cols));
    DequantizeRow(m.type, m.row(r), row.data(), m.cols);
    return row;
  }

  Matrix MakeMatrix(Type type, int64_t rows, int64_t cols, std::vector<uint8_t>* bytes) {
    Matrix matrix{type, nullptr, rows, cols};
    bytes->resize(static_cast<size_t>(rows * matrix.row_bytes()));
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<float> row = Normal(random_, cols);
      for (float& x : row) x /= std::sqrt(static_cast<float>(rows));
      QuantizeRow(type, row.data(), bytes->data() + r * matrix.row_bytes(), cols);
    }
    matrix.data = bytes->data();
    return matrix;
  }

  // q_lat = B_k q_nope, in the problem's own query buffer.
  void Absorb() {
    const LayerLayout& l = problem_.layout;
    const AttentionParams& p = problem_.params;
    float* to = const_cast<float*>(p.q_latent);
    for (int64_t row = 0; row < int64_t{p.queries} * l.heads; ++row) {
      const int64_t g = row % l.heads / (l.heads / l.kv_heads);
      const float* q = &nope_[static_cast<size_t>(row * params.q_nope_head_stride)];
      for (int64_t r = 0; r < problem_.longest_key; ++r) {
        double sum = params.k_up.empty() ? static_cast<double>(q[r]) : 0.0;
        if (!params.k_up.empty()) {
          const std::vector<float> up = Row(params.k_up, g * problem_.longest_key + r);
          for (size_t d = 0; d < up.size(); ++d) sum += static_cast<double>(up[d]) * q[d];
        }
        to[row * p.q_latent_head_stride + r] = static_cast<float>(sum);
      }
    }
  }

  Problem& problem_;
  std::mt19937 random_;
  int32_t value_dim_;
  std::vector<uint8_t> k_bytes_, v_bytes_;
  std::vector<float> nope_;
};

TEST(Attention, ExpandedIsAbsorbed) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const Kind kind = kKinds[seed % std::size(kKinds)];
    const int32_t rope_dim = Pick<int32_t>(random, {0, 6, 16});
    LayerLayout layout =
        MakeLayout(kind, Pick<int32_t>(random, {1, 2, 3}), Pick<int32_t>(random, {1, 3}),
                   rope_dim == 0 ? 0 : 1, rope_dim, Pick<int32_t>(random, {5, 16, 40, 72}),
                   Pick<int32_t>(random, {3, 16, 40, 72}));
    layout.key_scalar = seed % 4 == 0;
    Options options;
    options.type = kTypes[seed / 6 % std::size(kTypes)];
    options.first = Pick<int32_t>(random, {0, 3, 64, 90});
    options.queries = Pick<int32_t>(random, {1, 7, 80});
    options.window = Pick<int32_t>(random, {0, 0, 30});
    Problem problem(layout, options, seed);
    const bool k_up = kind == Kind::kJoint || kind == Kind::kSplit || kind == Kind::kOnlyKey;
    const bool v_up = kind == Kind::kJoint || kind == Kind::kSplit || kind == Kind::kOnlyValue;
    Expansion expansion(problem, seed % 2 == 0 ? Type::kF32 : Type::kF16, k_up, v_up,
                        Pick<int32_t>(random, {1, 10, 32}), Pick<int32_t>(random, {1, 9, 32, 100}),
                        seed);
    const std::vector<float> absorbed = expansion.ProjectValues(problem.Reference(nullptr));
    problem.SetOutputLength(expansion.value_dim());
    for (Isa isa : SupportedIsas()) {
      ExpectClose(problem.Run(isa, &expansion.params), absorbed,
                  "seed " + std::to_string(seed) + ' ' + Describe(layout, options, isa),
                  RoundedQueryTolerance(options.type));
      if (HasFatalFailure()) return;
    }
    if (seed < 6 && options.queries < 10) {
      ExpectClose(problem.Reference(&expansion.params), absorbed,
                  "reference, seed " + std::to_string(seed));
    }
  }
}

// The same in fixed point, where an instruction set has it: of whichever rows the cache has, keys
// and values that are made of them.
TEST(Attention, ExpandedPromptsHardlyChangeWithFewerBits) {
  for (uint32_t seed = 0; seed < 24; ++seed) {
    std::mt19937 random(seed);
    const Kind kind =
        Pick<Kind>(random, {Kind::kJoint, Kind::kSplit, Kind::kOnlyKey, Kind::kOnlyValue});
    Options options;
    options.type = seed % 2 == 0 ? CacheType::kF16 : CacheType::kInt8;
    options.fine = false;
    options.first = Pick<int32_t>(random, {0, 3, 64, 200});
    options.queries = Pick<int32_t>(random, {24, 80, 200});
    options.window = Pick<int32_t>(random, {0, 0, 30});
    options.residual = seed % 2 == 0 ? 0 : Pick<int32_t>(random, {0, 20});
    Problem problem(MakeLayout(kind, 2, 3, 1, 16, Pick<int32_t>(random, {16, 40, 72}),
                               Pick<int32_t>(random, {16, 40, 72})),
                    options, seed);
    Expansion expansion(problem, Type::kF16, kind != Kind::kOnlyValue, kind != Kind::kOnlyKey,
                        Pick<int32_t>(random, {10, 32}), Pick<int32_t>(random, {9, 32, 100}), seed);
    const std::vector<float> absorbed = expansion.ProjectValues(problem.Reference(nullptr));
    problem.SetOutputLength(expansion.value_dim());
    for (Isa isa : SupportedIsas()) {
      ExpectClose(problem.Run(isa, &expansion.params), absorbed,
                  "seed " + std::to_string(seed) + ' ' + Describe(problem.layout, options, isa),
                  options.type == CacheType::kF16 ? 2e-4f : RoundedQueryTolerance(options.type));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Attention, AutoTakesTheExpandedFormForLongPromptsOfWideLatents) {
  // DeepSeek's shape: absorbed 512 + 512 a token and head, expanded 128 + 128 and the
  // up-projection.
  const LayerLayout wide = MakeLayout(Kind::kJoint, 16, 1, 1, 64, 512, 0);
  EXPECT_TRUE(ExpandedIsCheaper(wide, 0, 1024, 128, 128));
  EXPECT_FALSE(ExpandedIsCheaper(wide, 4096, 1, 128, 128));
  // The fewer times the context is up-projected the better.
  const LayerLayout narrower = MakeLayout(Kind::kJoint, 16, 1, 1, 64, 160, 0);
  EXPECT_FALSE(ExpandedIsCheaper(narrower, 4096, 1024, 128, 128));
  EXPECT_TRUE(ExpandedIsCheaper(narrower, 4096, 1024, 128, 128, 1024));
  // A latent hardly wider than a head: nothing to win.
  EXPECT_FALSE(ExpandedIsCheaper(MakeLayout(Kind::kJoint, 3, 3, 1, 32, 40, 0), 0, 1024, 32, 64));
  // Nothing to up-project: the forms are the same.
  EXPECT_FALSE(ExpandedIsCheaper(MakeLayout(Kind::kPlain, 3, 3, 3, 64, 0, 64), 0, 1024, 0, 64));
}

}  // namespace
}  // namespace mla::testing_attention
