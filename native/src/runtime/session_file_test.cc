#include "runtime/session_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "graph/tiny_model_testing.h"
#include "runtime/session.h"
#include "tensor/checksum.h"

namespace mla {
namespace {

constexpr int32_t kContext = 300;
constexpr int32_t kVocabulary = 61;

std::shared_ptr<const Weights> TinyWeights(uint32_t seed = 21) {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.rope_dim = 6;
  Result<std::shared_ptr<const Weights>> weights = Weights::Load(TinyModel(shape, seed).File());
  EXPECT_TRUE(weights.ok()) << weights.status().message();
  return weights.value();
}

DecoderOptions Options(CacheType type, int32_t residual, int32_t sink) {
  DecoderOptions options;
  options.context_length = kContext;
  options.threads = 2;
  // The expanded form meets packed latents with queries that are not rounded.
  options.prefill = MLA_PREFILL_ABSORBED;
  options.activations = Activations::kFine;
  options.cache.latent = type;
  options.cache.rope = type;
  options.cache.residual = residual;
  options.cache.sink = sink;
  return options;
}

std::vector<DecoderOptions> AllOptions() {
  return {Options(CacheType::kF32, 0, 0),   Options(CacheType::kF16, 0, 0),
          Options(CacheType::kInt8, 0, 0),  Options(CacheType::kInt8, 70, 4),
          Options(CacheType::kInt4, 70, 4), Options(CacheType::kInt2, 10, 0),
          Options(CacheType::kBf16, 0, 0)};
}

std::shared_ptr<Session> NewSession(const std::shared_ptr<const Weights>& weights,
                                    const DecoderOptions& options) {
  Result<std::shared_ptr<Session>> session = Session::Create(weights, options);
  EXPECT_TRUE(session.ok()) << session.status().message();
  return session.value();
}

std::vector<int32_t> Tokens(int32_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kVocabulary);
  return tokens;
}

void Append(Session& session, const std::vector<int32_t>& tokens) {
  const Status status = session.Append(tokens.data(), static_cast<int32_t>(tokens.size()));
  ASSERT_TRUE(status.ok()) << status.message();
}

std::vector<float> Logits(Session& session) {
  std::vector<float> logits(kVocabulary);
  const Status status = session.Logits(logits.data(), kVocabulary);
  EXPECT_TRUE(status.ok()) << status.message();
  return logits;
}

std::vector<int32_t> TokensOf(Session& session) {
  std::vector<int32_t> tokens(kContext);
  tokens.resize(static_cast<size_t>(session.Tokens(tokens.data(), kContext).value()));
  return tokens;
}

// Logits on the way of so many tokens more.
std::vector<std::vector<float>> GoOn(Session& session, const std::vector<int32_t>& tokens) {
  std::vector<std::vector<float>> logits;
  for (int32_t token : tokens) {
    Append(session, {token});
    logits.push_back(Logits(session));
  }
  return logits;
}

class SessionFile : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(folder_); }
  // With what saves that were killed have left.
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<std::shared_ptr<Session>> Restore(const std::shared_ptr<const Weights>& weights,
                                           const DecoderOptions& options) {
    return Session::Restore(weights, options, path_);
  }

  // A session of so many tokens that was saved.
  std::shared_ptr<Session> Saved(const std::shared_ptr<const Weights>& weights,
                                 const DecoderOptions& options, int32_t length) const {
    std::shared_ptr<Session> session = NewSession(weights, options);
    Append(*session, Tokens(length, 1));
    EXPECT_TRUE(session->Save(path_).ok());
    return session;
  }

  static Result<SessionState> Read(const std::shared_ptr<const Weights>& weights,
                                   const DecoderOptions& options, const std::vector<char>& bytes) {
    return ReadSession(weights, options, reinterpret_cast<const uint8_t*>(bytes.data()),
                       bytes.size(), "bytes");
  }

  std::vector<char> Bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  void Put(const std::vector<char>& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  const std::string folder_ = testing::TempDir() + "mla-session-" + std::to_string(getpid());
  const std::string path_ = folder_ + "/saved.mlas";
};

