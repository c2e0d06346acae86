// Sessions that generate together against the same sessions alone.
#include "runtime/batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "cache/cache_testing.h"
#include "gguf/gguf_file.h"
#include "graph/tiny_model_testing.h"
#include "tensor/status_testing.h"

namespace mla {
namespace {

std::shared_ptr<const Weights> TinyWeights(uint32_t seed = 21) {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.rope_dim = 6;
  Result<std::shared_ptr<const Weights>> weights = Weights::Load(TinyModel(shape, seed).File());
  EXPECT_TRUE(weights.ok()) << weights.status().message();
  return weights.value();
}

std::shared_ptr<Session> NewSession(const std::shared_ptr<const Weights>& weights,
                                    int32_t context = 256,
                                    const CacheOptions& cache = Of(CacheType::kF16)) {
  DecoderOptions options;
  options.context_length = context;
  options.threads = 1;
  options.cache = cache;
  Result<std::shared_ptr<Session>> session = Session::Create(weights, options);
  EXPECT_TRUE(session.ok()) << session.status().message();
  return session.value();
}

std::shared_ptr<Batch> NewBatch(const std::shared_ptr<const Weights>& weights, int32_t max_sessions,
                                int32_t threads = 2) {
  BatchOptions options;
  options.max_sessions = max_sessions;
  options.threads = threads;
  Result<std::shared_ptr<Batch>> batch = Batch::Create(weights, options);
  EXPECT_TRUE(batch.ok()) << batch.status().message();
  return batch.value();
}

std::vector<int32_t> Prompt(int32_t n, int32_t vocabulary = 61) {
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  for (int32_t i = 0; i < n; ++i) tokens[static_cast<size_t>(i)] = (i * 17 + n) % vocabulary;
  return tokens;
}

void Append(Session& session, const std::vector<int32_t>& tokens) {
  const Status status = session.Append(tokens.data(), static_cast<int32_t>(tokens.size()));
  ASSERT_TRUE(status.ok()) << status.message();
}

std::vector<float> LogitsOf(Session& session, int32_t vocabulary = 61) {
  std::vector<float> logits(static_cast<size_t>(vocabulary));
  const Status status = session.Logits(logits.data(), vocabulary);
  EXPECT_TRUE(status.ok()) << status.message();
  return logits;
}

std::vector<int32_t> TokensOf(Session& session) {
  std::vector<int32_t> tokens(static_cast<size_t>(session.Length().value()));
  EXPECT_TRUE(session.Tokens(tokens.data(), static_cast<int64_t>(tokens.size())).ok());
  return tokens;
}

std::vector<Batch::Turn> Turns(std::vector<std::shared_ptr<Session>> sessions) {
  std::vector<Batch::Turn> turns;
  for (auto& session : sessions) turns.push_back({std::move(session), {}, -1, 0});
  return turns;
}

// One step of all, each of which must do what its twin does alone.
void ExpectStep(Batch& batch, const std::vector<std::shared_ptr<Session>>& sessions,
                const std::vector<std::shared_ptr<Session>>& twins) {
  std::vector<Batch::Turn> turns = Turns(sessions);
  const Status status = batch.Next(turns);
  ASSERT_TRUE(status.ok()) << status.message();
  for (size_t i = 0; i < turns.size(); ++i) {
    float log_probability = 0;
    const Result<int32_t> alone = twins[i]->Next(&log_probability);
    ASSERT_EQ(turns[i].status.code(), alone.status().code()) << turns[i].status.message();
    if (!alone.ok()) continue;
    ASSERT_EQ(turns[i].token, alone.value()) << "session " << i;
    ASSERT_EQ(turns[i].log_probability, log_probability);
  }
}

TEST(Batch, OptionsOutsideTheirRangeAreRefused) {
  const auto weights = TinyWeights();
  const auto create = [&](int32_t max_sessions, int32_t threads) {
    BatchOptions options;
    options.max_sessions = max_sessions;
    options.threads = threads;
    return Batch::Create(weights, options).status();
  };
  EXPECT_STATUS(create(0, 1), MLA_INVALID_ARGUMENT, "max_sessions is 0, expected 1 to 1024");
  EXPECT_STATUS(create(1025, 1), MLA_INVALID_ARGUMENT, "1025");
  EXPECT_STATUS(create(1, 0), MLA_INVALID_ARGUMENT, "threads is 0, expected 1 to 1024");
  EXPECT_STATUS(create(1, 1025), MLA_INVALID_ARGUMENT, "1025");
}

// Of its own sampler, cache and length each; they come and go.
TEST(Batch, SessionsGenerateWhatTheyWouldAlone) {
  const auto weights = TinyWeights();
  const CacheOptions caches[] = {Of(CacheType::kF32), Of(CacheType::kF16), Of(CacheType::kInt8),
                                 Of(CacheType::kInt4, 20, 4)};
  std::vector<std::shared_ptr<Session>> sessions, twins;
  for (int32_t i = 0; i < 20; ++i) {
    SamplerOptions sampler;
    sampler.temperature = i % 3 == 0 ? 0.0f : 1.0f;
    sampler.repetition_penalty = i % 2 == 0 ? 1.0f : 1.3f;
    sampler.seed = static_cast<uint64_t>(i);
    for (auto* list : {&sessions, &twins}) {
      list->push_back(NewSession(weights, 256, caches[i % 4]));
      ASSERT_TRUE(list->back()->SetSampler(sampler).ok());
      ASSERT_NO_FATAL_FAILURE(Append(*list->back(), Prompt(1 + 7 * i)));
    }
  }
  const auto batch = NewBatch(weights, 17);
  std::mt19937 random(1);
  for (int step = 0; step < 40; ++step) {
    std::vector<std::shared_ptr<Session>> some, their_twins;
    for (size_t i = 0; i < sessions.size() && some.size() < 17; ++i) {
      if (step % 10 != 0 && random() % 3 == 0) continue;
      some.push_back(sessions[i]);
      their_twins.push_back(twins[i]);
    }
    ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, some, their_twins));
  }
  for (size_t i = 0; i < sessions.size(); ++i) {
    EXPECT_EQ(TokensOf(*sessions[i]), TokensOf(*twins[i]));
    EXPECT_EQ(LogitsOf(*sessions[i]), LogitsOf(*twins[i]));
  }
}

