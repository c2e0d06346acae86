#include "runtime/session.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <thread>

#include "graph/tiny_model_testing.h"
#include "tensor/status_testing.h"

namespace mla {
namespace {

std::shared_ptr<const Weights> TinyWeights() {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.rope_dim = 6;
  Result<std::shared_ptr<const Weights>> weights = Weights::Load(TinyModel(shape, 21).File());
  EXPECT_TRUE(weights.ok()) << weights.status().message();
  return weights.value();
}

std::shared_ptr<Session> NewSession(const std::shared_ptr<const Weights>& weights,
                                    int32_t context = 64, int32_t threads = 2) {
  DecoderOptions options;
  options.context_length = context;
  options.threads = threads;
  Result<std::shared_ptr<Session>> session = Session::Create(weights, options);
  EXPECT_TRUE(session.ok()) << session.status().message();
  return session.value();
}

std::vector<int32_t> Tokens(int32_t n) {
  std::vector<int32_t> tokens(n);
  for (int32_t i = 0; i < n; ++i) tokens[i] = (i * 17 + 5) % 61;
  return tokens;
}

std::vector<float> LogitsOf(Session& session) {
  std::vector<float> logits(61);
  const Status status = session.Logits(logits.data(), 61);
  EXPECT_TRUE(status.ok()) << status.message();
  return logits;
}

std::vector<int32_t> Generate(Session& session, int32_t n) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < n; ++i) tokens.push_back(session.Next(nullptr).value());
  return tokens;
}

TEST(Session, OptionsOutsideTheirRangeAreRefused) {
  const auto weights = TinyWeights();
  const auto create = [&](int32_t context, int32_t threads) {
    DecoderOptions options;
    options.context_length = context;
    options.threads = threads;
    return Session::Create(weights, options).status();
  };
  EXPECT_STATUS(create(0, 1), MLA_INVALID_ARGUMENT,
                "context_length is 0, expected 1 to the model's 4096");
  EXPECT_STATUS(create(4097, 1), MLA_INVALID_ARGUMENT, "4097");
  EXPECT_STATUS(create(16, 0), MLA_INVALID_ARGUMENT, "threads is 0");
  EXPECT_STATUS(create(16, 1025), MLA_INVALID_ARGUMENT, "1024");
}

TEST(Session, TokensAreCheckedByPositionAndValue) {
  const auto session = NewSession(TinyWeights());
  EXPECT_STATUS(session->Append(nullptr, 0), MLA_INVALID_ARGUMENT, "number of tokens is 0");
  EXPECT_STATUS(session->Append(nullptr, -3), MLA_INVALID_ARGUMENT, "-3");
  const std::vector<int32_t> high{1, 2, 61};
  EXPECT_STATUS(session->Append(high.data(), 3), MLA_INVALID_ARGUMENT,
                "token 2 of 3 is 61, expected an id from 0 to 60");
  const int32_t negative = -1;
  EXPECT_STATUS(session->Append(&negative, 1), MLA_INVALID_ARGUMENT, "token 0 of 1 is -1");
  EXPECT_EQ(session->Length().value(), 0);
}

TEST(Session, AFullContextNamesTheNumbersAndChangesNothing) {
  const auto session = NewSession(TinyWeights(), 16);
  const std::vector<int32_t> tokens = Tokens(17);
  EXPECT_STATUS(session->Append(tokens.data(), 17), MLA_CONTEXT_FULL, "17");
  ASSERT_TRUE(session->Append(tokens.data(), 14).ok());
  const std::vector<float> before = LogitsOf(*session);
  EXPECT_STATUS(session->Append(tokens.data(), 3), MLA_CONTEXT_FULL, "16");
  EXPECT_EQ(session->Length().value(), 14);
  EXPECT_EQ(LogitsOf(*session), before);
  // Next samples from the last logits, appends 2 tokens, and its third append does not fit, however
  // often it is tried.
  Generate(*session, 3);
  EXPECT_STATUS(session->Next(nullptr).status(), MLA_CONTEXT_FULL, "16");
  EXPECT_STATUS(session->Next(nullptr).status(), MLA_CONTEXT_FULL, "16");
  EXPECT_EQ(session->Length().value(), 16);
}

