// The decoder against plain loops in double precision that know nothing of absorption, segments,
// tiles or a cache.
#include "graph/decoder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "cache/cache_testing.h"
#include "graph/decoder_testing.h"
#include "graph/output_head.h"
#include "graph/tiny_model_testing.h"
#include "runtime/thread_pool.h"

namespace mla {
namespace {

std::unique_ptr<Decoder> NewDecoder(const TinyModel& model, int32_t prefill, int threads,
                                    const CacheOptions& cache, int32_t context = 512) {
  Result<std::shared_ptr<const Weights>> weights = Weights::Load(model.File());
  EXPECT_TRUE(weights.ok()) << weights.status().message();
  if (!weights.ok()) return nullptr;
  DecoderOptions options;
  options.context_length = context;
  options.threads = threads;
  options.prefill = prefill;
  options.activations = Activations::kFine;
  options.cache = cache;
  Result<std::unique_ptr<Decoder>> decoder = Decoder::Create(weights.value(), options);
  EXPECT_TRUE(decoder.ok()) << decoder.status().message();
  return decoder.ok() ? std::move(decoder.value()) : nullptr;
}

std::unique_ptr<Decoder> NewDecoder(const TinyModel& model, int32_t prefill, int threads,
                                    CacheType type, int32_t context = 512) {
  return NewDecoder(model, prefill, threads, Of(type), context);
}

// All positions at once, then the same tokens in two parts, then one at a time.
void ExpectParity(const TinyShape& shape, uint32_t seed, CacheType type, double tolerance, int n) {
  const TinyModel model(shape, seed);
  const std::vector<int32_t> tokens = Tokens(n, shape.vocabulary, seed);
  const std::vector<std::vector<double>> expected = model.Forward(tokens);
  const size_t vocabulary = static_cast<size_t>(shape.vocabulary);
  for (int32_t prefill : {MLA_PREFILL_ABSORBED, MLA_PREFILL_EXPANDED}) {
    for (int threads : {1, 3}) {
      // A context and scratch of n rows and no more.
      std::unique_ptr<Decoder> decoder = NewDecoder(model, prefill, threads, type, n);
      ASSERT_NE(decoder, nullptr);
      std::vector<float> logits(tokens.size() * vocabulary);
      for (int32_t split : {n, n / 3, 1}) {
        decoder->Rewind(0);
        for (int32_t done = 0; done < n;) {
          const int32_t count = std::min(n - done, std::max(1, split));
          ASSERT_TRUE(decoder
                          ->Append(tokens.data() + done, count, Decoder::Output::kAll,
                                   logits.data() + static_cast<size_t>(done) * vocabulary, nullptr,
                                   kGoOn)
                          .ok());
          done += count;
        }
        EXPECT_EQ(decoder->length(), n);
        EXPECT_LT(Difference(expected, logits), tolerance)
            << "prefill " << prefill << ", threads " << threads << ", split " << split;
      }
    }
  }
}

TEST(DecoderTest, PlainFamilies) {
  for (const char* family : {"llama", "qwen2", "qwen3"}) {
    SCOPED_TRACE(family);
    ExpectParity(Plain(family), 1, CacheType::kF32, 1e-3, 21);
  }
}

class ConvertedTest : public testing::TestWithParam<Compression> {};
// Of what plain layers do not have: heads that are split, a shared rotary group, unlike sizes.
class FactoredTest : public testing::TestWithParam<Compression> {};

TEST_P(ConvertedTest, MatchesTheFormula) {
  for (const char* family : {"llama", "qwen2", "qwen3"}) {
    SCOPED_TRACE(family);
    TinyShape shape = Plain(family);
    shape.compression = GetParam();
    shape.rope_dim = 6;
    ExpectParity(shape, 2, CacheType::kF32, 1e-3, 21);
  }
}

TEST_P(ConvertedTest, NormsAfterRotation) {
  TinyShape shape = Plain("qwen3");
  shape.compression = GetParam();
  shape.rope_dim = 6;
  shape.norm_after_rope = true;
  ExpectParity(shape, 2, CacheType::kF32, 1e-3, 21);
}

// Qwen3 with rotary keys that heads share: norms come before everything that is cached.
TEST_P(FactoredTest, WholeHeadsNormedBeforeTheSplit) {
  uint32_t seed = 60;
  for (int rope_dim : {0, 2, 10, 48}) {
    for (int groups : {1, 3}) {
      if (groups > 1 && rope_dim > 16) continue;
      SCOPED_TRACE(testing::Message() << "rotary " << rope_dim << " of " << groups);
      TinyShape shape;
      shape.compression = GetParam();
      shape.family = "qwen3";
      shape.whole_norms = true;
      shape.rope_groups = groups;
      shape.rope_dim = rope_dim;
      shape.heads = 6;
      shape.kv_heads = 3;
      shape.rank = rope_dim == 2 ? 33 : 12;
      shape.biases = rope_dim == 10;
      ExpectParity(shape, seed++, CacheType::kF32, 1e-3, 13);
    }
  }
}

TEST_P(ConvertedTest, SharedRotaryGroup) {
  TinyShape shape;
  shape.compression = GetParam();
  shape.rope_groups = 1;
  shape.rope_dim = 10;
  shape.heads = 6;
  shape.kv_heads = 3;
  ExpectParity(shape, 3, CacheType::kF32, 1e-3, 21);
}

// Rotary components of all heads in one group, beside whole heads without rotation.
TEST_P(FactoredTest, SharedRotaryGroupBesideWholeHeads) {
  uint32_t seed = 30;
  for (int rope_dim : {0, 2, 16, 22, 48}) {
    for (int nope : {16, 5, 33}) {
      SCOPED_TRACE(testing::Message() << "rotary " << rope_dim << ", others " << nope);
      TinyShape shape;
      shape.compression = GetParam();
      shape.rope_groups = 1;
      shape.rope_dim = rope_dim;
      shape.nope_dim = nope;
      shape.heads = 6;
      shape.kv_heads = 3;
      shape.biases = rope_dim == 22;
      ExpectParity(shape, seed++, CacheType::kF32, 1e-3, 13);
    }
  }
}

// As the calibrated recipe writes them: every layer has rotary dims and a rank of its own. No layer
// is the widest in every size, and the first is so in none.
TEST_P(FactoredTest, LayersOfUnlikeSizes) {
  TinyShape shape;
  shape.compression = GetParam();
  shape.heads = 6;
  shape.kv_heads = 3;
  shape.layers = 5;
  shape.unlike = {{.rope_dim = 10, .rope_groups = 1, .rank = 9, .nope_dim = 16},
                  {.rope_dim = 0, .rope_groups = 1, .rank = 40, .nope_dim = 16},
                  {.rope_dim = 48, .rope_groups = 1, .rank = 5, .nope_dim = 16},
                  {.rope_dim = 6, .rope_groups = 3, .rank = 17, .nope_dim = -1},
                  {.rope_dim = 2, .rope_groups = 1, .rank = 1, .nope_dim = 33}};
  ExpectParity(shape, 40, CacheType::kF32, 1e-3, 17);
  ExpectParity(shape, 40, CacheType::kF16, 0.05, 17);
  ExpectParity(shape, 40, CacheType::kBf16, 0.4, 17);
  ExpectParity(shape, 40, CacheType::kInt8, 0.4, 17);
}

TEST_P(ConvertedTest, AllRotaryAndNoneRotary) {
  for (int rope_dim : {0, 16}) {
    SCOPED_TRACE(rope_dim);
    TinyShape shape;
    shape.compression = GetParam();
    shape.rope_dim = rope_dim;
    ExpectParity(shape, 4, CacheType::kF32, 1e-3, 13);
  }
}

TEST_P(ConvertedTest, OddRanksAndHeads) {
  uint32_t seed = 5;
  for (int rank : {1, 7, 33, 70}) {
    SCOPED_TRACE(rank);
    TinyShape shape;
    shape.compression = GetParam();
    shape.rope_dim = 4;
    shape.rank = rank;
    shape.heads = 5;
    shape.kv_heads = 5;
    shape.rope_groups = 5;
    ExpectParity(shape, seed++, CacheType::kF32, 2e-3, 9);
  }
}

TEST_P(ConvertedTest, HalfAndByteCachesAreClose) {
  TinyShape shape;
  shape.compression = GetParam();
  shape.rope_dim = 6;
  ExpectParity(shape, 6, CacheType::kF16, 0.05, 21);
  ExpectParity(shape, 6, CacheType::kInt8, 0.4, 21);
}

TEST_P(FactoredTest, HalfAndByteCachesOfASharedRotaryGroupAreClose) {
  TinyShape shape;
  shape.compression = GetParam();
  shape.heads = 6;
  shape.kv_heads = 3;
  shape.rope_groups = 1;
  shape.nope_dim = 16;
  for (int rope_dim : {10, 34}) {  // below and above a group of scales
    SCOPED_TRACE(rope_dim);
    shape.rope_dim = rope_dim;
    ExpectParity(shape, 41, CacheType::kF16, 0.05, 21);
    ExpectParity(shape, 41, CacheType::kInt8, 0.4, 21);
  }
}

TEST_P(ConvertedTest, SlidingWindow) {
  TinyShape shape;
  shape.compression = GetParam();
  shape.rope_dim = 6;
  shape.window = 5;
  ExpectParity(shape, 7, CacheType::kF32, 1e-3, 21);
}

INSTANTIATE_TEST_SUITE_P(All, FactoredTest,
                         testing::Values(Compression::kJoint, Compression::kSplit,
                                         Compression::kOnlyKey, Compression::kOnlyValue,
                                         Compression::kNone));
INSTANTIATE_TEST_SUITE_P(All, ConvertedTest,
                         testing::Values(Compression::kPlain, Compression::kJoint,
                                         Compression::kSplit, Compression::kOnlyKey,
                                         Compression::kOnlyValue, Compression::kNone));

// A plain Qwen3, its rotary pairs mixed over two heads by an angle of their own, all kept; the
// latent is the values alone.
TEST(DecoderTest, WholeNormsWithEveryRotationKeptAreThePlainModel) {
  TinyShape plain_shape = Plain("qwen3");
  TinyModel plain(plain_shape, 12);
  TinyShape shape = plain_shape;
  shape.compression = Compression::kJoint;
  shape.norms = false;
  shape.whole_norms = true;
  shape.rope_groups = 1;
  const int d = shape.head, pairs = d / 2, keys = shape.keys();
  shape.rope_dim = keys;
  shape.rank = keys;
  TinyModel converted(shape, 13);
  const auto set = [](TinyModel::Tensor& matrix, int row, int column, double value) {
    matrix.data[static_cast<size_t>(row * matrix.dims[0] + column)] = static_cast<float>(value);
  };
  for (auto& [name, tensor] : converted.tensors()) {
    if (plain.tensors().count(name) != 0 && name.find("attn_k") == std::string::npos) {
      tensor = plain.tensors()[name];
    }
  }
  for (int l = 0; l < shape.layers; ++l) {
    const std::string b = "blk." + std::to_string(l) + ".";
    auto& to = converted.tensors();
    to[b + "attn_k_in.weight"] = plain.tensors()[b + "attn_k.weight"];
    to[b + "attn_k_norm.weight"] = plain.tensors()[b + "attn_k_norm.weight"];
    for (const char* name : {"attn_k", "attn_q_rope", "attn_kv_a", "attn_k_b", "attn_v_b"}) {
      std::vector<float>& data = to[b + name + ".weight"].data;
      std::fill(data.begin(), data.end(), 0.0f);
    }
    for (int j = 0; j < 2; ++j) {
      for (int f = 0; f < pairs; ++f) {
        const int pair = j * pairs + f;
        converted.frequencies()[static_cast<size_t>(l * keys / 2 + pair)] =
            plain.frequencies()[static_cast<size_t>(f)];
        for (int g = 0; g < 2; ++g) {
          const double angle = 0.3 + 0.1 * f + 0.5 * l;
          const double u = g == j ? std::cos(angle) : (g - j) * std::sin(angle);
          for (int half = 0; half < 2; ++half) {
            const int row = pair + half * 2 * pairs, column = f + half * pairs;
            set(to[b + "attn_k.weight"], row, g * d + column, u);
            for (int h = g * shape.heads / 2; h < (g + 1) * shape.heads / 2; ++h) {
              set(to[b + "attn_q_rope.weight"], h * keys + row, column, u);
            }
          }
        }
      }
    }
    const TinyModel::Tensor& values = plain.tensors()[b + "attn_v.weight"];
    for (int i = 0; i < keys; ++i) {
      for (int j = 0; j < shape.embedding; ++j) {
        set(to[b + "attn_kv_a.weight"], i, j,
            values.data[static_cast<size_t>(i * shape.embedding + j)]);
      }
      set(to[b + "attn_v_b.weight"], i, i, 1);
    }
  }
  const std::vector<int32_t> tokens = Tokens(21, shape.vocabulary, 12);
  const std::vector<std::vector<double>> expected = plain.Forward(tokens);
  for (int32_t prefill : {MLA_PREFILL_ABSORBED, MLA_PREFILL_EXPANDED}) {
    std::unique_ptr<Decoder> decoder = NewDecoder(converted, prefill, 2, CacheType::kF32);
    ASSERT_NE(decoder, nullptr);
    std::vector<float> logits(tokens.size() * static_cast<size_t>(shape.vocabulary));
    ASSERT_TRUE(
        decoder->Append(tokens.data(), 21, Decoder::Output::kAll, logits.data(), nullptr, kGoOn)
            .ok());
    EXPECT_LT(Difference(expected, logits), 1e-3) << "prefill " << prefill;
  }
}

// Longer than a page, a context split and a chunk: one prompt in chunks equals the same tokens one
// by one.
TEST(DecoderTest, LongPromptEqualsSteps) {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.rope_dim = 6;
  shape.layers = 1;
  const TinyModel model(shape, 8);
  const std::vector<int32_t> tokens = Tokens(700, shape.vocabulary, 8);
  std::vector<float> once(static_cast<size_t>(shape.vocabulary)), steps(once);
  std::unique_ptr<Decoder> prompt = NewDecoder(model, MLA_PREFILL_AUTO, 2, CacheType::kF32, 700);
  std::unique_ptr<Decoder> single = NewDecoder(model, MLA_PREFILL_AUTO, 2, CacheType::kF32, 700);
  ASSERT_TRUE(
      prompt->Append(tokens.data(), 700, Decoder::Output::kLast, once.data(), nullptr, kGoOn).ok());
  for (int32_t token : tokens) {
    ASSERT_TRUE(
        single->Append(&token, 1, Decoder::Output::kLast, steps.data(), nullptr, kGoOn).ok());
  }
  for (size_t v = 0; v < once.size(); ++v) EXPECT_NEAR(once[v], steps[v], 2e-3);
}

// Logits of all tokens, appended in parts of so many.
std::vector<float> InParts(const TinyModel& model, const CacheOptions& cache, int32_t prefill,
                           const std::vector<int32_t>& tokens, int32_t part) {
  const int32_t n = static_cast<int32_t>(tokens.size());
  std::unique_ptr<Decoder> decoder = NewDecoder(model, prefill, 2, cache, n);
  std::vector<float> logits(tokens.size() * 61);
  for (int32_t done = 0; done < n; done += part) {
    EXPECT_TRUE(decoder
                    ->Append(tokens.data() + done, std::min(part, n - done), Decoder::Output::kAll,
                             logits.data() + int64_t{done} * 61, nullptr, kGoOn)
                    .ok());
  }
  return logits;
}

double Largest(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(double{a[i]} - b[i]));
  return largest;
}

// Which tokens a query reads in f16 depends on its position alone, not on how they were appended.
TEST(DecoderTest, AWindowDoesNotDependOnTheParts) {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.rope_dim = 6;
  const TinyModel model(shape, 8);
  const std::vector<int32_t> tokens = Tokens(500, shape.vocabulary, 8);
  for (int32_t prefill : {MLA_PREFILL_ABSORBED, MLA_PREFILL_EXPANDED}) {
    const CacheOptions windowed = Of(CacheType::kInt2, 100, 4);
    const std::vector<float> small = InParts(model, windowed, prefill, tokens, 3);
    for (int32_t part : {7, 64, 130, 500}) {
      // Two levels lie so close that a last bit decides between them.
      EXPECT_LT(Largest(small, InParts(model, windowed, prefill, tokens, part)), 2e-2)
          << "prefill " << prefill << ", part " << part;
    }
    const std::vector<float> none = InParts(model, Of(CacheType::kInt2), prefill, tokens, 3);
    EXPECT_GT(Largest(small, none), 0.2) << "the window does nothing";
    const std::vector<float> all = InParts(model, Of(CacheType::kInt2, 500), prefill, tokens, 130);
    const std::vector<float> half = InParts(model, Of(CacheType::kF16), prefill, tokens, 130);
    EXPECT_EQ(Largest(all, half), 0) << "a window over all tokens is an f16 cache";
  }
}

// A decoder of these tokens, and a long append to it that was cancelled after so long; null where
// the append was done before.
std::unique_ptr<Decoder> Cancelled(const TinyModel& model, const CacheOptions& cache,
                                   const std::vector<int32_t>& tokens, int32_t kept,
                                   std::chrono::microseconds after) {
  const int32_t n = static_cast<int32_t>(tokens.size());
  std::unique_ptr<Decoder> decoder = NewDecoder(model, 0, 2, cache, n);
  std::vector<float> logits(61);
  EXPECT_TRUE(
      decoder->Append(tokens.data(), kept, Decoder::Output::kLast, logits.data(), nullptr, kGoOn)
          .ok());
  std::atomic<bool> cancel = after.count() == 0;
  std::thread canceller([&] {
    std::this_thread::sleep_for(after);
    cancel = true;
  });
  const Status status = decoder->Append(tokens.data() + kept, n - kept, Decoder::Output::kLast,
                                        logits.data(), nullptr, cancel);
  canceller.join();
  if (status.ok()) return nullptr;
  EXPECT_EQ(status.code(), MLA_CANCELLED);
  return decoder;
}

// Among the later chunks, where pages of the window have been given back meanwhile, and before the
// first, which is always in time.
TEST(DecoderTest, ACancelledAppendKeepsTheWindow) {
  const TinyModel model(Plain("llama"), 11);
  const std::vector<int32_t> tokens = Tokens(1200, 61, 11);
  const CacheOptions windowed = Of(CacheType::kInt2, 30, 4);
  std::vector<float> expected(61), after(61);
  std::unique_ptr<Decoder> other = NewDecoder(model, 0, 2, windowed, 1200);
  ASSERT_TRUE(
      other->Append(tokens.data(), 100, Decoder::Output::kLast, expected.data(), nullptr, kGoOn)
          .ok());
  ASSERT_TRUE(
      other->Append(tokens.data() + 100, 1, Decoder::Output::kLast, expected.data(), nullptr, kGoOn)
          .ok());
  int cancelled = 0;
  for (int64_t microseconds : {20000, 10000, 5000, 2000, 1000, 500, 0}) {
    std::unique_ptr<Decoder> decoder =
        Cancelled(model, windowed, tokens, 100, std::chrono::microseconds(microseconds));
    if (decoder == nullptr) continue;
    ++cancelled;
    EXPECT_EQ(decoder->length(), 100);
    ASSERT_TRUE(
        decoder
            ->Append(tokens.data() + 100, 1, Decoder::Output::kLast, after.data(), nullptr, kGoOn)
            .ok());
    EXPECT_EQ(after, expected) << "cancelled after " << microseconds << " us";
  }
  EXPECT_GE(cancelled, 1);
}

TEST(DecoderTest, ScoresAreLogProbabilitiesOfTheNextToken) {
  const TinyShape shape = Plain("llama");
  const TinyModel model(shape, 9);
  const std::vector<int32_t> tokens = Tokens(40, shape.vocabulary, 9);
  std::unique_ptr<Decoder> decoder = NewDecoder(model, MLA_PREFILL_AUTO, 2, CacheType::kF32);
  const size_t vocabulary = static_cast<size_t>(shape.vocabulary);
  std::vector<float> all(tokens.size() * vocabulary), last(vocabulary), scores(tokens.size() - 1);
  ASSERT_TRUE(
      decoder->Append(tokens.data(), 40, Decoder::Output::kAll, all.data(), nullptr, kGoOn).ok());
  decoder->Rewind(0);
  ASSERT_TRUE(
      decoder
          ->Append(tokens.data(), 40, Decoder::Output::kScores, last.data(), scores.data(), kGoOn)
          .ok());
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    double sum = 0;
    for (size_t v = 0; v < vocabulary; ++v) sum += std::exp(double{all[i * vocabulary + v]});
    EXPECT_NEAR(scores[i], all[i * vocabulary + static_cast<size_t>(tokens[i + 1])] - std::log(sum),
                1e-4);
  }
  for (size_t v = 0; v < vocabulary; ++v) EXPECT_NEAR(last[v], all[39 * vocabulary + v], 1e-5);
}

