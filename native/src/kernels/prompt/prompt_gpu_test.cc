// Prompts' attention on the GPU under test, against the formula in double precision, which knows
// neither pieces of a context nor tiles.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cache/page_places.h"
#include "cuda/gpu_testing.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/attention/errors_testing.h"
#include "kernels/matmul/gpu_testing.h"
#include "kernels/prompt/gpu.h"

namespace mla::testing_attention {
namespace {

constexpr CacheType kTypes[] = {CacheType::kF32,  CacheType::kF16,  CacheType::kInt8,
                                CacheType::kInt4, CacheType::kInt2, CacheType::kBf16};

bool SharesKeys(Kind kind) {
  return kind == Kind::kJoint || kind == Kind::kSplit || kind == Kind::kOnlyKey;
}
bool SharesValues(Kind kind) {
  return kind == Kind::kJoint || kind == Kind::kSplit || kind == Kind::kOnlyValue;
}

// A prompt's last chunk: a cache, queries of the expanded form, up-projections, and what a launch
// is told of them.
class Chunk {
 public:
  Chunk(Kind kind, const LayerLayout& layout, const Options& options, int32_t nope_dim,
        int32_t value_dim, Type type, uint32_t seed, GpuStream& gpu)
      : problem_(layout, options, seed), gpu_(gpu) {
    const LayerLayout& l = problem_.layout;
    const int64_t keys = problem_.longest_key, values = problem_.longest_value;
    expanded_.nope_dim = static_cast<int32_t>(SharesKeys(kind) ? nope_dim : keys);
    value_dim_ = static_cast<int32_t>(SharesValues(kind) ? value_dim : values);
    if (SharesKeys(kind)) {
      // Rows as the GPU has them, and as the formula has them, absorbed.
      k_rows_ = Weights(type, int64_t{l.kv_heads} * nope_dim, keys, seed);
      std::vector<float> absorbed(k_rows_->floats.size());
      for (int64_t i = 0; i < int64_t{l.kv_heads} * nope_dim; ++i) {
        for (int64_t r = 0; r < keys; ++r) {
          absorbed[static_cast<size_t>((i / nope_dim * keys + r) * nope_dim + i % nope_dim)] =
              k_rows_->floats[static_cast<size_t>(i * keys + r)];
        }
      }
      k_up_ = std::make_unique<TestMatrix>(gpu_, Type::kF32, l.kv_heads * keys, nope_dim, absorbed);
      expanded_.k_up = MatrixOf(*k_up_);
    }
    if (SharesValues(kind)) {
      v_up_ = Weights(type, int64_t{l.kv_heads} * value_dim, values, seed + 1);
      v_floats_ = std::make_unique<TestMatrix>(gpu_, Type::kF32, int64_t{l.kv_heads} * value_dim,
                                               values, v_up_->floats);
      expanded_.v_up = MatrixOf(*v_floats_);
    }
    std::mt19937 random(seed + 2);
    expanded_.q_nope_head_stride = (expanded_.nope_dim + 7) / 4 * 4 + static_cast<int>(seed % 2);
    expanded_.q_nope_stride = expanded_.q_nope_head_stride * l.heads;
    nope_ = NormalRows(random, int64_t{options.queries} * l.heads, expanded_.nope_dim,
                       expanded_.q_nope_head_stride);
    expanded_.q_nope = nope_.data();
    problem_.SetOutputLength(value_dim_);
    const float width = static_cast<float>(l.rope_dim + expanded_.nope_dim);
    problem_.params.scale = 1.0f / std::sqrt(width);
    plan = GpuPromptPlan::Create(l, options.Cache(), k_rows_ == nullptr ? 0 : nope_dim,
                                 v_up_ == nullptr ? 0 : value_dim, gpu);
    EXPECT_TRUE(plan.has_value());
    Describe();
  }

  std::vector<float> Run() {
    const DeviceArray<float> out(
        gpu_, std::vector<float>(static_cast<size_t>(problem_.out_size()), Problem::kUnwritten));
    call.out = out.data();
    const int64_t bytes = plan->WorkspaceBytes(call.queries, call.tokens);
    const DeviceArray<uint8_t> nan(gpu_, std::vector<uint8_t>(static_cast<size_t>(bytes), 0xff));
    call.workspace = nan.data();
    const DeviceArray<float> nope(gpu_, nope_);
    call.q_nope = expanded_.nope_dim > 0 ? nope.data() : nullptr;
    tested::Launch(gpu_, call);
    return out.Read();
  }
  std::vector<float> Reference() const { return problem_.Reference(&expanded_); }
  std::vector<float>& nope() { return nope_; }