// What else a session can do goes on between steps.
TEST(Batch, RewindsForksAndAppendsBetweenSteps) {
  const auto weights = TinyWeights();
  const CacheOptions window = Of(CacheType::kInt2, 20, 2);
  std::vector<std::shared_ptr<Session>> sessions, twins;
  for (auto* list : {&sessions, &twins}) {
    for (int32_t i = 0; i < 3; ++i) {
      list->push_back(NewSession(weights, 400, window));
      ASSERT_NO_FATAL_FAILURE(Append(*list->back(), Prompt(200 + i)));
    }
  }
  const auto batch = NewBatch(weights, 4);
  ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, sessions, twins));
  ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, sessions, twins));
  for (auto* list : {&sessions, &twins}) {
    list->push_back((*list)[2]->Fork().value());
    // Deeper than the window: the next append evaluates what is left.
    ASSERT_TRUE((*list)[0]->Rewind(50).ok());
    ASSERT_NO_FATAL_FAILURE(Append(*(*list)[1], {5}));
  }
  // Without logits there is nothing to sample, together as alone.
  ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, sessions, twins));
  for (auto* list : {&sessions, &twins}) ASSERT_NO_FATAL_FAILURE(Append(*(*list)[0], {7}));
  for (int step = 0; step < 5; ++step) {
    ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, sessions, twins));
  }
  EXPECT_EQ(LogitsOf(*sessions[0]), LogitsOf(*twins[0]));
}