// Few rows are shared out operation by operation; of many each thread has its own (RowShare).
TEST(DecoderTest, ThreadsDoNotChangeResults) {
  TinyShape joint;
  joint.compression = Compression::kJoint;
  joint.rope_dim = 6;
  TinyShape scaled = joint;  // keys are reconstructed for their norm
  scaled.norms = true;
  for (const TinyShape& shape : {Plain("llama"), Plain("qwen3"), joint, scaled}) {
    const TinyModel model(shape, 10);
    for (int32_t prefill : {MLA_PREFILL_ABSORBED, MLA_PREFILL_EXPANDED}) {
      for (int32_t n : {30, 250}) {
        const std::vector<int32_t> tokens = Tokens(n, 61, 10);
        std::vector<float> one(static_cast<size_t>(61 * n)), many(one);
        const auto run = [&](int threads, std::vector<float>& logits) {
          ASSERT_TRUE(
              NewDecoder(model, prefill, threads, CacheType::kF16, n)
                  ->Append(tokens.data(), n, Decoder::Output::kAll, logits.data(), nullptr, kGoOn)
                  .ok());
        };
        run(1, one);
        for (bool loose : {false, true}) {
          ThreadPool::Shared().LoosenTeams(loose);
          for (int threads : {2, 3, 4}) {
            std::fill(many.begin(), many.end(), 0.0f);
            run(threads, many);
            EXPECT_EQ(one, many) << n << " tokens, " << threads << " threads, prefill " << prefill
                                 << (loose ? ", loose" : "");
          }
        }
        ThreadPool::Shared().LoosenTeams(false);
      }
    }
  }
}