TEST_F(SessionFile, GoesOnWithTheSameLogits) {
  const auto weights = TinyWeights();
  for (const DecoderOptions& options : AllOptions()) {
    for (int32_t length : {1, 63, 64, 150}) {
      std::shared_ptr<Session> session = Saved(weights, options, length);
      // The cache's options are the file's.
      Result<std::shared_ptr<Session>> restored = Restore(weights, Options(CacheType::kF16, 0, 0));
      ASSERT_TRUE(restored.ok()) << restored.status().message();
      EXPECT_EQ(TokensOf(*restored.value()), Tokens(length, 1));
      EXPECT_EQ(Logits(*restored.value()), Logits(*session));
      EXPECT_EQ(restored.value()->MemoryUse().value().cache_bytes,
                session->MemoryUse().value().cache_bytes);
      const std::vector<int32_t> more = Tokens(90, 2);
      EXPECT_EQ(GoOn(*restored.value(), more), GoOn(*session, more));
    }
  }
}

TEST_F(SessionFile, KeepsWhatIsBetweenTokens) {
  const auto weights = TinyWeights();
  const DecoderOptions options = Options(CacheType::kInt4, 20, 4);
  std::shared_ptr<Session> session = NewSession(weights, options);
  ASSERT_TRUE(session->Save(path_).ok()) << "no tokens yet";
  std::shared_ptr<Session> empty = Restore(weights, options).value();
  EXPECT_EQ(empty->Length().value(), 0);
  EXPECT_FALSE(empty->Sample(nullptr).ok());

  Append(*session, Tokens(200, 1));
  const int32_t pending = session->Next(nullptr).value();
  ASSERT_TRUE(session->Save(path_).ok()) << "a token is drawn and not appended";
  std::shared_ptr<Session> drawn = Restore(weights, options).value();
  EXPECT_EQ(drawn->Length().value(), 200);
  EXPECT_EQ(drawn->Next(nullptr).value(), session->Next(nullptr).value());
  EXPECT_EQ(TokensOf(*drawn).back(), pending);

  ASSERT_TRUE(session->Rewind(100).ok());
  ASSERT_TRUE(session->Save(path_).ok()) << "tokens are to be evaluated anew";
  std::shared_ptr<Session> rewound = Restore(weights, options).value();
  EXPECT_EQ(TokensOf(*rewound), TokensOf(*session));
  EXPECT_EQ(GoOn(*rewound, Tokens(3, 5)), GoOn(*session, Tokens(3, 5)));
}

// Pages that were made for it and hold nothing are not saved.
TEST_F(SessionFile, KeepsWhatWasThereBeforeAnAppendThatFailed) {
  const auto weights = TinyWeights();
  const DecoderOptions options = Options(CacheType::kInt4, 20, 4);
  std::shared_ptr<Session> session = NewSession(weights, options);
  Append(*session, Tokens(60, 1));
  session->Cancel();
  const std::vector<int32_t> more = Tokens(100, 2);
  EXPECT_EQ(session->Append(more.data(), 100).code(), MLA_CANCELLED);
  ASSERT_TRUE(session->Save(path_).ok());
  Result<std::shared_ptr<Session>> restored = Restore(weights, options);
  ASSERT_TRUE(restored.ok()) << restored.status().message();
  EXPECT_EQ(GoOn(*restored.value(), more), GoOn(*session, more));
}

TEST_F(SessionFile, SavingTwiceGivesTheSameBytes) {
  const auto weights = TinyWeights();
  std::shared_ptr<Session> session = Saved(weights, Options(CacheType::kInt4, 70, 4), 100);
  const std::vector<char> first = Bytes();
  std::shared_ptr<Session> restored = Restore(weights, Options(CacheType::kF16, 0, 0)).value();
  ASSERT_TRUE(restored->Save(path_).ok());
  EXPECT_EQ(Bytes(), first);
}

