// The GPU's attention, on the emulated GPU, against the formula in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda/emulator_testing.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/attention/gpu.h"

namespace mla::testing_attention {
namespace {

constexpr Kind kKinds[] = {Kind::kPlain,   Kind::kJoint,     Kind::kSplit,
                           Kind::kOnlyKey, Kind::kOnlyValue, Kind::kNone};
constexpr CacheType kTypes[] = {CacheType::kF32, CacheType::kF16, CacheType::kInt8,
                                CacheType::kInt4, CacheType::kInt2};
constexpr Emulator::Order kOrders[] = {Emulator::Order::kForward, Emulator::Order::kBackward,
                                       Emulator::Order::kShuffled};

CacheOptions OptionsOf(const Options& with) {
  CacheOptions options;
  options.latent = options.rope = with.type;
  options.group = with.group;
  options.residual = with.residual;
  options.sink = with.sink;
  return options;
}

// Sequences of one layer side by side, as a launch has them.
class Batch {
 public:
  // One sequence for each of `firsts`, the position of its first query; below zero: none.
  Batch(const LayerLayout& layout, const Options& options, const std::vector<int32_t>& firsts,
        uint32_t seed)
      : options_(options), firsts_(firsts) {
    for (size_t i = 0; i < firsts.size(); ++i) {
      Options of = options;
      of.first = std::max(0, firsts[i]);
      problems.push_back(
          std::make_unique<Problem>(layout, of, seed + 1000 * static_cast<uint32_t>(i)));
      page_stride_ = std::max(page_stride_, PagesOf(i));
    }
  }

  // [sequences] of the problem's outputs.
  std::vector<std::vector<float>> Run(Emulator& gpu, int32_t more_room = 0) {
    const Problem& any = *problems[0];
    auto made = GpuAttentionPlan::Create(any.layout, OptionsOf(options_), options_.queries, gpu);
    if (!made.ok()) {
      ADD_FAILURE() << made.status().message();
      return {};
    }
    plan = std::make_unique<GpuAttentionPlan>(std::move(made.value()));
    const AttentionParams& p = any.params;
    GpuAttention call = {};
    call.plan = plan.get();
    const Bytes tables = Scratch(static_cast<int64_t>(plan->tables().size()) * 4);
    std::copy(plan->tables().begin(), plan->tables().end(), static_cast<int32_t*>(tables.get()));
    call.tables = static_cast<const int32_t*>(tables.get());
    call.sequences = static_cast<int32_t>(problems.size());
    call.bucket = more_room + options_.queries + *std::max_element(firsts_.begin(), firsts_.end());
    call.window = options_.window;
    call.scale = p.scale;
    call.positions = firsts_.data();
    std::vector<const uint8_t*> rows, exact, first;
    std::vector<float> rope, latent;
    for (size_t i = 0; i < problems.size(); ++i) {
      const CacheView& view = *problems[i]->params.cache;
      for (int64_t page = 0; page < page_stride_; ++page) {
        const bool there = page < PagesOf(i);
        rows.push_back(there ? view.rows.pages[page] : nullptr);
        exact.push_back(there && view.residual > 0 ? view.exact.pages[page] : nullptr);
      }
      first.push_back(view.sink > 0 ? view.first.pages[0] : nullptr);
      const AttentionParams& of = problems[i]->params;
      rope.insert(rope.end(), of.q_rope, of.q_rope + (of.q_rope == nullptr ? 0 : RopeFloats()));
      latent.insert(latent.end(), of.q_latent,
                    of.q_latent + (of.q_latent == nullptr ? 0 : LatentFloats()));
    }
    call.rows = rows.data();
    call.exact = exact.data();
    call.first = first.data();
    call.page_stride = page_stride_;
    call.q_rope = p.q_rope == nullptr ? nullptr : rope.data();
    call.q_rope_sequence = RopeFloats();
    call.q_rope_query = p.q_rope_stride;
    call.q_rope_head = p.q_rope_head_stride;
    call.q_latent = p.q_latent == nullptr ? nullptr : latent.data();
    call.q_latent_sequence = LatentFloats();
    call.q_latent_query = p.q_latent_stride;
    call.q_latent_head = p.q_latent_head_stride;
    std::vector<float> out(problems.size() * static_cast<size_t>(any.out_size()),
                           Problem::kUnwritten);
    call.out = out.data();
    call.out_sequence = any.out_size();
    call.out_query = p.out_stride;
    call.out_head = p.out_head_stride;
    const Bytes workspace =
        Scratch(plan->WorkspaceBytes(call.sequences, call.bucket, options_.window));
    call.workspace = workspace.get();
    emulated::Launch(gpu, call);
    std::vector<std::vector<float>> outs;
    for (size_t i = 0; i < problems.size(); ++i) {
      const auto begin = out.begin() + static_cast<int64_t>(i) * any.out_size();
      outs.emplace_back(begin, begin + any.out_size());
    }
    return outs;
  }