TEST(Batch, ErrorsOfTheWholeChangeNothing) {
  const auto weights = TinyWeights();
  const auto one = NewSession(weights), two = NewSession(weights);
  const auto foreign = NewSession(TinyWeights(22));
  for (const auto& session : {one, two, foreign}) {
    ASSERT_NO_FATAL_FAILURE(Append(*session, Prompt(3)));
  }
  const auto batch = NewBatch(weights, 2);
  const auto next = [&](std::vector<std::shared_ptr<Session>> sessions) {
    std::vector<Batch::Turn> turns = Turns(std::move(sessions));
    return batch->Next(turns);
  };
  EXPECT_STATUS(next({}), MLA_INVALID_ARGUMENT, "number of sessions is 0, expected 1 to");
  EXPECT_STATUS(next({one, two, foreign}), MLA_INVALID_ARGUMENT,
                "is 3, expected 1 to the batch's 2");
  EXPECT_STATUS(next({one, foreign}), MLA_INVALID_ARGUMENT, "session 1 of 2 is of another model");
  EXPECT_STATUS(next({two, two}), MLA_INVALID_ARGUMENT, "session 1 of 2 is session 0 again");
  EXPECT_TRUE(next({one, two}).ok());
  for (const auto& session : {one, two}) EXPECT_EQ(session->Length().value(), 3);
  EXPECT_TRUE(next({two, one}).ok());
  for (const auto& session : {one, two}) EXPECT_EQ(session->Length().value(), 4);
}

TEST(Batch, ASessionFailsAlone) {
  const auto weights = TinyWeights();
  std::vector<std::shared_ptr<Session>> sessions, twins;
  for (auto* list : {&sessions, &twins}) {
    for (int32_t i = 0; i < 6; ++i) list->push_back(NewSession(weights, i == 1 ? 5 : 64));
    for (int32_t i = 0; i < 5; ++i) ASSERT_NO_FATAL_FAILURE(Append(*(*list)[i], Prompt(5)));
  }
  const auto batch = NewBatch(weights, 6);
  ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, sessions, twins));
  const std::vector<float> before = LogitsOf(*sessions[2]);
  for (auto* list : {&sessions, &twins}) {
    (*list)[2]->Cancel();
    (*list)[3]->Close();
  }
  std::vector<Batch::Turn> turns = Turns(sessions);
  turns[4].session = nullptr;  // the caller knows why
  turns[4].status = Status(MLA_NOT_FOUND, "no such session");
  ASSERT_TRUE(batch->Next(turns).ok());
  EXPECT_TRUE(turns[0].status.ok());
  EXPECT_EQ(turns[0].token, twins[0]->Next(nullptr).value());
  EXPECT_STATUS(turns[1].status, MLA_CONTEXT_FULL, "the context of 5 tokens holds 5");
  EXPECT_STATUS(turns[2].status, MLA_CANCELLED, "cancelled");
  EXPECT_STATUS(turns[3].status, MLA_CLOSED, "closed");
  EXPECT_STATUS(turns[4].status, MLA_NOT_FOUND, "no such session");
  EXPECT_STATUS(turns[5].status, MLA_INVALID_ARGUMENT, "append a token first");
  for (size_t i = 1; i < 6; ++i) EXPECT_EQ(turns[i].token, -1);
  // As they were, and the cancelled one goes on.
  EXPECT_EQ(sessions[1]->Length().value(), 5);
  EXPECT_EQ(sessions[2]->Length().value(), 5);
  EXPECT_EQ(LogitsOf(*sessions[2]), before);
  EXPECT_EQ(twins[2]->Next(nullptr).status().code(), MLA_CANCELLED);
  for (int step = 0; step < 3; ++step) {
    ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, {sessions[2], sessions[0], sessions[4]},
                                       {twins[2], twins[0], twins[4]}));
  }
}