TEST_F(SessionFile, ForeignFilesAreRefusedInWords) {
  const auto weights = TinyWeights();
  const DecoderOptions options = Options(CacheType::kF16, 0, 0);
  std::shared_ptr<Session> session = Saved(weights, options, 100);
  auto expect = [&](const Status& status, mla_status code, const std::string& words) {
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_NE(status.message().find(words), std::string::npos) << status.message();
    EXPECT_NE(status.message().find(path_), std::string::npos) << status.message();
  };
  expect(Restore(TinyWeights(22), options).status(), MLA_INVALID_ARGUMENT, "another model");
  DecoderOptions shorter = options;
  shorter.context_length = 99;
  expect(Restore(weights, shorter).status(), MLA_CONTEXT_FULL, "100 tokens");
  std::vector<char> bytes = Bytes();
  bytes[8] = 9;
  Put(bytes);
  expect(Restore(weights, options).status(), MLA_BAD_FILE, "version 9");
  Put({'G', 'G', 'U', 'F'});
  expect(Restore(weights, options).status(), MLA_BAD_FILE, "is not a session file");
  std::remove(path_.c_str());
  expect(Restore(weights, options).status(), MLA_NOT_FOUND, "No such file");
  EXPECT_EQ(session->Save("/nonexistent/folder/s").code(), MLA_NOT_FOUND);
}

TEST_F(SessionFile, DamageIsAnErrorAndNothingElse) {
  const auto weights = TinyWeights();
  const DecoderOptions options = Options(CacheType::kInt4, 10, 4);
  std::shared_ptr<Session> session = Saved(weights, options, 70);
  const std::vector<char> whole = Bytes();
  std::mt19937 random(7);
  const size_t header = 80;
  for (int i = 0; i < 10000; ++i) {
    std::vector<char> edited = whole;
    const int edits = 1 + static_cast<int>(random() % 4);
    for (int e = 0; e < edits; ++e) {
      // Half of them where the counts are.
      const size_t at = random() % (random() % 2 == 0 ? header : edited.size());
      edited[at] = static_cast<char>(random());
    }
    if (random() % 10 == 0) edited.resize(random() % edited.size());
    if (edited == whole) continue;
    const Status status = Read(weights, options, edited).status();
    ASSERT_FALSE(status.ok()) << "edit " << i;
    ASSERT_EQ(status.code(), MLA_BAD_FILE) << status.message();
  }
}

// A forged checksum must not lead to a crash either.
TEST_F(SessionFile, LiesWithAFittingChecksumAreErrors) {
  const auto weights = TinyWeights();
  const DecoderOptions options = Options(CacheType::kInt4, 10, 4);
  std::shared_ptr<Session> session = Saved(weights, options, 70);
  const std::vector<char> whole = Bytes();
  std::mt19937 random(8);
  for (int i = 0; i < 3000; ++i) {
    std::vector<char> edited = whole;
    const size_t at = random() % 80;
    edited[at] = static_cast<char>(random() % 3 == 0 ? random() : edited[at] + 1);
    Checksum sum;
    sum.Add(edited.data(), edited.size() - 8);
    const uint64_t value = sum.value();
    std::memcpy(edited.data() + edited.size() - 8, &value, 8);
    Result<SessionState> restored = Read(weights, options, edited);
    if (!restored.ok()) continue;
    // Where the lie does not show, as in the token that is pending, all must be sound.
    std::vector<float> logits(kVocabulary);
    const std::atomic<bool> go_on = false;
    const int32_t token = 1;
    EXPECT_TRUE(
        restored.value()
            .decoder->Append(&token, 1, Decoder::Output::kLast, logits.data(), nullptr, go_on)
            .ok());
  }
}

TEST_F(SessionFile, AKilledSaveLeavesTheOldFile) {
  const auto weights = TinyWeights();
  const DecoderOptions options = Options(CacheType::kF32, 0, 0);
  std::shared_ptr<Session> session = Saved(weights, options, 40);
  std::mt19937 random(9);
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // No other thread of the process is here: nothing may be evaluated.
      for (;;) (void)session->Save(path_);
    }
    usleep(static_cast<useconds_t>(random() % 20000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    Result<std::shared_ptr<Session>> restored = Restore(weights, options);
    ASSERT_TRUE(restored.ok()) << restored.status().message();
    EXPECT_EQ(TokensOf(*restored.value()), Tokens(40, 1));
  }
}