// Token by token, as members prepare a single row each for itself, or a loose team once.
TEST(DecoderTest, ALooseTeamDecodesTheSame) {
  TinyShape joint;
  joint.compression = Compression::kJoint;
  joint.rope_dim = 6;
  for (const TinyShape& shape : {Plain("llama"), Plain("qwen3"), joint}) {
    const TinyModel model(shape, 10);
    const std::vector<int32_t> tokens = Tokens(90, 61, 10);
    std::vector<float> found[2];
    for (bool loose : {false, true}) {
      ThreadPool::Shared().LoosenTeams(loose);
      const std::unique_ptr<Decoder> decoder = NewDecoder(model, 0, 3, CacheType::kInt4, 90);
      std::vector<float> logits(61);
      for (const int32_t token : tokens) {
        ASSERT_TRUE(
            decoder->Append(&token, 1, Decoder::Output::kLast, logits.data(), nullptr, kGoOn).ok());
        found[loose].insert(found[loose].end(), logits.begin(), logits.end());
      }
    }
    ThreadPool::Shared().LoosenTeams(false);
    EXPECT_EQ(found[0], found[1]);
  }
}

TEST(DecoderTest, APromptOfRowsOfTheirOwnIsCancelled) {
  const TinyModel model(Plain("llama"), 12);
  const std::vector<int32_t> tokens = Tokens(250, 61, 12);
  std::unique_ptr<Decoder> decoder = NewDecoder(model, 0, 3, CacheType::kF16);
  Profile profile(3);
  decoder->set_profile(&profile);
  std::vector<float> logits(61), expected(61);
  const std::atomic<bool> cancelled = true;
  ThreadPool::Shared().LoosenTeams(true);
  EXPECT_EQ(
      NewDecoder(model, 0, 3, CacheType::kF16)
          ->Append(tokens.data(), 250, Decoder::Output::kLast, logits.data(), nullptr, cancelled)
          .code(),
      MLA_CANCELLED);
  ThreadPool::Shared().LoosenTeams(false);
  EXPECT_EQ(
      decoder->Append(tokens.data(), 250, Decoder::Output::kLast, logits.data(), nullptr, cancelled)
          .code(),
      MLA_CANCELLED);
  EXPECT_EQ(decoder->length(), 0);
  EXPECT_GT(profile.row(Operation::kNorm).seconds, 0);
  EXPECT_EQ(profile.row(Operation::kDownProjection).seconds, 0) << "it went on";
  decoder->set_profile(nullptr);
  for (const auto& [threads, out] : {std::pair{3, &logits}, std::pair{1, &expected}}) {
    std::unique_ptr<Decoder> fresh = NewDecoder(model, 0, threads, CacheType::kF16);
    Decoder& used = threads == 3 ? *decoder : *fresh;
    ASSERT_TRUE(
        used.Append(tokens.data(), 250, Decoder::Output::kLast, out->data(), nullptr, kGoOn).ok());
  }
  EXPECT_EQ(logits, expected);
}