  std::optional<GpuPromptPlan> plan;
  GpuPrompt call = {};

 private:
  std::unique_ptr<TestMatrix> Weights(Type type, int64_t rows, int64_t cols, uint32_t seed) {
    std::vector<float> values = mla::Normal(rows * cols, seed);
    for (float& x : values) x /= std::sqrt(static_cast<float>(cols));
    return std::make_unique<TestMatrix>(gpu_, type, rows, cols, values);
  }
  static Matrix MatrixOf(const TestMatrix& w) {
    return {Type::kF32, reinterpret_cast<const uint8_t*>(w.floats.data()), w.gpu.rows, w.gpu.cols};
  }

  void Describe() {
    const AttentionParams& p = problem_.params;
    const CacheView& cache = *p.cache;
    call.plan = &*plan;
    call.pieces = (pieces_ = {gpu_, plan->pieces()}).data();
    call.first = p.first;
    call.queries = p.queries;
    call.window = p.window;
    call.scale = p.scale;
    // The layer is one of several, whose pages are not there.
    constexpr int32_t kLayers = 3;
    call.layer = 1;
    call.places = {kLayers, cache.residual > 0 ? 2 * kLayers : kLayers};
    const int32_t pages = (p.first + p.queries + kPageTokens - 1) / kPageTokens;
    std::vector<uint8_t*> table(static_cast<size_t>(call.places.Rows(0, pages)));
    const auto set = [&](int64_t at, const uint8_t* page, const PagePlaces& places) {
      if (page == nullptr) return;
      pages_.emplace_back(gpu_, page, places.page_bytes);
      table[static_cast<size_t>(at)] = pages_.back().data();
    };
    const LayerLayout& l = problem_.layout;
    const CacheOptions options = problem_.options.Cache();
    for (int32_t page = 0; page < pages; ++page) {
      set(call.places.Rows(call.layer, page), cache.rows.pages[page], PlaceRows(options, l));
      if (cache.residual > 0) {
        set(call.places.Exact(call.layer, page), cache.exact.pages[page],
            PlaceExactRows(options, l, kPageTokens));
      }
    }
    if (cache.sink > 0) {
      set(call.places.First(call.layer), cache.first.pages[0],
          PlaceExactRows(options, l, cache.sink));
    }
    table_ = {gpu_, table};
    tables_ = {gpu_, {table_.data()}};
    call.pages = tables_.data();
    if (k_rows_ != nullptr) call.k_up_rows = k_rows_->gpu;
    if (v_up_ != nullptr) call.v_up = v_up_->gpu;
    std::vector<float> rope;
    for (int64_t row = 0; p.q_rope != nullptr && row < int64_t{p.queries} * l.heads; ++row) {
      const float* from =
          p.q_rope + row / l.heads * p.q_rope_stride + row % l.heads * p.q_rope_head_stride;
      rope.resize(static_cast<size_t>(row / l.heads * p.q_rope_stride +
                                      row % l.heads * p.q_rope_head_stride),
                  NAN);
      rope.insert(rope.end(), from, from + l.rope_dim);
    }
    rope_ = {gpu_, rope};
    call.q_rope = p.q_rope == nullptr ? nullptr : rope_.data();
    call.q_rope_query = p.q_rope_stride;
    call.q_rope_head = p.q_rope_head_stride;
    call.q_nope_query = expanded_.q_nope_stride;
    call.q_nope_head = expanded_.q_nope_head_stride;
    call.out_query = p.out_stride;
    call.out_head = p.out_head_stride;
    call.tokens = plan->Tokens(p.first, p.queries, p.window);
  }