TEST(SessionFork, BothGoOnAsIfAlone) {
  const auto weights = TinyWeights();
  for (const DecoderOptions& options : AllOptions()) {
    for (int32_t length : {1, 3, 64, 100, 130}) {
      std::shared_ptr<Session> session = NewSession(weights, options);
      Append(*session, Tokens(length, 1));
      std::shared_ptr<Session> fork = session->Fork().value();
      EXPECT_EQ(Logits(*fork), Logits(*session));
      std::shared_ptr<Session> alone = NewSession(weights, options);
      Append(*alone, Tokens(length, 1));
      std::shared_ptr<Session> other = NewSession(weights, options);
      Append(*other, Tokens(length, 1));
      std::vector<std::vector<float>> of_fork;
      // At the same time: they share pages.
      std::thread thread([&] { of_fork = GoOn(*fork, Tokens(80, 2)); });
      const std::vector<std::vector<float>> of_session = GoOn(*session, Tokens(80, 3));
      thread.join();
      EXPECT_EQ(of_fork, GoOn(*alone, Tokens(80, 2)));
      EXPECT_EQ(of_session, GoOn(*other, Tokens(80, 3)));
      session.reset();
      EXPECT_EQ(GoOn(*fork, Tokens(5, 4)), GoOn(*alone, Tokens(5, 4)))
          << "after the other one's end";
    }
  }
}

TEST(SessionFork, DrawsTheSameTokens) {
  const auto weights = TinyWeights();
  std::shared_ptr<Session> session = NewSession(weights, Options(CacheType::kF16, 0, 0));
  SamplerOptions sampler;
  sampler.temperature = 1;
  sampler.seed = 5;
  ASSERT_TRUE(session->SetSampler(sampler).ok());
  Append(*session, Tokens(10, 1));
  for (int i = 0; i < 5; ++i) (void)session->Next(nullptr);
  std::shared_ptr<Session> fork = session->Fork().value();
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(session->Next(nullptr).value(), fork->Next(nullptr).value());
  }
  session->Close();
  EXPECT_EQ(session->Fork().status().code(), MLA_CLOSED);
}

// Any order of forks, rewinds and appends gives what a fresh session gives.
TEST(SessionFork, AnyHistoryEqualsAFreshSession) {
  const auto weights = TinyWeights();
  for (const DecoderOptions& options : AllOptions()) {
    std::mt19937 random(11);
    std::vector<std::shared_ptr<Session>> sessions = {NewSession(weights, options)};
    Append(*sessions[0], Tokens(1, 1));
    for (int step = 0; step < 120; ++step) {
      std::shared_ptr<Session>& session = sessions[random() % sessions.size()];
      const int32_t length = session->Length().value();
      if (random() % 4 == 0 && sessions.size() < 5) {
        sessions.push_back(session->Fork().value());
        continue;
      }
      if (random() % 3 == 0) {
        ASSERT_TRUE(
            session->Rewind(static_cast<int32_t>(random() % static_cast<uint32_t>(length + 1)))
                .ok());
      }
      const int32_t room = kContext - session->Length().value();
      const int32_t n = std::min(room, 1 + static_cast<int32_t>(random() % 70));
      if (n < 1) {
        ASSERT_TRUE(session->Rewind(5).ok());
        continue;
      }
      Append(*session, Tokens(n, random()));
      if (step % 4 != 0) continue;
      std::shared_ptr<Session> fresh = NewSession(weights, options);
      Append(*fresh, TokensOf(*session));
      const std::vector<float> actual = Logits(*session), expected = Logits(*fresh);
      // Two levels of a few bits may lie so close that a last bit decides between them.
      const double tolerance = options.cache.residual > 0 ? 0.1 : 1e-2;
      for (size_t v = 0; v < expected.size(); ++v) ASSERT_NEAR(actual[v], expected[v], tolerance);
    }
  }
}

}  // namespace
}  // namespace mla