TEST(DecoderTest, FullContextAndCancelLeaveTheSequenceAsItWas) {
  const TinyModel model(Plain("llama"), 11);
  const std::vector<int32_t> tokens = Tokens(20, 61, 11);
  std::unique_ptr<Decoder> decoder = NewDecoder(model, 0, 2, CacheType::kF16, 16);
  std::vector<float> before(61), after(61);
  ASSERT_TRUE(
      decoder->Append(tokens.data(), 10, Decoder::Output::kLast, before.data(), nullptr, kGoOn)
          .ok());
  const Status full =
      decoder->Append(tokens.data(), 7, Decoder::Output::kLast, after.data(), nullptr, kGoOn);
  EXPECT_EQ(full.code(), MLA_CONTEXT_FULL);
  EXPECT_NE(full.message().find("16"), std::string::npos);
  const std::atomic<bool> cancelled = true;
  EXPECT_EQ(
      decoder->Append(tokens.data(), 3, Decoder::Output::kLast, after.data(), nullptr, cancelled)
          .code(),
      MLA_CANCELLED);
  EXPECT_EQ(decoder->length(), 10);
  // The next token sees the same sequence as in a decoder that nothing happened to.
  std::unique_ptr<Decoder> other = NewDecoder(model, 0, 2, CacheType::kF16, 16);
  std::vector<float> expected(61);
  ASSERT_TRUE(
      other->Append(tokens.data(), 10, Decoder::Output::kLast, expected.data(), nullptr, kGoOn)
          .ok());
  ASSERT_TRUE(
      other->Append(tokens.data() + 10, 1, Decoder::Output::kLast, expected.data(), nullptr, kGoOn)
          .ok());
  ASSERT_TRUE(
      decoder->Append(tokens.data() + 10, 1, Decoder::Output::kLast, after.data(), nullptr, kGoOn)
          .ok());
  EXPECT_EQ(after, expected);
}

}  // namespace
}  // namespace mla