TEST(Session, TheWaysToAppendAgree) {
  const auto weights = TinyWeights();
  const std::vector<int32_t> tokens = Tokens(12);
  const auto plain = NewSession(weights), all = NewSession(weights), scored = NewSession(weights);
  std::vector<float> logits(12 * 61), scores(11);
  ASSERT_TRUE(plain->Append(tokens.data(), 12).ok());
  ASSERT_TRUE(all->AppendAll(tokens.data(), 12, logits.data(), 12 * 61).ok());
  ASSERT_TRUE(scored->AppendScored(tokens.data(), 12, scores.data(), 11).ok());
  const std::vector<float> last = LogitsOf(*plain);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), logits.end() - 61));
  for (int v = 0; v < 61; ++v) {
    EXPECT_NEAR(LogitsOf(*all)[v], last[v], 1e-5);
    EXPECT_NEAR(LogitsOf(*scored)[v], last[v], 1e-5);
  }
  for (float score : scores) EXPECT_LT(score, 0);
}

TEST(Session, BuffersThatAreTooSmallAreRefusedBeforeAnythingRuns) {
  const auto session = NewSession(TinyWeights());
  const std::vector<int32_t> tokens = Tokens(4);
  std::vector<float> buffer(4 * 61);
  EXPECT_STATUS(session->AppendAll(tokens.data(), 4, buffer.data(), 4 * 61 - 1),
                MLA_INVALID_ARGUMENT, "holds 243 floats, expected at least 244");
  EXPECT_STATUS(session->AppendScored(tokens.data(), 4, buffer.data(), 2), MLA_INVALID_ARGUMENT,
                "at least 3");
  EXPECT_EQ(session->Length().value(), 0);
  ASSERT_TRUE(session->Append(tokens.data(), 4).ok());
  EXPECT_STATUS(session->Logits(buffer.data(), 60), MLA_INVALID_ARGUMENT, "at least 61");
  EXPECT_STATUS(session->Logits(buffer.data(), -1), MLA_INVALID_ARGUMENT, "holds -1");
}

TEST(Session, WithoutLogitsThereIsNothingToSample) {
  const auto session = NewSession(TinyWeights());
  float logits[61];
  EXPECT_STATUS(session->Sample(nullptr).status(), MLA_INVALID_ARGUMENT, "append a token first");
  EXPECT_STATUS(session->Next(nullptr).status(), MLA_INVALID_ARGUMENT, "append a token first");
  EXPECT_STATUS(session->Logits(logits, 61), MLA_INVALID_ARGUMENT, "append a token first");
  const std::vector<int32_t> tokens = Tokens(3);
  ASSERT_TRUE(session->Append(tokens.data(), 3).ok());
  ASSERT_TRUE(session->Rewind(3).ok());
  EXPECT_STATUS(session->Sample(nullptr).status(), MLA_INVALID_ARGUMENT, "append a token first");
}

TEST(Session, NextEqualsSampleAndAppend) {
  const auto weights = TinyWeights();
  const auto one = NewSession(weights), other = NewSession(weights);
  SamplerOptions sampler;
  sampler.temperature = 1;
  sampler.repetition_penalty = 1.5f;
  sampler.seed = 3;
  const std::vector<int32_t> prompt = Tokens(5);
  for (const auto& session : {one, other}) {
    ASSERT_TRUE(session->SetSampler(sampler).ok());
    ASSERT_TRUE(session->Append(prompt.data(), 5).ok());
  }
  for (int i = 0; i < 20; ++i) {
    float p = 0, q = 0;
    const int32_t token = other->Sample(&q).value();
    EXPECT_EQ(one->Next(&p).value(), token);
    EXPECT_FLOAT_EQ(p, q);
    EXPECT_EQ(one->Length().value(), 5 + i);  // the token that was given is not appended yet
    ASSERT_TRUE(other->Append(&token, 1).ok());
  }
  // An append of the caller's own takes the place of the pending token.
  ASSERT_TRUE(one->Append(prompt.data(), 1).ok());
  EXPECT_EQ(one->Length().value(), 25);
}

