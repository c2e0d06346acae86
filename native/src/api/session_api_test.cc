// The life of models and sessions through the C API alone: any order of closing, any thread.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "api/gguf_api.h"
#include "graph/tiny_model_testing.h"
#include "mla/mla.h"

namespace mla {
namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitizer = true;
#else
constexpr bool kSanitizer = false;
#endif

constexpr int32_t kVocabulary = 61;
const int32_t kPrompt[] = {5, 22, 39, 56, 12};

std::shared_ptr<const GgufFile> TinyFile() {
  static const std::shared_ptr<const GgufFile> file = TinyModel(TinyShape(), 33).File();
  return file;
}

mla_model LoadTiny() {
  const mla_gguf gguf = GgufHandles().Add(TinyFile());
  mla_model model = 0;
  EXPECT_EQ(mla_model_load_gguf(gguf, &model), MLA_OK) << mla_last_error();
  EXPECT_EQ(mla_gguf_close(gguf), MLA_OK);  // the model keeps what it needs
  return model;
}

mla_session_options Options(int32_t context = 256, int32_t threads = 2) {
  mla_session_options options{};
  options.struct_size = sizeof(options);
  options.context_length = context;
  options.threads = threads;
  return options;
}

mla_session Open(mla_model model, int32_t context = 256, int32_t threads = 2) {
  const mla_session_options options = Options(context, threads);
  mla_session session = 0;
  EXPECT_EQ(mla_session_create(model, &options, &session), MLA_OK) << mla_last_error();
  return session;
}

std::vector<int32_t> Generate(mla_session session, int32_t n) {
  std::vector<int32_t> tokens(n, -1);
  EXPECT_EQ(mla_session_append(session, kPrompt, 5), MLA_OK) << mla_last_error();
  for (int32_t& token : tokens) {
    EXPECT_EQ(mla_session_next(session, &token, nullptr), MLA_OK) << mla_last_error();
  }
  return tokens;
}

#define EXPECT_FAILS(call, status, words)                                         \
  do {                                                                            \
    EXPECT_EQ(call, status);                                                      \
    EXPECT_NE(std::strstr(mla_last_error(), words), nullptr) << mla_last_error(); \
  } while (false)

TEST(SessionApi, WorkAndProfilesAreTold) {
  const mla_model model = LoadTiny();
  const mla_session session = Open(model);
  mla_work work{};
  work.struct_size = sizeof(work);
  ASSERT_EQ(mla_session_count_work(session, 0, 5, &work), MLA_OK) << mla_last_error();
  EXPECT_GT(work.weight_bytes, 0);
  EXPECT_GT(work.cache_bytes, 0);
  EXPECT_GT(work.float_multiply_adds, 0);
  EXPECT_EQ(work.integer_multiply_adds, 0);  // F32 weights, an f16 cache
  EXPECT_FAILS(mla_session_count_work(session, 0, 257, &work), MLA_INVALID_ARGUMENT, "257 tokens");
  EXPECT_FAILS(mla_session_count_work(session, 0, 1, nullptr), MLA_INVALID_ARGUMENT, "'work'");

  mla_profile profile{};
  profile.struct_size = sizeof(profile);
  EXPECT_FAILS(mla_session_profile(session, &profile), MLA_INVALID_ARGUMENT, "not profiled");
  ASSERT_EQ(mla_session_set_profiling(session, 1), MLA_OK);
  Generate(session, 4);
  ASSERT_EQ(mla_session_profile(session, &profile), MLA_OK) << mla_last_error();
  EXPECT_EQ(profile.tokens, 5 + 3);
  EXPECT_EQ(profile.steps, 1 + 3);
  EXPECT_EQ(profile.threads, 2);
  mla_profile_row row{};
  row.struct_size = sizeof(row);
  double seconds = 0, weight_bytes = 0;
  int32_t operations = 0;
  for (; mla_operation_name(operations) != nullptr; ++operations) {
    ASSERT_EQ(mla_session_profile_row(session, operations, &row), MLA_OK) << mla_last_error();
    seconds += row.seconds + row.waiting_seconds;
    weight_bytes += row.weight_bytes;
  }
  EXPECT_EQ(operations, 12);
  EXPECT_STREQ(mla_operation_name(5), "attention");
  EXPECT_EQ(mla_operation_name(-1), nullptr);
  EXPECT_GT(seconds, 0);
  EXPECT_LE(seconds, profile.seconds);
  EXPECT_GT(weight_bytes, work.weight_bytes);
  EXPECT_FAILS(mla_session_profile_row(session, 12, &row), MLA_INVALID_ARGUMENT, "0 to 11");
  row.struct_size = 0;
  EXPECT_FAILS(mla_session_profile_row(session, 0, &row), MLA_INVALID_ARGUMENT,
               "mla_profile_row.struct_size is 0");
  EXPECT_EQ(mla_session_close(session), MLA_OK);
  EXPECT_EQ(mla_session_set_profiling(session, 1), MLA_CLOSED);
  EXPECT_EQ(mla_model_close(model), MLA_OK);
}

TEST(SessionApi, SessionsOutliveTheirModel) {
  const mla_model model = LoadTiny();
  const mla_session first = Open(model), second = Open(model);
  const std::vector<int32_t> tokens = Generate(first, 10);
  EXPECT_EQ(mla_model_close(model), MLA_OK);
  EXPECT_EQ(Generate(second, 10), tokens);
  mla_session third = 7;
  EXPECT_FAILS(mla_session_create(model, nullptr, &third), MLA_CLOSED, "model is closed");
  EXPECT_EQ(third, 0u);
  EXPECT_EQ(mla_session_close(first), MLA_OK);
  EXPECT_EQ(mla_session_close(second), MLA_OK);
}

TEST(SessionApi, ClosingTwiceIsHarmlessAndClosedHandlesSaySo) {
  const mla_model model = LoadTiny();
  const mla_session session = Open(model);
  EXPECT_EQ(mla_session_close(session), MLA_OK);
  EXPECT_FAILS(mla_session_close(session), MLA_CLOSED, "session is closed");
  EXPECT_EQ(mla_model_close(model), MLA_OK);
  EXPECT_FAILS(mla_model_close(model), MLA_CLOSED, "model is closed");
  int32_t number = 0;
  float real = 0;
  double bytes = 0;
  mla_model_info info{};
  info.struct_size = sizeof(info);
  for (const uint64_t handle : {session, model, uint64_t{0}, ~uint64_t{0}}) {
    EXPECT_EQ(mla_session_append(handle, kPrompt, 5), MLA_CLOSED);
    EXPECT_EQ(mla_session_append_all(handle, kPrompt, 5, &real, 1), MLA_CLOSED);
    EXPECT_EQ(mla_session_append_scored(handle, kPrompt, 5, &real, 1), MLA_CLOSED);
    EXPECT_EQ(mla_session_logits(handle, &real, 1), MLA_CLOSED);
    EXPECT_EQ(mla_session_length(handle, &number), MLA_CLOSED);
    EXPECT_EQ(mla_session_rewind(handle, 0), MLA_CLOSED);
    EXPECT_EQ(mla_session_memory(handle, nullptr, nullptr), MLA_CLOSED);
    EXPECT_EQ(mla_session_set_sampler(handle, nullptr, nullptr, nullptr, 0), MLA_CLOSED);
    EXPECT_EQ(mla_session_sample(handle, &number, nullptr), MLA_CLOSED);
    EXPECT_EQ(mla_session_next(handle, &number, nullptr), MLA_CLOSED);
    EXPECT_EQ(mla_session_cancel(handle), MLA_CLOSED);
    EXPECT_EQ(mla_session_close(handle), MLA_CLOSED);
    EXPECT_EQ(mla_model_close(handle), MLA_CLOSED);
    EXPECT_EQ(mla_model_get_info(handle, &info), MLA_CLOSED);
    EXPECT_EQ(mla_model_cache_bytes_per_token(handle, nullptr, 0, &bytes), MLA_CLOSED);
  }
}

TEST(SessionApi, AHandleOfAnotherKindIsNoHandle) {
  const mla_model model = LoadTiny();
  const mla_session session = Open(model);
  EXPECT_EQ(mla_model_close(session), MLA_CLOSED);
  EXPECT_EQ(mla_session_close(model), MLA_CLOSED);
  EXPECT_EQ(mla_session_close(session), MLA_OK);
  EXPECT_EQ(mla_model_close(model), MLA_OK);
}

TEST(SessionApi, NullPointersAreNamed) {
  const mla_model model = LoadTiny();
  const mla_session session = Open(model);
  EXPECT_FAILS(mla_model_load(nullptr, nullptr), MLA_INVALID_ARGUMENT, "'path'");
  EXPECT_FAILS(mla_model_load("x.gguf", nullptr), MLA_INVALID_ARGUMENT, "'out'");
  EXPECT_FAILS(mla_model_load_gguf(1, nullptr), MLA_INVALID_ARGUMENT, "'out'");
  EXPECT_FAILS(mla_model_get_info(model, nullptr), MLA_INVALID_ARGUMENT, "'info'");
  EXPECT_FAILS(mla_model_cache_bytes_per_token(model, nullptr, 0, nullptr), MLA_INVALID_ARGUMENT,
               "'bytes'");
  EXPECT_FAILS(mla_session_create(model, nullptr, nullptr), MLA_INVALID_ARGUMENT, "'out'");
  EXPECT_FAILS(mla_session_append(session, nullptr, 1), MLA_INVALID_ARGUMENT, "'tokens'");
  EXPECT_FAILS(mla_session_append_all(session, kPrompt, 1, nullptr, 61), MLA_INVALID_ARGUMENT,
               "'logits'");
  EXPECT_FAILS(mla_session_append_scored(session, kPrompt, 2, nullptr, 1), MLA_INVALID_ARGUMENT,
               "'log_probabilities'");
  EXPECT_FAILS(mla_session_logits(session, nullptr, 61), MLA_INVALID_ARGUMENT, "'out'");
  EXPECT_FAILS(mla_session_length(session, nullptr), MLA_INVALID_ARGUMENT, "'tokens'");
  EXPECT_FAILS(mla_session_sample(session, nullptr, nullptr), MLA_INVALID_ARGUMENT, "'token'");
  EXPECT_FAILS(mla_session_next(session, nullptr, nullptr), MLA_INVALID_ARGUMENT, "'token'");
  EXPECT_FAILS(mla_session_set_sampler(session, nullptr, nullptr, nullptr, 1), MLA_INVALID_ARGUMENT,
               "'bias_tokens'");
  EXPECT_FAILS(mla_session_set_sampler(session, nullptr, kPrompt, nullptr, 1), MLA_INVALID_ARGUMENT,
               "'bias_values'");
  EXPECT_EQ(mla_session_append_scored(session, kPrompt, 1, nullptr, 0), MLA_OK);
  mla_session_close(session);
  mla_model_close(model);
}

TEST(SessionApi, FilesThatAreNoModelsGiveErrors) {
  mla_model model = 7;
  EXPECT_FAILS(mla_model_load("/no/such/file.gguf", &model), MLA_NOT_FOUND, "/no/such/file.gguf");
  EXPECT_EQ(model, 0u);
  const std::string folder = testing::TempDir();
  EXPECT_NE(mla_model_load(folder.c_str(), &model), MLA_OK);
  const std::string empty = folder + "empty_model.gguf";
  std::ofstream(empty).close();
  EXPECT_FAILS(mla_model_load(empty.c_str(), &model), MLA_BAD_FILE, "empty_model.gguf");
  std::filesystem::remove(empty);
}

TEST(SessionApi, CloseEndsACallThatRuns) {
  const mla_model model = LoadTiny();
  const std::vector<int32_t> tokens(2000, 3);
  for (int round = 0; round < 5; ++round) {
    const mla_session session = Open(model, 2000);
    std::atomic<int32_t> status{MLA_OK};
    std::thread worker([&] {
      while (status == MLA_OK) {
        status = mla_session_append(session, tokens.data(), 2000);
        if (status == MLA_OK) status = mla_session_rewind(session, 0);
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(3 * round));
    EXPECT_EQ(mla_session_close(session), MLA_OK);
    worker.join();
    EXPECT_EQ(status, MLA_CLOSED);
  }
  mla_model_close(model);
}

TEST(SessionApi, CancelEndsACallThatRunsAndTheSessionStaysUsable) {
  const mla_model model = LoadTiny();
  const mla_session session = Open(model, 2000);
  const std::vector<int32_t> tokens(2000, 3);
  for (int round = 0; round < 5; ++round) {
    std::atomic<int32_t> status{MLA_OK};
    std::thread worker([&] {
      while (status == MLA_OK) {
        status = mla_session_append(session, tokens.data(), 2000);
        if (status == MLA_OK) status = mla_session_rewind(session, 0);
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(3 * round));
    EXPECT_EQ(mla_session_cancel(session), MLA_OK);
    worker.join();
    EXPECT_EQ(status, MLA_CANCELLED);
    int32_t length = -1;
    EXPECT_EQ(mla_session_length(session, &length), MLA_OK);
    EXPECT_EQ(length, 0);
  }
  Generate(session, 3);
  mla_session_close(session);
  mla_model_close(model);
}

TEST(SessionApi, SixteenThreadsShareAModelThatOneOfThemCloses) {
  const mla_model model = LoadTiny();
  const mla_session reference = Open(model);
  const std::vector<int32_t> expected = Generate(reference, 8);
  mla_session_close(reference);
  std::atomic<int> made{0}, refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      const mla_session_options options = Options();
      for (int i = 0; i < 1000; ++i) {
        mla_session session = 0;
        const mla_status status = mla_session_create(model, &options, &session);
        if (status == MLA_CLOSED) {
          ++refused;
          return;
        }
        ASSERT_EQ(status, MLA_OK) << mla_last_error();
        ++made;
        ASSERT_EQ(Generate(session, 8), expected);
        if (t == 3 && i == 4) {
          ASSERT_EQ(mla_model_close(model), MLA_OK);
        }
        ASSERT_EQ(mla_session_close(session), MLA_OK);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 16);
  EXPECT_GE(made, 5);
}

// Everyone does everything to a handful of sessions; nothing may be wrong but the statuses named
// here.
TEST(SessionApi, ThreadsThatShareSessionsNeverCrash) {
  const mla_model model = LoadTiny();
  std::atomic<mla_session> sessions[3];
  for (auto& session : sessions) session = Open(model);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      const mla_session_options options = Options();
      uint32_t random = 12345 + t;
      for (int i = 0; i < 400; ++i) {
        random = random * 1664525 + 1013904223;
        std::atomic<mla_session>& slot = sessions[(random >> 8) % 3];
        const mla_session session = slot;
        int32_t token = 0;
        float logits[kVocabulary];
        mla_status status = MLA_OK;
        switch ((random >> 16) % 8) {
          case 0:
            status = mla_session_append(session, kPrompt, 5);
            break;
          case 1:
          case 2:
            status = mla_session_next(session, &token, nullptr);
            break;
          case 3:
            status = mla_session_cancel(session);
            break;
          case 4:
            status = mla_session_rewind(session, 0);
            break;
          case 5:
            status = mla_session_logits(session, logits, kVocabulary);
            break;
          case 6:
            status = mla_session_sample(session, &token, nullptr);
            break;
          default:
            status = mla_session_close(session);
            if (status == MLA_OK) {
              mla_session fresh = 0;
              ASSERT_EQ(mla_session_create(model, &options, &fresh), MLA_OK);
              slot = fresh;
            }
        }
        ASSERT_TRUE(status == MLA_OK || status == MLA_CANCELLED || status == MLA_CLOSED ||
                    status == MLA_CONTEXT_FULL || status == MLA_INVALID_ARGUMENT)
            << mla_last_error();
        ASSERT_GE(token, 0);
        ASSERT_LT(token, kVocabulary);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto& session : sessions) EXPECT_EQ(mla_session_close(session), MLA_OK);
  EXPECT_EQ(mla_model_close(model), MLA_OK);
}

int64_t ResidentKilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::stoll(line.substr(6));
  }
  return 0;
}

TEST(SessionApi, OpenGenerateCloseKeepsNothing) {
  const auto cycles = [&](int n) {
    for (int i = 0; i < n; ++i) {
      const mla_model model = LoadTiny();
      const mla_session session = Open(model, 256, 1);
      Generate(session, 2);
      const int32_t bad = -1;
      EXPECT_EQ(mla_session_append(session, &bad, 1), MLA_INVALID_ARGUMENT);
      // Either order.
      if (i % 2 == 0) {
        EXPECT_EQ(mla_model_close(model), MLA_OK);
      }
      EXPECT_EQ(mla_session_close(session), MLA_OK);
      if (i % 2 == 1) {
        EXPECT_EQ(mla_model_close(model), MLA_OK);
      }
    }
  };
  cycles(100);
  const int64_t before = ResidentKilobytes();
  const int kCycles = kSanitizer ? 100 : 3000;
  cycles(kCycles);
  // A leak of a few hundred bytes a cycle would show, one of a whole cache as gigabytes.
  if (!kSanitizer) {
    EXPECT_LT(ResidentKilobytes() - before, 200);
  }
}

// A real model: the text that README of the shared files promises.
TEST(SessionApi, StoriesTellsItsStory) {
  const std::string path = std::string(MLA_SHARED_DIR) + "/models/stories260K.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "absent: " << path;
  mla_gguf gguf = 0;
  ASSERT_EQ(mla_gguf_open(path.c_str(), &gguf), MLA_OK) << mla_last_error();
  const auto file = GgufHandles().Get(gguf).value();
  int64_t key = -1;
  ASSERT_EQ(mla_gguf_find_key(gguf, "tokenizer.ggml.tokens", &key), MLA_OK);
  std::vector<int64_t> offsets(513);
  ASSERT_EQ(mla_gguf_read_strings(gguf, key, offsets.data(), 513, nullptr, 0), MLA_OK);
  std::string bytes(offsets[512], '\0');
  ASSERT_EQ(mla_gguf_read_strings(gguf, key, offsets.data(), 513,
                                  reinterpret_cast<uint8_t*>(bytes.data()), offsets[512]),
            MLA_OK);
  std::vector<std::string> pieces;
  for (int i = 0; i < 512; ++i)
    pieces.push_back(bytes.substr(offsets[i], offsets[i + 1] - offsets[i]));
  const auto id = [&](const std::string& piece) {
    const auto it = std::find(pieces.begin(), pieces.end(), piece);
    EXPECT_NE(it, pieces.end()) << piece;
    return static_cast<int32_t>(it - pieces.begin());
  };
  const std::string space = "\xe2\x96\x81";
  const std::vector<int32_t> prompt{1, id(space + "Once"), id(space + "upon"), id(space + "a"),
                                    id(space + "time")};
  mla_model model = 0;
  ASSERT_EQ(mla_model_load_gguf(gguf, &model), MLA_OK) << mla_last_error();
  for (const int32_t type : {MLA_CACHE_F32, MLA_CACHE_F16, MLA_CACHE_INT8}) {
    mla_session_options options = Options(128);
    options.cache.struct_size = sizeof(options.cache);
    options.cache.latent = type;
    mla_session session = 0;
    ASSERT_EQ(mla_session_create(model, &options, &session), MLA_OK) << mla_last_error();
    ASSERT_EQ(mla_session_append(session, prompt.data(), 5), MLA_OK) << mla_last_error();
    std::string text;
    while (text.size() < 60) {
      int32_t token = 0;
      ASSERT_EQ(mla_session_next(session, &token, nullptr), MLA_OK) << mla_last_error();
      text += pieces[token];
    }
    for (size_t at; (at = text.find(space)) != std::string::npos;) text.replace(at, 3, " ");
    EXPECT_EQ(text.substr(0, 41), ", there was a little girl named Lily. She") << "cache " << type;
    mla_session_close(session);
  }
  mla_model_close(model);
  mla_gguf_close(gguf);
}

}  // namespace
}  // namespace mla