// A cancel and a close that come while steps run end their session's part, and nobody else's.
TEST(Batch, CancelAndCloseFromOtherThreads) {
  const auto weights = TinyWeights();
  std::vector<std::shared_ptr<Session>> sessions;
  for (int32_t i = 0; i < 4; ++i) {
    sessions.push_back(NewSession(weights, 2000));
    ASSERT_NO_FATAL_FAILURE(Append(*sessions.back(), Prompt(3)));
  }
  const auto batch = NewBatch(weights, 4);
  bool closed = false;
  int cancelled = 0;
  std::vector<int32_t> others;
  std::thread stepper([&] {
    while (!closed) {
      std::vector<Batch::Turn> turns = Turns(sessions);
      ASSERT_TRUE(batch->Next(turns).ok());
      ASSERT_TRUE(turns[0].status.ok() || turns[0].status.code() == MLA_CANCELLED);
      cancelled += !turns[0].status.ok();
      ASSERT_TRUE(turns[1].status.ok() || turns[1].status.code() == MLA_CLOSED);
      closed = turns[1].status.code() == MLA_CLOSED;
      for (size_t i : {size_t{2}, size_t{3}}) {
        ASSERT_TRUE(turns[i].status.ok()) << turns[i].status.message();
      }
      others.push_back(turns[2].token);
      ASSERT_EQ(turns[2].token, turns[3].token);
      for (const auto& session : {sessions[0], sessions[2], sessions[3]}) {
        if (session->Length().value() > 1990) {
          ASSERT_TRUE(session->Rewind(2).ok());
          ASSERT_NO_FATAL_FAILURE(Append(*session, {Prompt(3)[2]}));
        }
      }
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  sessions[0]->Cancel();
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  sessions[1]->Close();
  stepper.join();
  EXPECT_LE(cancelled, 1);
  const auto twin = NewSession(weights, 2000);
  ASSERT_NO_FATAL_FAILURE(Append(*twin, Prompt(3)));
  for (size_t i = 0; i < std::min<size_t>(others.size(), 1900); ++i) {
    ASSERT_EQ(others[i], twin->Next(nullptr).value()) << "token " << i;
  }
}

// Batches that have sessions in common, named in opposite orders, and single sessions' own calls.
TEST(Batch, OverlappingBatchesOfTwoThreadsDoNotMeetInADeadlock) {
  const auto weights = TinyWeights();
  std::vector<std::shared_ptr<Session>> sessions;
  for (int32_t i = 0; i < 6; ++i) {
    sessions.push_back(NewSession(weights, 1000));
    ASSERT_NO_FATAL_FAILURE(Append(*sessions.back(), Prompt(2 + i)));
  }
  const std::vector<std::vector<size_t>> members = {{0, 1, 2, 3}, {3, 2, 1, 4}, {5, 4, 3, 2, 1, 0}};
  const auto shared = NewBatch(weights, 6);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      // Two threads share a batch, two have one of their own.
      const auto batch = t < 2 ? shared : NewBatch(weights, 6, static_cast<int32_t>(t) - 1);
      for (int step = 0; step < 30; ++step) {
        std::vector<std::shared_ptr<Session>> some;
        for (size_t m : members[(t + static_cast<size_t>(step)) % 3]) some.push_back(sessions[m]);
        std::vector<Batch::Turn> turns = Turns(std::move(some));
        ASSERT_TRUE(batch->Next(turns).ok());
        for (const Batch::Turn& turn : turns) {
          ASSERT_TRUE(turn.status.ok()) << turn.status.message();
        }
        if (step % 7 == 0) {
          ASSERT_TRUE(sessions[t]->Next(nullptr).ok());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int32_t i = 0; i < 6; ++i) {
    const std::vector<int32_t> tokens = TokensOf(*sessions[static_cast<size_t>(i)]);
    const auto twin = NewSession(weights, 1000);
    ASSERT_NO_FATAL_FAILURE(Append(*twin, Prompt(2 + i)));
    while (twin->Length().value() < static_cast<int32_t>(tokens.size())) {
      ASSERT_TRUE(twin->Next(nullptr).ok());
    }
    EXPECT_EQ(tokens, TokensOf(*twin));
  }
}

TEST(Batch, AProfileIsOfTheStepsOfAll) {
  const auto weights = TinyWeights();
  const auto batch = NewBatch(weights, 3, 2);
  EXPECT_NE(batch->ProfileSoFar().status().message().find("not profiled"), std::string::npos);
  std::vector<std::shared_ptr<Session>> sessions, twins;
  for (const CacheType type : {CacheType::kF16, CacheType::kInt8, CacheType::kInt4}) {
    sessions.push_back(NewSession(weights, 256, Of(type)));
    ASSERT_NO_FATAL_FAILURE(Append(*sessions.back(), Prompt(9)));
    twins.push_back(sessions.back()->Fork().value());
  }
  batch->SetProfiling(true);
  for (int step = 0; step < 5; ++step) {
    ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, sessions, twins));
  }
  const Profile profile = batch->ProfileSoFar().value();
  EXPECT_EQ(profile.steps(), 4);  // the first drew from logits that were there
  EXPECT_EQ(profile.tokens(), 3 * 4);
  EXPECT_EQ(profile.members(), 2);
  double told = 0, cache_bytes = 0, expected_cache_bytes = 0;
  for (size_t o = 0; o < kOperations; ++o) {
    const Profile::Row row = profile.row(static_cast<Operation>(o));
    EXPECT_GT(row.seconds, 0) << OperationName(static_cast<Operation>(o));
    told += row.seconds + row.waiting_seconds;
    cache_bytes += row.work.cache_bytes;
  }
  EXPECT_LE(told, profile.seconds());
  for (const auto& session : sessions) {
    for (int32_t i = 0; i < 4; ++i) {
      expected_cache_bytes += session->CountWork(9 + i, 1).value().cache_bytes;
    }
  }
  EXPECT_DOUBLE_EQ(cache_bytes, expected_cache_bytes);
  const double head = profile.row(Operation::kOutputHead).work.weight_bytes;
  EXPECT_EQ(head,
            4.0 * static_cast<double>(weights->output().w.rows * weights->output().w.row_bytes()));

  batch->SetProfiling(true);  // anew
  EXPECT_EQ(batch->ProfileSoFar().value().seconds(), 0);
  batch->SetProfiling(false);
  ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, sessions, twins));
  EXPECT_FALSE(batch->ProfileSoFar().ok());
}