// The window's tokens of an earlier position are gone from the cache: they are evaluated anew.
TEST(Session, ADeepRewindOfAWindowEqualsAFreshSession) {
  const auto weights = TinyWeights();
  DecoderOptions options;
  options.context_length = 400;
  options.threads = 2;
  // The expanded form meets packed latents with queries that are not rounded.
  options.prefill = MLA_PREFILL_ABSORBED;
  options.activations = Activations::kFine;
  options.cache.latent = options.cache.rope = CacheType::kInt2;
  options.cache.residual = 20;
  options.cache.sink = 2;
  const std::vector<int32_t> tokens = Tokens(400);
  std::shared_ptr<Session> session = Session::Create(weights, options).value();
  ASSERT_TRUE(session->Append(tokens.data(), 300).ok());
  std::mt19937 random(4);
  for (int32_t length : {290, 100, 40, 39, 300, 64, 0, 10}) {
    const int32_t kept = std::min(length, session->Length().value());
    ASSERT_TRUE(session->Rewind(kept).ok());
    EXPECT_EQ(session->Length().value(), kept);
    if (random() % 2 == 0) {
      ASSERT_TRUE(session->Rewind(kept / 2).ok()) << "before anything was evaluated anew";
    }
    const int32_t from = session->Length().value();
    const int32_t n = 1 + static_cast<int32_t>(random() % 90);
    ASSERT_TRUE(session->Append(tokens.data() + from, n).ok());
    std::shared_ptr<Session> fresh = Session::Create(weights, options).value();
    ASSERT_TRUE(fresh->Append(tokens.data(), from + n).ok());
    EXPECT_EQ(session->Length().value(), from + n);
    const std::vector<float> actual = LogitsOf(*session), expected = LogitsOf(*fresh);
    for (size_t v = 0; v < expected.size(); ++v) EXPECT_NEAR(actual[v], expected[v], 2e-3);
  }
}

TEST(Session, RewindForgetsAndRepeats) {
  const auto session = NewSession(TinyWeights());
  const std::vector<int32_t> prompt = Tokens(9);
  ASSERT_TRUE(session->Append(prompt.data(), 9).ok());
  const std::vector<int32_t> first = Generate(*session, 12);
  EXPECT_STATUS(session->Rewind(-1), MLA_INVALID_ARGUMENT, "-1, expected 0 to 20");
  EXPECT_STATUS(session->Rewind(21), MLA_INVALID_ARGUMENT, "21, expected 0 to 20");
  ASSERT_TRUE(session->Rewind(8).ok());
  EXPECT_EQ(session->Length().value(), 8);
  ASSERT_TRUE(session->Append(&prompt[8], 1).ok());
  EXPECT_EQ(Generate(*session, 12), first);
  ASSERT_TRUE(session->Rewind(0).ok());
  ASSERT_TRUE(session->Append(prompt.data(), 9).ok());
  EXPECT_EQ(Generate(*session, 12), first);
}

