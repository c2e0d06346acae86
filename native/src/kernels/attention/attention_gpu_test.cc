// The GPU's attention against the formula in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cache/cache_testing.h"
#include "cuda/gpu_testing.h"
#include "kernels/attention/attention_batch_testing.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/attention/errors_testing.h"
#include "kernels/attention/gpu.h"

namespace mla::testing_attention {
namespace {

constexpr Kind kKinds[] = {Kind::kPlain,   Kind::kJoint,     Kind::kSplit,
                           Kind::kOnlyKey, Kind::kOnlyValue, Kind::kNone};
constexpr CacheType kTypes[] = {CacheType::kF32,  CacheType::kF16,  CacheType::kInt8,
                                CacheType::kInt4, CacheType::kInt2, CacheType::kBf16};

// Whether tiles come in bulk or not.
void Compare(const LayerLayout& layout, const Options& options, const std::vector<int32_t>& firsts,
             uint32_t seed, Emulator::Order order, Errors* errors) {
  for (const bool bulk : {true, false}) {
    TestGpu gpu(order);
    gpu.set_has_bulk_copies(bulk);
    ASSERT_NO_FATAL_FAILURE(CompareOn(gpu, layout, options, firsts, seed, errors));
  }
}

TEST(GpuAttention, OfAnyLayoutAgreesWithTheFormula) {
  Errors errors(kMost);
  for (uint32_t seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed);
    const Kind kind = Pick<Kind>(random, {std::begin(kKinds), std::end(kKinds)});
    const int32_t kv_heads = Pick<int32_t>(random, {1, 2, 3, 4});
    const int32_t rope_dim = Pick<int32_t>(random, {0, 2, 6, 8, 16, 18, 32, 64});
    const int32_t rope_groups =
        rope_dim == 0 ? Pick<int32_t>(random, {0, 1}) : Pick<int32_t>(random, {1, kv_heads});
    const std::vector<int32_t> lengths = {1, 3, 31, 32, 33, 64, 88, 96, 100, 255, 512, 600};
    LayerLayout layout =
        MakeLayout(kind, kv_heads, Pick<int32_t>(random, {1, 2, 3, 5, 7}), rope_groups, rope_dim,
                   Pick(random, lengths), Pick(random, lengths));
    layout.key_scalar = Pick<int>(random, {0, 0, 1}) == 1;
    Options options;
    options.type = kTypes[seed % std::size(kTypes)];
    if (seed % 4 == 3) options.rope_type = Pick<CacheType>(random, {kTypes[1], kTypes[2]});
    options.group = Pick<int32_t>(random, {32, 64});
    options.queries = Pick<int32_t>(random, {1, 1, 1, 2, 5, 8});
    options.window = Pick<int32_t>(random, {0, 0, 0, 1, 7, 64, 100});
    options.residual = Pick<int32_t>(random, {0, 0, 1, 20, 64, 128, 1000});
    options.sink = Pick<int32_t>(random, {0, 0, 1, 4, 64});
    const int32_t first = Pick<int32_t>(random, {-1, 0, 1, 62, 63, 64, 65, 129});
    ASSERT_NO_FATAL_FAILURE(
        Compare(layout, options, {first, 70}, seed, kOrders[seed % std::size(kOrders)], &errors));
  }
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

// What conversions have: of any rank and type, with windows, by the kernel that is for them.
TEST(GpuAttention, OneLatentOfAnyRankAgreesWithTheFormula) {
  Errors errors(kMost);
  int latent = 0;
  for (uint32_t seed = 200; seed < 290; ++seed) {
    std::mt19937 random(seed);
    Options options;
    options.type = kTypes[1 + seed % 4];
    // Float rows of other lengths go to the other kernel.
    const int32_t by = Pick<int32_t>(random, {1, 8, 8, 8});
    const int32_t rank =
        by * Pick<int32_t>(random, by == 1 ? std::vector<int32_t>{1, 31, 33, 100, 515}
                                           : std::vector<int32_t>{1, 4, 11, 16, 17, 32, 65, 90});
    const int32_t rope_dim = Pick<int32_t>(random, {0, 8, 16, 32, 64, 104});
    if (options.type != CacheType::kF16 && seed % 3 > 0) {
      options.rope_type = seed % 3 == 1 ? CacheType::kInt8 : CacheType::kF16;
    }
    const LayerLayout layout =
        MakeLayout(Kind::kJoint, Pick<int32_t>(random, {1, 3}), Pick<int32_t>(random, {1, 3, 11}),
                   rope_dim == 0 ? 0 : 1, rope_dim, rank, 0);
    options.group = Pick<int32_t>(random, {32, 64});
    options.queries = Pick<int32_t>(random, {1, 1, 1, 2, 5});
    options.window = Pick<int32_t>(random, {0, 0, 0, 1, 70});
    options.residual = Pick<int32_t>(random, {0, 0, 1, 20, 128, 300});
    options.sink = Pick<int32_t>(random, {0, 0, 1, 4, 64});
    const int32_t first = Pick<int32_t>(random, {0, 1, 63, 64, 129, 400});
    TestGpu gpu(kOrders[seed % std::size(kOrders)]);
    const auto plan = GpuAttentionPlan::Create(layout, options.Cache(), options.queries, gpu);
    latent += plan.ok() && plan.value().latent() != nullptr;
    ASSERT_NO_FATAL_FAILURE(CompareOn(gpu, layout, options, {first, 70}, seed, &errors));
  }
  EXPECT_GT(latent, 45);
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

// Long latents and many heads, by the kernel for groups of warps, whose halves may be as long as
// shared memory of newer GPUs allows, or int4 and int2 of few heads by a shape of the latent
// kernel.
TEST(GpuAttention, LongLatentsAndManyHeadsAgreeWithTheFormula) {
  Errors errors(kMost);
  for (uint32_t seed = 300; seed < 372; ++seed) {
    std::mt19937 random(seed);
    Options options;
    options.type = kTypes[1 + seed % 4];
    const bool packed = options.type != CacheType::kF16;
    if (packed && seed % 3 > 0) {
      options.rope_type = seed % 3 == 1 ? CacheType::kInt8 : CacheType::kF16;
    }
    options.group = Pick<int32_t>(random, {32, 64});
    options.queries = Pick<int32_t>(random, {1, 1, 2, 5});
    options.window = Pick<int32_t>(random, {0, 0, 0, 1, 70});
    options.residual = Pick<int32_t>(random, {0, 0, 1, 20, 128, 300});
    options.sink = Pick<int32_t>(random, {0, 0, 1, 4, 64});
    const bool is_long = seed % 2 == 0;
    // Rows that are floats have whole units.
    const bool floats = !packed || options.residual + options.sink > 0;
    const int32_t rank = floats ? Pick<int32_t>(random, {264, 320, 328, 504, 512})
                                : Pick<int32_t>(random, {257, 289, 321, 500, 511});
    const int32_t rope_dim = Pick<int32_t>(random, {0, 8, 32, 64});
    const LayerLayout layout =
        is_long ? MakeLayout(Kind::kJoint, Pick<int32_t>(random, {1, 3}),
                             Pick<int32_t>(random, {1, 3, 11, 40}), rope_dim == 0 ? 0 : 1, rope_dim,
                             rank, 0)
                : MakeLayout(Kind::kJoint, 1, Pick<int32_t>(random, {33, 64, 70, 128}),
                             rope_dim == 0 ? 0 : 1, rope_dim,
                             Pick<int32_t>(random, {8, 64, 88, 128, 200}), 0);
    const int32_t first = Pick<int32_t>(random, {0, 1, 63, 64, 129, 400});
    TestGpu gpu(kOrders[seed % std::size(kOrders)]);
    gpu.set_shared_bytes(227 << 10);
    gpu.set_has_bulk_copies(seed % 5 > 0);
    const auto plan = GpuAttentionPlan::Create(layout, options.Cache(), options.queries, gpu);
    ASSERT_TRUE(plan.ok() && plan.value().latent() != nullptr) << seed;
    const bool few = is_long && layout.heads * options.queries <= kFewGroupColumns;
    const bool by_groups = gpu.has_group_mma() && !(few && HasMinima(options.type));
    ASSERT_EQ(plan.value().latent()->group.values > 0, by_groups) << seed;
    // Theirs, and those of int4 and int2 that are long and few.
    ASSERT_EQ(plan.value().latent()->fills != 0, by_groups || (few && HasMinima(options.type)))
        << seed;
    ASSERT_NO_FATAL_FAILURE(CompareOn(gpu, layout, options, {first, 70}, seed, &errors));
  }
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

// Whose scores are seldom within reach of the references that warps share.
TEST(GpuAttention, WeightsOfAnyScoresAreRelativeToTheSame) {
  Errors errors(kMost);
  struct Shape {
    int32_t heads, latent;
    bool groups;  // of warps, of many columns or few
  };
  for (const CacheType type : {CacheType::kF16, CacheType::kInt4}) {
    for (const Shape& shape : {Shape{9, 88, false}, Shape{33, 88, true}, Shape{9, 264, true}}) {
      const bool groups = shape.groups && !(shape.heads <= kFewGroupColumns && HasMinima(type));
      // Of groups' packed rows, scores have the errors of halves besides.
      const float strongest = groups && type != CacheType::kF16 ? 5.0f : 8.0f;
      for (const float by : {0.3f, 3.0f, strongest}) {
        Options options;
        options.type = type;
        TestGpu gpu(Emulator::Order::kShuffled);
        gpu.set_shared_bytes(227 << 10);
        Batch batch(MakeLayout(Kind::kJoint, 1, shape.heads, 1, 16, shape.latent, 0), options,
                    {900, 20}, 3, gpu);
        ASSERT_NE(batch.plan->latent(), nullptr);
        ASSERT_EQ(batch.plan->latent()->group.values > 0, groups && gpu.has_group_mma());
        batch.call.scale *= by;
        for (const auto& problem : batch.problems) problem->params.scale *= by;
        const auto actual = batch.Run();
        for (size_t k = 0; k < actual.size(); ++k) {
          ASSERT_NO_FATAL_FAILURE(
              errors.Add(actual[k], batch.problems[k]->Reference(nullptr), std::to_string(by)));
        }
      }
    }
  }
}

TEST(GpuAttention, ContextsOfManyTilesAreSplitAndMerged) {
  Errors errors(kMost);
  int turn = 0;
  for (const CacheType type : kTypes) {
    for (const int32_t window : {0, 500}) {
      const Kind kind = window > 0 ? Kind::kPlain : Kind::kJoint;
      const LayerLayout layout = MakeLayout(kind, 2, 3, window > 0 ? 2 : 1, 16, 40, 24);
      Options options;
      options.type = type;
      options.window = window;
      options.residual = 128;
      options.sink = 4;
      TestGpu gpu;
      const Batch batch(layout, options, {1500}, 5, gpu);
      EXPECT_GT(batch.plan->MostSplits(1, 1500, window), 1);
      ASSERT_NO_FATAL_FAILURE(
          Compare(layout, options, {1500, 3, 700}, 5, kOrders[turn++ % 3], &errors));
    }
  }
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

// Those of the benchmarks: a converted 7B model, SmolLM2, and two of DeepSeek's form.
TEST(GpuAttention, OfModelsShapes) {
  Errors errors(kMost);
  struct Shape {
    int32_t kv_heads, heads_per_kv, rope_groups, rope_dim, latent;
  };
  int turn = 0;
  for (const Shape& s : {Shape{32, 1, 32, 16, 1024}, Shape{3, 3, 1, 32, 88},
                         Shape{1, 16, 1, 64, 512}, Shape{1, 128, 1, 64, 512}}) {
    for (const CacheType type : {CacheType::kF16, CacheType::kBf16, CacheType::kInt4}) {
      Options options;
      options.type = type;
      options.residual = 20;
      const LayerLayout layout = MakeLayout(Kind::kJoint, s.kv_heads, s.heads_per_kv, s.rope_groups,
                                            s.rope_dim, s.latent, 0);
      ASSERT_NO_FATAL_FAILURE(Compare(layout, options, {70}, 3, kOrders[turn++ % 3], &errors));
    }
  }
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

TEST(GpuAttention, RowsLongerThanSharedMemoryComeInPieces) {
  Errors errors(kMost);
  int turn = 0;
  for (const CacheType type : kTypes) {
    for (const Kind kind : {Kind::kJoint, Kind::kSplit}) {
      LayerLayout layout = MakeLayout(kind, 2, 2, 1, 64, kind == Kind::kJoint ? 4301 : 4400, 1500);
      layout.key_scalar = turn % 2 == 0;
      Options options;
      options.type = type;
      options.group = turn % 3 == 0 ? 64 : 32;
      options.residual = 10;
      options.sink = 1;
      ASSERT_NO_FATAL_FAILURE(Compare(layout, options, {40}, 17, kOrders[turn++ % 3], &errors));
    }
  }
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

// Beside one that has only begun.
TEST(GpuAttention, AContextMayBeVeryLong) {
  Errors errors(kMost);
  for (const CacheType type : {CacheType::kF16, CacheType::kInt4, CacheType::kInt2}) {
    Options options;
    options.type = type;
    options.residual = 128;
    options.sink = 4;
    const int32_t first = type == CacheType::kInt4 ? 70000 : 33333;
    ASSERT_NO_FATAL_FAILURE(Compare(MakeLayout(Kind::kJoint, 1, 2, 1, 4, 8, 0), options, {first, 0},
                                    21, Emulator::Order::kForward, &errors));
  }
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

// A block's tiles are more than a warp's lanes have pages of.
TEST(GpuAttention, ALatentsContextMayBeVeryLong) {
  Errors errors(kMost);
  for (const CacheType type : {CacheType::kF16, CacheType::kBf16, CacheType::kInt4}) {
    Options options;
    options.type = type;
    options.residual = 128;
    TestGpu gpu;
    const LayerLayout layout = MakeLayout(Kind::kJoint, 1, 2, 1, 8, 8, 0);
    const auto plan = GpuAttentionPlan::Create(layout, options.Cache(), 1, gpu);
    ASSERT_TRUE(plan.ok() && plan.value().latent() != nullptr);
    constexpr int32_t kFirst = 20'000;
    ASSERT_GT(kFirst / kPageTokens / plan.value().MostSplits(2, kFirst, 0), 32);
    ASSERT_NO_FATAL_FAILURE(CompareOn(gpu, layout, options, {kFirst, 0}, 23, &errors));
  }
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

TEST(GpuAttention, ASequenceDependsNeitherOnTheOthersNorOnTheBucket) {
  for (const CacheType type : {CacheType::kF16, CacheType::kBf16, CacheType::kInt4}) {
    const LayerLayout layout = MakeLayout(Kind::kJoint, 3, 3, 1, 32, 88, 0);
    Options options;
    options.type = type;
    options.residual = 64;
    options.queries = 2;
    const std::vector<int32_t> firsts = {600, 5, -1, 130};
    TestGpu gpu(Emulator::Order::kShuffled);
    Batch together(layout, options, firsts, 9, gpu);
    const auto all = together.Run();
    together.call.bucket = 100000;
    EXPECT_EQ(together.Run(), all);
    for (const size_t i : {0, 1, 3}) {
      Batch alone(layout, options, {firsts[i]}, 9 + 1000 * static_cast<uint32_t>(i), gpu);
      EXPECT_EQ(alone.Run()[0], all[i]) << i;
    }
  }
}

// Of groups of warps, on how many there are alone.
TEST(GpuAttention, AGroupsSequenceDependsNeitherOnTheOthersLengthsNorOnTheBucket) {
  for (const CacheType type : {CacheType::kF16, CacheType::kBf16, CacheType::kInt4}) {
    const LayerLayout layout = MakeLayout(Kind::kJoint, 1, 40, 1, 32, 88, 0);
    Options options;
    options.type = type;
    options.residual = 64;
    TestGpu gpu(Emulator::Order::kShuffled);
    for (const auto& others : {std::vector<int32_t>{}, {5, -1}}) {
      std::vector<int32_t> firsts = {600};
      firsts.insert(firsts.end(), others.begin(), others.end());
      Batch batch(layout, options, firsts, 9, gpu);
      ASSERT_EQ(batch.plan->latent()->group.values > 0, gpu.has_group_mma());
      const std::vector<float> alone = batch.Run()[0];
      batch.call.bucket = 100000;
      EXPECT_EQ(batch.Run()[0], alone);
      for (int32_t& first : firsts) first = first == 5 ? 130 : first;
      EXPECT_EQ(Batch(layout, options, firsts, 9, gpu).Run()[0], alone);
    }
  }
}

TEST(GpuAttention, ARecordedLaunchFollowsItsSequences) {
  Options options;
  options.type = CacheType::kInt8;
  TestGpu gpu;
  Batch batch(MakeLayout(Kind::kJoint, 1, 4, 1, 8, 20, 0), options, {900, 300}, 3, gpu);
  batch.call.bucket = 1024;
  batch.Prepare();
  auto recording = gpu.Record([&] { tested::Launch(gpu, batch.call); });
  ASSERT_TRUE(recording.status().ok());
  Errors errors(kMost);
  for (const auto& positions : {std::vector<int32_t>{40, 299}, {899, -1}, {900, 300}}) {
    batch.positions = positions;
    batch.WritePositions();
    gpu.Replay(*recording.value());
    const auto actual = batch.Outputs();
    for (size_t i = 0; i < 2; ++i) {
      if (positions[i] < 0) continue;
      batch.problems[i]->params.first = positions[i];
      ASSERT_NO_FATAL_FAILURE(errors.Add(actual[i], batch.problems[i]->Reference(nullptr),
                                         std::to_string(positions[i])));
    }
  }
}

TEST(GpuAttention, AMissingTokenWouldShow) {
  Options options;
  TestGpu gpu;
  Batch batch(MakeLayout(Kind::kJoint, 1, 2, 1, 8, 20, 0), options, {130}, 3, gpu);
  const std::vector<float> expected = batch.problems[0]->Reference(nullptr);
  batch.positions[0] = 129;
  const std::vector<float> one_less = batch.Run()[0];
  double largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::fabs(double{expected[i]} - one_less[i]) /
                                    (1 + std::fabs(double{expected[i]})));
  }
  EXPECT_GT(largest, kMost) << "the bound of the other tests is below one token's weight";
}

TEST(GpuAttention, LargeAndSmallScoresKeepTheirPrecision) {
  Errors errors(kMost);
  for (const float by : {1e-20f, 1e-4f, 1e5f, 1e20f}) {
    Options options;
    TestGpu gpu;
    Batch batch(MakeLayout(Kind::kJoint, 1, 4, 1, 0, 20, 0), options, {200}, 3, gpu);
    const std::vector<float> expected = batch.problems[0]->Reference(nullptr);
    for (float& x : batch.q_latent) x *= by;  // beyond what halves hold
    batch.call.scale /= by;
    ASSERT_NO_FATAL_FAILURE(errors.Add(batch.Run()[0], expected, std::to_string(by)));
  }
  // Scores so far apart that one token has all the weight.
  Options options;
  TestGpu gpu;
  Batch batch(MakeLayout(Kind::kJoint, 1, 4, 1, 8, 20, 0), options, {200}, 3, gpu);
  batch.problems[0]->params.scale = batch.call.scale = 1e4f;
  ASSERT_NO_FATAL_FAILURE(errors.Add(batch.Run()[0], batch.problems[0]->Reference(nullptr), "1e4"));
}

TEST(GpuAttention, AnOutlierLeavesOthersTheirPrecision) {
  Errors errors(kMost);
  for (const CacheType type : kTypes) {
    for (const int32_t window : {0, 50}) {
      Options options;
      options.type = type;
      options.window = window;
      options.outlier = 3;
      ASSERT_NO_FATAL_FAILURE(Compare(MakeLayout(Kind::kPlain, 1, 3, 1, 16, 0, 40), options, {60},
                                      5, kOrders[0], &errors));
    }
  }
}

TEST(GpuAttention, BrokenQueriesStayVisibleAndAlone) {
  for (const float broken : {NAN, INFINITY, -INFINITY}) {
    Options options;
    options.type = CacheType::kInt4;
    TestGpu gpu;
    Batch batch(MakeLayout(Kind::kJoint, 1, 3, 1, 8, 40, 0), options, {100, 30}, 3, gpu);
    const std::vector<std::vector<float>> whole = batch.Run();
    const int64_t head = batch.call.q_latent_head, out_head = batch.call.out_head;
    batch.q_latent[static_cast<size_t>(head + 7)] = broken;
    const std::vector<std::vector<float>> actual = batch.Run();
    EXPECT_EQ(actual[1], whole[1]);
    for (int64_t i = 0; i < 3 * out_head; ++i) {
      if (i % out_head == out_head - 1) continue;
      const size_t at = static_cast<size_t>(i);
      if (i / out_head == 1) {
        EXPECT_TRUE(std::isnan(actual[0][at])) << broken;
      } else {
        EXPECT_EQ(actual[0][at], whole[0][at]) << broken;
      }
    }
  }
}

}  // namespace
}  // namespace mla::testing_attention