// Real models, of plain and of quantized weights.
void ExpectModelEqualsAlone(const std::string& name, int32_t prompt, int steps) {
  const std::string path = std::string(MLA_SHARED_DIR) + "/models/" + name;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "absent: " << path;
  auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  const auto weights = Weights::Load(std::move(file.value())).value();
  const int32_t vocabulary = weights->shape().vocabulary;
  std::vector<std::shared_ptr<Session>> sessions, twins;
  for (int32_t i = 0; i < 5; ++i) {
    sessions.push_back(NewSession(
        weights, 256, Of(i % 2 == 0 ? CacheType::kF16 : CacheType::kInt4, prompt / 3 * i, i)));
    ASSERT_NO_FATAL_FAILURE(Append(*sessions.back(), Prompt(1 + prompt * i, vocabulary)));
    twins.push_back(sessions.back()->Fork().value());
  }
  const auto batch = NewBatch(weights, 5);
  for (int step = 0; step < steps; ++step) {
    ASSERT_NO_FATAL_FAILURE(ExpectStep(*batch, sessions, twins));
    for (size_t i = 0; i < sessions.size(); ++i) {
      ASSERT_EQ(LogitsOf(*sessions[i], vocabulary), LogitsOf(*twins[i], vocabulary));
    }
  }
}

TEST(Batch, StoriesEqualThoseToldAlone) { ExpectModelEqualsAlone("stories260K.gguf", 40, 40); }

TEST(Batch, QuantizedWeightsEqualAlone) {
  ExpectModelEqualsAlone("SmolLM2-135M-Instruct.Q4_1.gguf", 3, 3);
}

}  // namespace
}  // namespace mla