TEST(Session, TheSamplerSeesTheSequenceAndRestartsWhenSet) {
  const auto session = NewSession(TinyWeights());
  SamplerOptions sampler;
  sampler.temperature = 2;
  sampler.seed = 11;
  const std::vector<int32_t> prompt = Tokens(5);
  ASSERT_TRUE(session->SetSampler(sampler).ok());
  ASSERT_TRUE(session->Append(prompt.data(), 5).ok());
  const std::vector<int32_t> first = Generate(*session, 10);
  ASSERT_TRUE(session->Rewind(4).ok());
  ASSERT_TRUE(session->SetSampler(sampler).ok());
  ASSERT_TRUE(session->Append(&prompt[4], 1).ok());
  EXPECT_EQ(Generate(*session, 10), first);
  sampler.temperature = -1;
  EXPECT_STATUS(session->SetSampler(sampler), MLA_INVALID_ARGUMENT, "temperature");
  // A penalty that forbids all that was seen: greedy never repeats itself.
  SamplerOptions penalty;
  penalty.repetition_penalty = 1e6f;
  penalty.repetition_window = -1;
  for (int32_t t = 0; t < 61; ++t) penalty.bias.push_back({t, 100});
  ASSERT_TRUE(session->Rewind(0).ok());
  ASSERT_TRUE(session->SetSampler(penalty).ok());
  ASSERT_TRUE(session->Append(prompt.data(), 1).ok());
  std::vector<int32_t> all = Generate(*session, 60);
  all.push_back(prompt[0]);
  std::sort(all.begin(), all.end());
  std::vector<int32_t> each(61);
  std::iota(each.begin(), each.end(), 0);
  EXPECT_EQ(all, each);
}

TEST(Session, MemoryIsReported) {
  const auto session = NewSession(TinyWeights());
  const std::vector<int32_t> tokens = Tokens(3);
  ASSERT_TRUE(session->Append(tokens.data(), 3).ok());
  const Session::Memory memory = session->MemoryUse().value();
  EXPECT_GT(memory.cache_bytes, 0);
  EXPECT_GT(memory.workspace_bytes, 0);
}

TEST(Session, AProfileHasSamplingAndStartsFromNothing) {
  const auto session = NewSession(TinyWeights());
  const std::vector<int32_t> tokens = Tokens(5);
  EXPECT_STATUS(session->ProfileSoFar().status(), MLA_INVALID_ARGUMENT, "not profiled");
  ASSERT_TRUE(session->SetProfiling(true).ok());
  ASSERT_TRUE(session->Append(tokens.data(), 5).ok());
  Generate(*session, 8);
  const Profile profile = session->ProfileSoFar().value();
  EXPECT_EQ(profile.tokens(), 5 + 7);  // the last one drawn is not appended yet
  double sum = 0;
  for (size_t o = 0; o < kOperations; ++o) {
    const Profile::Row row = profile.row(static_cast<Operation>(o));
    EXPECT_GT(row.seconds, 0) << OperationName(static_cast<Operation>(o));
    sum += row.seconds + row.waiting_seconds;
  }
  EXPECT_LE(sum, profile.seconds());
  ASSERT_TRUE(session->SetProfiling(true).ok());
  EXPECT_EQ(session->ProfileSoFar().value().tokens(), 0);
  EXPECT_EQ(session->ProfileSoFar().value().seconds(), 0);
  const auto fork = session->Fork().value();
  EXPECT_STATUS(fork->ProfileSoFar().status(), MLA_INVALID_ARGUMENT, "not profiled");
  ASSERT_TRUE(session->SetProfiling(false).ok());
  EXPECT_STATUS(session->ProfileSoFar().status(), MLA_INVALID_ARGUMENT, "not profiled");
  EXPECT_TRUE(session->Next(nullptr).ok());
}

TEST(Session, WorkIsCountedWithinTheContext) {
  const auto session = NewSession(TinyWeights(), 64);
  const Work one = session->CountWork(0, 1).value();
  const Work deep = session->CountWork(63, 1).value();
  EXPECT_GT(one.weight_bytes, 0);
  EXPECT_EQ(deep.weight_bytes, one.weight_bytes);
  EXPECT_GT(deep.cache_bytes, one.cache_bytes);
  EXPECT_STATUS(session->CountWork(64, 1).status(), MLA_INVALID_ARGUMENT, "context of 64");
  EXPECT_STATUS(session->CountWork(-1, 1).status(), MLA_INVALID_ARGUMENT, "after -1");
  EXPECT_STATUS(session->CountWork(0, 0).status(), MLA_INVALID_ARGUMENT, "0 tokens");
  EXPECT_STATUS(session->CountWork(0, 65).status(), MLA_INVALID_ARGUMENT, "65 tokens");
  session->Close();
  EXPECT_STATUS(session->CountWork(0, 1).status(), MLA_CLOSED, "closed");
}