  Problem problem_;
  GpuStream& gpu_;
  ExpandedParams expanded_{};
  int32_t value_dim_;
  std::unique_ptr<TestMatrix> k_rows_, k_up_, v_up_, v_floats_;
  std::vector<float> nope_;
  DeviceArray<GpuExpandPiece> pieces_;
  std::deque<DeviceArray<uint8_t>> pages_;
  DeviceArray<uint8_t*> table_;
  DeviceArray<uint8_t* const*> tables_;
  DeviceArray<float> rope_;
};

// Halves of 11 bits of rows, latents, matrices, keys, queries, weights and values, whose errors add
// up at random; one of the largest of thousands.
constexpr double kMost = 3e-3, kRootMeanSquare = 2e-4;

TEST(GpuPrompt, OfAnyLayoutAgreesWithTheFormula) {
  Errors errors(kMost);
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const Kind kind = Pick<Kind>(random, {Kind::kPlain, Kind::kJoint, Kind::kJoint, Kind::kSplit,
                                          Kind::kOnlyKey, Kind::kOnlyValue, Kind::kNone});
    const int32_t kv_heads = Pick<int32_t>(random, {1, 2, 3});
    const int32_t rope_dim = Pick<int32_t>(random, {kind == Kind::kPlain ? 4 : 0, 2, 6, 16, 18});
    const int32_t rope_groups = Pick<int32_t>(random, {1, kv_heads});
    LayerLayout layout =
        MakeLayout(kind, kv_heads, Pick<int32_t>(random, {1, 2, 3}), rope_groups, rope_dim,
                   Pick<int32_t>(random, {1, 5, 33, 40, 96}), Pick<int32_t>(random, {3, 16, 41}));
    layout.key_scalar = Pick<int>(random, {0, 0, 1}) == 1;
    Options options;
    options.type = kTypes[seed % std::size(kTypes)];
    if (seed % 4 == 3) options.rope_type = Pick<CacheType>(random, {kTypes[1], kTypes[2]});
    options.group = Pick<int32_t>(random, {32, 64});
    options.first = Pick<int32_t>(random, {0, 0, 1, 63, 64, 100});
    options.queries = Pick<int32_t>(random, {2, 9, 33, 65, 100});
    options.window = Pick<int32_t>(random, {0, 0, 1, 40, 100});
    options.residual = Pick<int32_t>(random, {0, 0, 1, 20, 64, 1000});
    options.sink = Pick<int32_t>(random, {0, 0, 1, 4, 64});
    TestGpu gpu(kOrders[seed % std::size(kOrders)]);
    Chunk chunk(kind, layout, options, Pick<int32_t>(random, {1, 9, 24}),
                Pick<int32_t>(random, {1, 9, 32, 70, 130, 144}),
                Pick<Type>(random, {Type::kF16, Type::kF32, Type::kBF16}), seed, gpu);
    const std::vector<float> expected = chunk.Reference();
    // All at once, and piece by piece.
    for (const int32_t tokens : {chunk.call.tokens, Pick<int32_t>(random, {64, 128})}) {
      chunk.call.tokens = tokens;
      ASSERT_NO_FATAL_FAILURE(
          errors.Add(chunk.Run(), expected,
                     "seed " + std::to_string(seed) + " tokens " + std::to_string(tokens)));
    }
  }
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

// SmolLM2's heads converted, a 7B model's, and DeepSeek's, of several blocks and tiles.
TEST(GpuPrompt, OfModelsShapes) {
  Errors errors(kMost);
  struct Shape {
    int32_t kv_heads, heads_per_kv, rope_groups, rope_dim, latent, nope_dim, value_dim;
  };
  int turn = 0;
  for (const Shape& s : {Shape{3, 3, 1, 32, 88, 64, 64}, Shape{2, 1, 2, 16, 300, 112, 128},
                         Shape{2, 1, 1, 64, 512, 128, 128}}) {
    Options options;
    options.type = turn % 2 == 0 ? CacheType::kInt4 : CacheType::kF16;
    options.first = 70;
    options.queries = 140;
    options.residual = 128;
    options.sink = 4;
    TestGpu gpu(kOrders[turn++ % std::size(kOrders)]);
    Chunk chunk(Kind::kJoint,
                MakeLayout(Kind::kJoint, s.kv_heads, s.heads_per_kv, s.rope_groups, s.rope_dim,
                           s.latent, 0),
                options, s.nope_dim, s.value_dim, Type::kF16, 3, gpu);
    ASSERT_NO_FATAL_FAILURE(errors.Add(chunk.Run(), chunk.Reference(), std::to_string(turn)));
  }
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquare);
}

TEST(GpuPrompt, BrokenQueriesStayVisibleAndAlone) {
  for (const float broken : {NAN, INFINITY, -INFINITY}) {
    Options options;
    options.type = CacheType::kInt4;
    options.queries = 70;
    TestGpu gpu;
    const LayerLayout layout = MakeLayout(Kind::kJoint, 1, 3, 1, 8, 40, 0);
    Chunk chunk(Kind::kJoint, layout, options, 10, 9, Type::kF16, 4, gpu);
    const std::vector<float> whole = chunk.Run();
    const int64_t row = 66 * 3 + 1;
    chunk.nope()[static_cast<size_t>(row * chunk.call.q_nope_head + 7)] = broken;
    const std::vector<float> actual = chunk.Run();
    for (int64_t i = 0; i < static_cast<int64_t>(whole.size()); ++i) {
      const size_t at = static_cast<size_t>(i);
      if (i / chunk.call.out_head == row && i % chunk.call.out_head < 9) {
        EXPECT_TRUE(std::isnan(actual[at])) << broken;
      } else {
        EXPECT_EQ(actual[at], whole[at]) << broken;
      }
    }
  }
}

// Of every query and token.
TEST(GpuPromptPlan, EveryTokenIsSeenOnceInItsForm) {
  const TestGpu gpu;
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    CacheOptions cache;
    cache.latent = cache.rope = CacheType::kInt4;
    cache.residual = Pick<int32_t>(random, {0, 1, 20, 128, 1000});
    cache.sink = Pick<int32_t>(random, {0, 1, 4, 64});
    const auto plan =
        GpuPromptPlan::Create(MakeLayout(Kind::kJoint, 1, 2, 1, 8, 40, 0), cache, 16, 16, gpu);
    ASSERT_TRUE(plan.has_value());
    const int32_t first = Pick<int32_t>(random, {0, 1, 3, 63, 200, 400});
    const int32_t queries = Pick<int32_t>(random, {1, 2, 40, 130});
    const int32_t window = Pick<int32_t>(random, {0, 1, 30, 200});
    const int32_t tokens = Pick<int32_t>(random, {64, 128, 1024});
    const int32_t all = first + queries;
    // [query][token]
    std::vector<int32_t> forms(static_cast<size_t>(queries * all), -1);
    const auto batches = plan->Batches(first, queries, window, tokens);
    for (const GpuPromptBatch& batch : batches) {
      ASSERT_LE(batch.rows(), tokens);
      for (int32_t i = 0; i < batch.count; ++i) {
        const GpuPromptSection& s = batch.sections[i];
        ASSERT_EQ(s.at % kPromptTileTokens, 0);
        ASSERT_GE(s.at, i == 0 ? 0 : batch.sections[i - 1].at + batch.sections[i - 1].tokens);
        for (int32_t q = 0; q < queries; ++q) {
          const GpuTokens seen = GpuSight{window, cache.residual, cache.sink}.Of(s.form, first + q);
          for (int32_t t = std::max(s.position, seen.begin);
               t < std::min(s.position + s.tokens, seen.end); ++t) {
            int32_t& form = forms[static_cast<size_t>(q * all + t)];
            ASSERT_EQ(form, -1) << "twice, seed " << seed;
            form = s.form;
          }
        }
      }
    }
    for (int32_t q = 0; q < queries; ++q) {
      for (int32_t t = 0; t < all; ++t) {
        const int32_t p = first + q;
        const bool unseen = t > p || (window > 0 && t <= p - window);
        const int32_t expected = unseen                   ? -1
                                 : t < cache.sink         ? kFirstForm
                                 : t > p - cache.residual ? kExactForm
                                                          : kRowsForm;
        ASSERT_EQ(forms[static_cast<size_t>(q * all + t)], expected)
            << "query " << q << " token " << t << " seed " << seed;
      }
    }
  }
}