  std::vector<std::unique_ptr<Problem>> problems;
  std::unique_ptr<GpuAttentionPlan> plan;  // of the last run

 private:
  int64_t PagesOf(size_t i) const {
    const int64_t tokens = problems[i]->options.first + options_.queries;
    return (tokens + kPageTokens - 1) / kPageTokens;
  }
  int64_t RopeFloats() const { return problems[0]->params.q_rope_stride * options_.queries; }
  int64_t LatentFloats() const { return problems[0]->params.q_latent_stride * options_.queries; }

  const Options options_;
  const std::vector<int32_t> firsts_;
  int64_t page_stride_ = 1;
};

std::string Describe(const LayerLayout& layout, const Options& options,
                     const GpuAttentionPlan& plan) {
  return "type " + std::to_string(static_cast<int>(options.type)) + " group " +
         std::to_string(options.group) + " heads " + std::to_string(layout.heads) + '/' +
         std::to_string(layout.kv_heads) + " G " + std::to_string(layout.rope_groups) + " R " +
         std::to_string(layout.rope_dim) + " C " + std::to_string(layout.latent) + " segments " +
         std::to_string(layout.segments.size()) + " queries " + std::to_string(options.queries) +
         " window " + std::to_string(options.window) + " residual " +
         std::to_string(options.residual) + " sink " + std::to_string(options.sink) + " warps " +
         std::to_string(plan.variant().warps) + " columns " +
         std::to_string(plan.variant().columns);
}

// Of results against the formula: halves of 11 bits of rows, queries and weights, whose errors add
// up at random; one of the largest of thousands.
constexpr double kMost = 4e-3, kRootMeanSquare = 5e-4;

struct Errors {
  double squares = 0, count = 0;

  void Add(const std::vector<float>& actual, const std::vector<float>& expected,
           const std::string& what) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      const double error = (actual[i] - expected[i]) / (1.0 + std::fabs(expected[i]));
      ASSERT_LE(std::fabs(error), kMost)
          << what << " at " << i << ": " << actual[i] << " for " << expected[i];
      squares += error * error;
    }
    count += static_cast<double>(actual.size());
  }
  double RootMeanSquare() const { return std::sqrt(squares / count); }
};

void Compare(const LayerLayout& layout, const Options& options, const std::vector<int32_t>& firsts,
             uint32_t seed, Emulator::Order order, Errors* errors) {
  Emulator gpu(order);
  Batch batch(layout, options, firsts, seed);
  const std::vector<std::vector<float>> actual = batch.Run(gpu);
  ASSERT_EQ(actual.size(), firsts.size());
  for (size_t i = 0; i < firsts.size(); ++i) {
    const std::string what = "seed " + std::to_string(seed) + " first " +
                             std::to_string(firsts[i]) + ' ' +
                             Describe(layout, options, *batch.plan);
    if (firsts[i] < 0) {
      for (const float x : actual[i]) ASSERT_EQ(x, Problem::kUnwritten) << what;
      continue;
    }
    ASSERT_NO_FATAL_FAILURE(errors->Add(actual[i], batch.problems[i]->Reference(nullptr), what));
  }
}

template <typename T>
T Pick(std::mt19937& random, const std::vector<T>& from) {
  return from[std::uniform_int_distribution<size_t>(0, from.size() - 1)(random)];
}

TEST(GpuAttention, OfAnyLayoutAgreesWithTheFormula) {
  Errors errors;
  for (uint32_t seed = 0; seed < 150; ++seed) {
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

}  // namespace
}  // namespace mla::testing_attention