TEST(Session, CancelWaitsForTheNextDecodeAndIsThenForgotten) {
  const auto session = NewSession(TinyWeights());
  const std::vector<int32_t> tokens = Tokens(3);
  session->Cancel();
  EXPECT_STATUS(session->Append(tokens.data(), 3), MLA_CANCELLED, "cancelled");
  ASSERT_TRUE(session->Append(tokens.data(), 3).ok());
  session->Cancel();
  EXPECT_TRUE(session->Sample(nullptr).ok());  // decodes nothing
  EXPECT_STATUS(session->Next(nullptr).status(), MLA_CANCELLED, "cancelled");
  const int32_t first = session->Next(nullptr).value();
  session->Cancel();
  EXPECT_STATUS(session->Next(nullptr).status(), MLA_CANCELLED, "cancelled");
  EXPECT_EQ(session->Length().value(), 3);
  const auto other = NewSession(TinyWeights());
  ASSERT_TRUE(other->Append(tokens.data(), 3).ok());
  EXPECT_EQ(other->Next(nullptr).value(), first);
  EXPECT_EQ(other->Next(nullptr).value(), session->Next(nullptr).value());
}

// Appends and rewinds until a call fails, and gives its status.
Status KeepAppending(Session& session) {
  const std::vector<int32_t> tokens = Tokens(1000);
  for (;;) {
    if (Status status = session.Append(tokens.data(), 1000); !status.ok()) return status;
    if (Status status = session.Rewind(0); !status.ok()) return status;
  }
}

TEST(Session, CancelFromAnotherThreadStopsTheRunningAppend) {
  for (int32_t threads : {1, 2}) {
    const auto session = NewSession(TinyWeights(), 1000, threads);
    Status status;
    std::thread worker([&] { status = KeepAppending(*session); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    session->Cancel();
    worker.join();
    EXPECT_STATUS(status, MLA_CANCELLED, "cancelled");
    EXPECT_EQ(session->Length().value(), 0);
    const std::vector<int32_t> tokens = Tokens(3);
    EXPECT_TRUE(session->Append(tokens.data(), 3).ok());
  }
}

TEST(Session, CloseStopsTheRunningAppendAndRefusesTheWaitingOnes) {
  const auto session = NewSession(TinyWeights(), 1000);
  Status statuses[4];
  std::vector<std::thread> workers;
  for (Status& status : statuses) {
    workers.emplace_back([&] { status = KeepAppending(*session); });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  session->Close();
  session->Close();
  for (std::thread& worker : workers) worker.join();
  for (const Status& status : statuses) {
    // One may have met the other's tokens: full. All that met the close were refused.
    EXPECT_TRUE(status.code() == MLA_CLOSED || status.code() == MLA_CONTEXT_FULL)
        << status.message();
  }
  const std::vector<int32_t> tokens = Tokens(3);
  float logits[61];
  EXPECT_STATUS(session->Append(tokens.data(), 3), MLA_CLOSED, "closed");
  EXPECT_STATUS(session->Next(nullptr).status(), MLA_CLOSED, "closed");
  EXPECT_STATUS(session->Sample(nullptr).status(), MLA_CLOSED, "closed");
  EXPECT_STATUS(session->Rewind(0), MLA_CLOSED, "closed");
  EXPECT_STATUS(session->Logits(logits, 61), MLA_CLOSED, "closed");
  EXPECT_STATUS(session->SetSampler({}), MLA_CLOSED, "closed");
  EXPECT_STATUS(session->Length().status(), MLA_CLOSED, "closed");
  EXPECT_STATUS(session->MemoryUse().status(), MLA_CLOSED, "closed");
}

}  // namespace
}  // namespace mla