TEST(GpuPromptPlan, ScratchIsBounded) {
  const TestGpu gpu;
  CacheOptions cache;
  cache.latent = cache.rope = CacheType::kInt4;
  cache.residual = 128;
  const auto bytes = [&](int32_t kv_heads, int32_t first) {
    const auto plan = GpuPromptPlan::Create(MakeLayout(Kind::kJoint, kv_heads, 1, 1, 64, 512, 0),
                                            cache, 128, 128, gpu);
    return plan->WorkspaceBytes(512, plan->Tokens(first, 512, 0));
  };
  for (const int32_t kv_heads : {1, 32, 128}) {
    // Keys, values and two numbers a query; no more tokens than 256 where one takes so much.
    const int64_t states = int64_t{512} * kv_heads * 8, least = int64_t{256} * kv_heads * 640;
    const int64_t most = std::max(int64_t{64} << 20, least + (1 << 20)) + states;
    EXPECT_LE(bytes(kv_heads, 1'000'000), most) << kv_heads;
    EXPECT_EQ(bytes(kv_heads, 10'000), bytes(kv_heads, 1'000'000)) << kv_heads;
    EXPECT_LT(bytes(kv_heads, 0), bytes(kv_heads, 10'000) + 1) << kv_heads;
  }
  EXPECT_LT(bytes(1, 0), bytes(1, 10'000));
}

TEST(GpuPromptPlan, KeysThatSharedMemoryDoesNotHoldAreRefused) {
  const TestGpu gpu;
  const auto plan = [&](int32_t nope_dim) {
    return GpuPromptPlan::Create(MakeLayout(Kind::kJoint, 1, 1, 1, 64, 512, 0), CacheOptions(),
                                 nope_dim, 128, gpu);
  };
  EXPECT_TRUE(plan(496).has_value());
  EXPECT_FALSE(plan(530).has_value());
}

}  // namespace
}  // namespace mla::testing_attention
