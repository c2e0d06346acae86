#include "graph/step_work.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <vector>

#include "cache/latent_cache.h"
#include "graph/tiny_model_testing.h"
#include "mla/mla.h"

namespace mla {
namespace {

std::shared_ptr<const Weights> Load(const TinyShape& shape) {
  Result<std::shared_ptr<const Weights>> weights = Weights::Load(TinyModel(shape, 4).File());
  EXPECT_TRUE(weights.ok()) << weights.status().message();
  return weights.value();
}

TinyShape Converted(Compression compression) {
  TinyShape shape;
  shape.compression = compression;
  shape.rope_dim = 6;
  return shape;
}

OperationWork Count(const Weights& weights, const CacheOptions& cache, int32_t first, int32_t n,
                    int32_t prefill = MLA_PREFILL_AUTO) {
  OperationWork work = {};
  StepWork(weights, cache, prefill).Add(first, n, 1, work);
  return work;
}

const Work& Of(const OperationWork& work, Operation operation) {
  return work[static_cast<size_t>(operation)];
}

Work Sum(const OperationWork& work) {
  Work sum;
  for (const Work& each : work) sum += each;
  return sum;
}

TEST(StepWork, SequencesTogetherReadWeightsOnce) {
  const auto weights = Load(Converted(Compression::kJoint));
  const OperationWork early = Count(*weights, {}, 3, 1), late = Count(*weights, {}, 70, 1);
  OperationWork step = {};
  AddBeside(late, step);
  AddBeside(early, step);
  for (size_t o = 0; o < kOperations; ++o) {
    const Operation operation = static_cast<Operation>(o);
    const double times = operation == Operation::kEmbedding ? 2 : 1;
    EXPECT_EQ(step[o].weight_bytes, times * early[o].weight_bytes) << OperationName(operation);
    EXPECT_EQ(step[o].cache_bytes, early[o].cache_bytes + late[o].cache_bytes);
    EXPECT_EQ(step[o].float_multiply_adds,
              early[o].float_multiply_adds + late[o].float_multiply_adds);
    EXPECT_EQ(step[o].integer_multiply_adds,
              early[o].integer_multiply_adds + late[o].integer_multiply_adds);
  }
}

TEST(StepWork, ATokenReadsEveryTensorOnceAndOneRowOfTheEmbedding) {
  std::vector<TinyShape> shapes(1);
  for (Compression c : {Compression::kJoint, Compression::kSplit, Compression::kOnlyKey,
                        Compression::kOnlyValue, Compression::kNone}) {
    shapes.push_back(Converted(c));
    shapes.back().biases = true;
  }
  shapes.push_back(Converted(Compression::kJoint));
  shapes.back().whole_norms = true;
  shapes.emplace_back();
  shapes.back().family = "qwen3";
  shapes.back().norms = true;
  for (const TinyShape& shape : shapes) {
    TinyModel model(shape, 4);
    int64_t floats = 0;
    for (const auto& [name, tensor] : model.tensors()) {
      floats +=
          name == "token_embd.weight" ? shape.embedding : static_cast<int64_t>(tensor.data.size());
    }
    const OperationWork work = Count(*Load(shape), {}, 0, 1);
    EXPECT_EQ(Sum(work).weight_bytes, static_cast<double>(4 * floats));
    EXPECT_EQ(Of(work, Operation::kGateUpProjections).weight_bytes,
              4.0 * shape.layers * 2 * shape.feed_forward * shape.embedding);
    EXPECT_EQ(Of(work, Operation::kSampling).weight_bytes, 0);
    // More tokens read them no more often.
    const Work more = Sum(Count(*Load(shape), {}, 5, 7, MLA_PREFILL_ABSORBED));
    EXPECT_EQ(more.weight_bytes, 4.0 * static_cast<double>(floats + 6 * shape.embedding));
  }
}

TEST(StepWork, ProjectionsAreMultipliedOnceAToken) {
  const TinyShape shape = Converted(Compression::kJoint);
  const std::shared_ptr<const Weights> weights = Load(shape);
  const OperationWork work = Count(*weights, {}, 9, 3, MLA_PREFILL_ABSORBED);
  const double layers = shape.layers, d = shape.embedding, f = shape.feed_forward;
  const double nope = shape.head - 6, rank = shape.rank;
  EXPECT_EQ(Of(work, Operation::kQkvProjections).float_multiply_adds,
            layers * 3 * d * (shape.heads * shape.head + shape.kv_heads * 6 + rank));
  EXPECT_EQ(Of(work, Operation::kHeadProjections).float_multiply_adds,
            layers * 3 * shape.heads * rank * (nope + shape.head));
  EXPECT_EQ(Of(work, Operation::kOutputProjection).float_multiply_adds,
            layers * 3 * d * shape.heads * shape.head);
  EXPECT_EQ(Of(work, Operation::kDownProjection).float_multiply_adds, layers * 3 * d * f);
  EXPECT_EQ(Of(work, Operation::kOutputHead).float_multiply_adds, d * shape.vocabulary);
  EXPECT_EQ(Sum(work).integer_multiply_adds, 0);  // F32 weights and an f16 cache
}

// By going through all pairs of a query and a token.
TEST(StepWork, AttentionReadsWhatItsQueriesSee) {
  for (int window : {0, 9}) {
    for (const auto& [residual, sink] : {std::pair{0, 0}, {4, 2}, {4, 0}, {0, 3}, {100, 4}}) {
      for (const auto& [first, n] : {std::pair{0, 1}, {30, 1}, {0, 12}, {20, 5}, {3, 2}}) {
        SCOPED_TRACE(testing::Message() << "window " << window << " residual " << residual
                                        << " sink " << sink << " first " << first << " n " << n);
        TinyShape shape = Converted(Compression::kJoint);
        shape.window = window;
        CacheOptions cache;
        cache.latent = CacheType::kInt4;
        cache.rope = CacheType::kInt8;
        cache.residual = residual;
        cache.sink = sink;
        double row_pairs = 0, exact_pairs = 0;
        std::set<int> rows, exact;
        for (int p = first; p < first + n; ++p) {
          for (int t = 0; t <= p; ++t) {
            if (window > 0 && t <= p - window) continue;
            const bool is_exact = t < sink || t > p - residual;
            (is_exact ? exact_pairs : row_pairs) += 1;
            (is_exact ? exact : rows).insert(t);
          }
        }
        const std::shared_ptr<const Weights> weights = Load(shape);
        const OperationWork all = Count(*weights, cache, first, n, MLA_PREFILL_ABSORBED);
        const Work& work = Of(all, Operation::kAttention);
        const double each = shape.layers * shape.heads * (6.0 + 2 * shape.rank);
        EXPECT_EQ(work.integer_multiply_adds, each * row_pairs);
        EXPECT_EQ(work.float_multiply_adds, each * exact_pairs);
        const std::vector<LayerLayout>& layouts = weights->shape().cache_layouts;
        const double as_rows = LatentCache::BytesPerToken(cache, layouts, 0);
        CacheOptions f16;
        EXPECT_DOUBLE_EQ(work.cache_bytes, as_rows * static_cast<double>(rows.size()) +
                                               LatentCache::BytesPerToken(f16, layouts, 0) *
                                                   static_cast<double>(exact.size()));
      }
    }
  }
}

// Forms differ in their multiply-adds, so these tell which one was counted.
TEST(StepWork, AGpuChoosesTheFormOfPromptsForItself) {
  TinyShape shape = Converted(Compression::kJoint);
  shape.rank = 100;
  const std::shared_ptr<const Weights> weights = Load(shape);
  const auto count = [&](int32_t n, int32_t prefill, bool on_gpu) {
    OperationWork work = {};
    StepWork(*weights, CacheOptions(), prefill, on_gpu).Add(0, n, 1, work);
    return Sum(work).float_multiply_adds;
  };
  for (const int32_t n : {1, 20, 40}) {
    const double absorbed = count(n, MLA_PREFILL_ABSORBED, true);
    const double expanded = count(n, MLA_PREFILL_EXPANDED, true);
    EXPECT_EQ(absorbed == expanded, n == 1) << n;
    EXPECT_EQ(count(n, MLA_PREFILL_AUTO, true), n == 40 ? expanded : absorbed) << n;
    EXPECT_EQ(count(n, MLA_PREFILL_AUTO, false), n == 1 ? absorbed : expanded) << n;
  }
}

TEST(StepWork, TheExpandedFormUpProjectsEveryTokenOnce) {
  const TinyShape shape = Converted(Compression::kJoint);
  const std::shared_ptr<const Weights> weights = Load(shape);
  const OperationWork work = Count(*weights, {}, 10, 4, MLA_PREFILL_EXPANDED);
  const double nope = shape.head - 6;
  const double pairs = 11 + 12 + 13 + 14;
  EXPECT_EQ(Of(work, Operation::kAttention).float_multiply_adds,
            shape.layers * (shape.heads * pairs * (6 + nope + shape.head) +
                            14 * shape.kv_heads * shape.rank * (nope + shape.head)));
  EXPECT_EQ(Of(work, Operation::kHeadProjections).float_multiply_adds, 0);
  // A single token is never expanded.
  const OperationWork one = Count(*weights, {}, 10, 1, MLA_PREFILL_EXPANDED);
  EXPECT_GT(Of(one, Operation::kHeadProjections).float_multiply_adds, 0);
}

TEST(StepWork, ATokenIsWrittenAlsoToTheWindow) {
  const std::shared_ptr<const Weights> weights = Load(Converted(Compression::kJoint));
  CacheOptions cache;
  cache.latent = cache.rope = CacheType::kInt8;
  const double rows = LatentCache::BytesPerToken(cache, weights->shape().cache_layouts, 0);
  EXPECT_EQ(Of(Count(*weights, cache, 0, 3), Operation::kRopeAppend).cache_bytes, 3 * rows);
  cache.residual = 64;
  const double both = Of(Count(*weights, cache, 0, 3), Operation::kRopeAppend).cache_bytes;
  EXPECT_EQ(both, 3 * (rows + LatentCache::BytesPerToken({}, weights->shape().cache_layouts, 0)));
}

TEST(StepWork, EveryOperationHasAName) {
  std::set<std::string> names;
  for (size_t o = 0; o < kOperations; ++o) names.insert(OperationName(static_cast<Operation>(o)));
  EXPECT_EQ(names.size(), kOperations);
  EXPECT_EQ(names.count(""), 0u);
}

}  // namespace
}  // namespace mla
