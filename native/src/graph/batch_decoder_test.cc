// Sequences decoded together against the same sequences decoded alone: equal to the last bit.
#include "graph/batch_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "cache/cache_testing.h"
#include "graph/tiny_model_testing.h"
#include "runtime/thread_pool.h"

namespace mla {
namespace {

const std::atomic<bool> kGoOn = false;
constexpr int32_t kVocabulary = 61;

std::shared_ptr<const Weights> Load(const TinyShape& shape, uint32_t seed) {
  Result<std::shared_ptr<const Weights>> weights = Weights::Load(TinyModel(shape, seed).File());
  EXPECT_TRUE(weights.ok()) << weights.status().message();
  return weights.value();
}

// Every kind of cache, so that one step has them all.
const CacheOptions kCaches[] = {
    Of(CacheType::kF32),         Of(CacheType::kF16),  Of(CacheType::kInt8),
    Of(CacheType::kInt8, 0, 4),  Of(CacheType::kInt4), Of(CacheType::kInt4, 100, 4),
    Of(CacheType::kInt2, 20, 2), Of(CacheType::kInt2), Of(CacheType::kBf16)};

std::unique_ptr<Decoder> NewDecoder(const std::shared_ptr<const Weights>& weights,
                                    const CacheOptions& cache, int32_t context = 800,
                                    Activations activations = Activations::kMixed) {
  DecoderOptions options;
  options.activations = activations;
  options.context_length = context;
  options.threads = 1;
  options.cache = cache;
  Result<std::unique_ptr<Decoder>> decoder = Decoder::Create(weights, options);
  EXPECT_TRUE(decoder.ok()) << decoder.status().message();
  return std::move(decoder.value());
}

std::vector<float> Append(Decoder& decoder, const std::vector<int32_t>& tokens) {
  std::vector<float> logits(kVocabulary);
  const Status status = decoder.Append(tokens.data(), static_cast<int32_t>(tokens.size()),
                                       Decoder::Output::kLast, logits.data(), nullptr, kGoOn);
  EXPECT_TRUE(status.ok()) << status.message();
  return logits;
}

std::vector<int32_t> Tokens(int32_t n, std::mt19937& random) {
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kVocabulary);
  return tokens;
}

std::vector<float> LogitsOf(const BatchDecoder::Row& row) {
  return {row.logits, row.logits + kVocabulary};
}

// A sequence, and the same one that is decoded alone.
struct Pair {
  std::unique_ptr<Decoder> batched, alone;
};

Pair NewPair(const std::shared_ptr<const Weights>& weights, const CacheOptions& cache,
             int32_t length, std::mt19937& random) {
  Pair pair = {NewDecoder(weights, cache), NewDecoder(weights, cache)};
  if (length > 0) {
    const std::vector<int32_t> prompt = Tokens(length, random);
    EXPECT_EQ(Append(*pair.batched, prompt), Append(*pair.alone, prompt));
  }
  return pair;
}

// One step of the pairs named, and the same token in each one's twin.
void ExpectStep(BatchDecoder& batch, std::vector<Pair>& pairs, const std::vector<size_t>& members,
                std::mt19937& random) {
  std::vector<BatchDecoder::Row> rows;
  for (size_t m : members) {
    rows.push_back({pairs[m].batched.get(), Tokens(1, random)[0], &kGoOn});
  }
  batch.Append(rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_TRUE(rows[i].status.ok()) << rows[i].status.message();
    const Pair& pair = pairs[members[i]];
    ASSERT_EQ(LogitsOf(rows[i]), Append(*pair.alone, {rows[i].token})) << "sequence " << members[i];
    ASSERT_EQ(pair.batched->length(), pair.alone->length());
  }
}

// Sequences of every cache type and of lengths around pages and context splits, that come and go.
void ExpectEqualToAlone(const TinyShape& shape, uint32_t seed) {
  const auto weights = Load(shape, seed);
  std::mt19937 random(seed);
  std::vector<Pair> pairs;
  for (int32_t length : {0, 1, 63, 64, 127, 128, 300, 700, 90}) {
    pairs.push_back(NewPair(weights, kCaches[pairs.size()], length, random));
  }
  for (int32_t threads : {1, 3}) {
    BatchDecoder batch(weights, static_cast<int32_t>(pairs.size()), threads);
    const int64_t bytes = batch.workspace_bytes();
    for (int step = 0; step < 12; ++step) {
      ThreadPool::Shared().LoosenTeams(step % 2 == 1);
      std::vector<size_t> members;
      for (size_t i = 0; i < pairs.size(); ++i) {
        if (step == 0 || random() % 3 != 0) members.push_back(i);
      }
      std::shuffle(members.begin(), members.end(), random);
      ASSERT_NO_FATAL_FAILURE(ExpectStep(batch, pairs, members, random));
    }
    EXPECT_EQ(batch.workspace_bytes(), bytes);
  }
  ThreadPool::Shared().LoosenTeams(false);
}

class BatchDecoderFormTest : public testing::TestWithParam<Compression> {};

TEST_P(BatchDecoderFormTest, EqualsAlone) {
  TinyShape shape;
  shape.compression = GetParam();
  shape.rope_dim = 6;
  ExpectEqualToAlone(shape, 1);
}

// More heads that share a matrix than rows, and fewer; layers of different sizes.
TEST_P(BatchDecoderFormTest, ManyHeadsAndUnlikeLayersEqualAlone) {
  TinyShape shape;
  shape.compression = GetParam();
  shape.heads = 12;
  shape.kv_heads = 2;
  shape.unlike = {{.rope_dim = 10, .rope_groups = 1, .rank = 40, .nope_dim = 16},
                  {.rope_dim = 6, .rope_groups = 2, .rank = 17, .nope_dim = -1}};
  shape.window = 90;
  ExpectEqualToAlone(shape, 2);
}

INSTANTIATE_TEST_SUITE_P(All, BatchDecoderFormTest,
                         testing::Values(Compression::kPlain, Compression::kJoint,
                                         Compression::kSplit, Compression::kOnlyKey,
                                         Compression::kOnlyValue, Compression::kNone));

TEST(BatchDecoder, QwensEqualAlone) {
  TinyShape shape;
  shape.family = "qwen2";
  shape.biases = true;
  ExpectEqualToAlone(shape, 3);
  shape.family = "qwen3";
  shape.biases = false;
  shape.norms = true;
  ExpectEqualToAlone(shape, 4);
  shape.compression = Compression::kJoint;  // with a key scalar
  shape.rope_dim = 6;
  ExpectEqualToAlone(shape, 5);
  shape.norm_after_rope = true;
  ExpectEqualToAlone(shape, 6);
  shape.norms = shape.norm_after_rope = false;
  shape.whole_norms = true;
  shape.rope_groups = 1;
  ExpectEqualToAlone(shape, 7);
}

TEST(BatchDecoder, OneAndManyRows) {
  TinyShape shape;
  shape.compression = Compression::kSplit;
  shape.rope_dim = 6;
  const auto weights = Load(shape, 8);
  std::mt19937 random(8);
  std::vector<Pair> pairs;
  for (int32_t i = 0; i < 137; ++i) {  // more than a matmul keeps in a cache
    pairs.push_back(NewPair(weights, kCaches[i % 8], i % 5, random));
  }
  for (size_t n : {size_t{1}, size_t{2}, size_t{17}, size_t{64}, size_t{137}}) {
    BatchDecoder batch(weights, static_cast<int32_t>(n), 2);
    std::vector<size_t> members(n);
    for (size_t i = 0; i < n; ++i) members[i] = pairs.size() - 1 - i;
    for (int step = 0; step < 3; ++step) {
      ASSERT_NO_FATAL_FAILURE(ExpectStep(batch, pairs, members, random)) << n << " rows";
    }
  }
}

TEST(BatchDecoder, SizesAreByRows) {
  const auto weights = Load(TinyShape(), 9);
  const BatchDecoder none(weights, 1, 2), some(weights, 11, 2), many(weights, 101, 2);
  const int64_t ten = some.workspace_bytes() - none.workspace_bytes();
  EXPECT_GT(ten, 10 * 4 * kVocabulary);
  EXPECT_NEAR(static_cast<double>(many.workspace_bytes() - none.workspace_bytes()),
              10.0 * static_cast<double>(ten), 0.1 * static_cast<double>(ten));
}

TEST(BatchDecoder, AFullOrCancelledSequenceFailsAlone) {
  const auto weights = Load(TinyShape(), 10);
  std::mt19937 random(10);
  std::vector<Pair> pairs;
  for (int i = 0; i < 4; ++i) pairs.push_back(NewPair(weights, kCaches[5], 30 + i, random));
  pairs[1].batched = NewDecoder(weights, kCaches[5], 7);
  Append(*pairs[1].batched, Tokens(7, random));
  BatchDecoder batch(weights, 4, 2);
  const std::atomic<bool> cancelled = true;
  std::vector<BatchDecoder::Row> rows;
  for (size_t i = 0; i < 4; ++i) {
    rows.push_back({pairs[i].batched.get(), 3, i == 2 ? &cancelled : &kGoOn});
  }
  batch.Append(rows);
  for (size_t i : {size_t{0}, size_t{3}}) {
    ASSERT_TRUE(rows[i].status.ok()) << rows[i].status.message();
    EXPECT_EQ(LogitsOf(rows[i]), Append(*pairs[i].alone, {3}));
  }
  EXPECT_EQ(rows[1].status.code(), MLA_CONTEXT_FULL);
  EXPECT_NE(rows[1].status.message().find("7 tokens holds 7"), std::string::npos)
      << rows[1].status.message();
  EXPECT_EQ(rows[1].logits, nullptr);
  EXPECT_EQ(pairs[1].batched->length(), 7);
  EXPECT_EQ(rows[2].status.code(), MLA_CANCELLED);
  EXPECT_EQ(rows[2].logits, nullptr);
  EXPECT_EQ(pairs[2].batched->length(), 32);
  // As if nothing had been: alone and together.
  EXPECT_EQ(Append(*pairs[2].batched, {5}), Append(*pairs[2].alone, {5}));
  ASSERT_NO_FATAL_FAILURE(ExpectStep(batch, pairs, {3, 2, 0}, random));
  // Nobody is left.
  rows.resize(2);
  rows[0].cancel = rows[1].cancel = &cancelled;
  batch.Append(rows);
  EXPECT_EQ(rows[0].status.code(), MLA_CANCELLED);
  EXPECT_EQ(rows[1].status.code(), MLA_CONTEXT_FULL);
  ASSERT_NO_FATAL_FAILURE(ExpectStep(batch, pairs, {0}, random));
}

// Those that share pages with a fork copy them before they write.
TEST(BatchDecoder, ForksGoTheirOwnWays) {
  const auto weights = Load(TinyShape(), 11);
  std::mt19937 random(11);
  for (const CacheOptions& cache : kCaches) {
    std::vector<Pair> pairs;
    pairs.push_back(NewPair(weights, cache, 70, random));
    for (int i = 0; i < 4; ++i) {
      pairs.push_back({pairs[0].batched->Fork(), pairs[0].alone->Fork()});
    }
    BatchDecoder batch(weights, 5, 2);
    for (int step = 0; step < 4; ++step) {
      ASSERT_NO_FATAL_FAILURE(ExpectStep(batch, pairs, {0, 1, 2, 3, 4}, random));
    }
  }
}

TEST(BatchDecoder, ActivationsAreTheStepsOrItsOwn) {
  const auto weights = Load(TinyShape(), 12);
  const CacheOptions cache = Of(CacheType::kF32);
  const auto fine = NewDecoder(weights, cache, 10, Activations::kFine);
  const auto mixed = NewDecoder(weights, cache, 10, Activations::kMixed);
  BatchDecoder batch(weights, 2, 1);
  std::vector<BatchDecoder::Row> rows = {{fine.get(), 1, &kGoOn}, {mixed.get(), 1, &kGoOn}};
  batch.Append(rows);
  EXPECT_TRUE(rows[0].status.ok());
  EXPECT_EQ(rows[1].status.code(), MLA_INVALID_ARGUMENT);
  EXPECT_NE(rows[1].status.message().find("activations"), std::string::npos);
  EXPECT_EQ(fine->length(), 1);
  EXPECT_EQ(mixed->length(), 0);
}

}  // namespace
}  // namespace mla
