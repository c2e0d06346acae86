// Batches through the C API: what fails alone, what fails as a whole, and any order of closing.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "api/gguf_api.h"
#include "graph/tiny_model_testing.h"
#include "mla/mla.h"

namespace mla {
namespace {

const int32_t kPrompt[] = {5, 22, 39, 56, 12};

mla_model LoadTiny() {
  static const std::shared_ptr<const GgufFile> file = TinyModel(TinyShape(), 33).File();
  const mla_gguf gguf = GgufHandles().Add(file);
  mla_model model = 0;
  EXPECT_EQ(mla_model_load_gguf(gguf, &model), MLA_OK) << mla_last_error();
  EXPECT_EQ(mla_gguf_close(gguf), MLA_OK);
  return model;
}

mla_session Open(mla_model model, int32_t prompt, int32_t context = 256) {
  mla_session_options options{};
  options.struct_size = sizeof(options);
  options.context_length = context;
  options.threads = 1;
  mla_session session = 0;
  EXPECT_EQ(mla_session_create(model, &options, &session), MLA_OK) << mla_last_error();
  EXPECT_EQ(mla_session_append(session, kPrompt, prompt), MLA_OK) << mla_last_error();
  return session;
}

mla_batch NewBatch(mla_model model, int32_t max_sessions = 4) {
  mla_batch_options options{};
  options.struct_size = sizeof(options);
  options.max_sessions = max_sessions;
  options.threads = 2;
  mla_batch batch = 0;
  EXPECT_EQ(mla_batch_create(model, &options, &batch), MLA_OK) << mla_last_error();
  return batch;
}

// A step with room for four.
struct Step {
  int32_t tokens[4] = {-7, -7, -7, -7};
  float log_probabilities[4] = {7, 7, 7, 7};
  mla_status statuses[4] = {-7, -7, -7, -7};

  mla_status Of(mla_batch batch, const std::vector<mla_session>& sessions) {
    return mla_batch_next(batch, sessions.data(), static_cast<int32_t>(sessions.size()), tokens,
                          log_probabilities, statuses);
  }
};

#define EXPECT_FAILS(call, status, words)                                         \
  do {                                                                            \
    EXPECT_EQ(call, status);                                                      \
    EXPECT_NE(std::strstr(mla_last_error(), words), nullptr) << mla_last_error(); \
  } while (false)

TEST(BatchApi, ProfilesAreTold) {
  const mla_model model = LoadTiny();
  const mla_batch batch = NewBatch(model);
  const std::vector<mla_session> sessions = {Open(model, 5), Open(model, 3)};
  mla_profile profile{};
  profile.struct_size = sizeof(profile);
  EXPECT_FAILS(mla_batch_profile(batch, &profile), MLA_INVALID_ARGUMENT, "not profiled");
  ASSERT_EQ(mla_batch_set_profiling(batch, 1), MLA_OK);
  Step step;
  for (int i = 0; i < 3; ++i) ASSERT_EQ(step.Of(batch, sessions), MLA_OK) << mla_last_error();
  ASSERT_EQ(mla_batch_profile(batch, &profile), MLA_OK) << mla_last_error();
  EXPECT_EQ(profile.steps, 2);
  EXPECT_EQ(profile.tokens, 4);
  EXPECT_EQ(profile.threads, 2);
  mla_profile_row row{};
  row.struct_size = sizeof(row);
  double seconds = 0;
  for (int32_t o = 0; mla_operation_name(o) != nullptr; ++o) {
    ASSERT_EQ(mla_batch_profile_row(batch, o, &row), MLA_OK) << mla_last_error();
    seconds += row.seconds + row.waiting_seconds;
  }
  EXPECT_GT(seconds, 0);
  EXPECT_LE(seconds, profile.seconds);
  EXPECT_FAILS(mla_batch_profile_row(batch, 12, &row), MLA_INVALID_ARGUMENT, "0 to 11");
  EXPECT_FAILS(mla_batch_profile(batch, nullptr), MLA_INVALID_ARGUMENT, "'profile'");
  EXPECT_FAILS(mla_batch_profile_row(batch, 0, nullptr), MLA_INVALID_ARGUMENT, "'row'");
  for (mla_session session : sessions) EXPECT_EQ(mla_session_close(session), MLA_OK);
  EXPECT_EQ(mla_batch_close(batch), MLA_OK);
  EXPECT_EQ(mla_batch_set_profiling(batch, 1), MLA_CLOSED);
  EXPECT_EQ(mla_batch_profile(batch, &profile), MLA_CLOSED);
  EXPECT_EQ(mla_model_close(model), MLA_OK);
}

TEST(BatchApi, NextIsThatOfEachSession) {
  const mla_model model = LoadTiny();
  const mla_batch batch = NewBatch(model);
  std::vector<mla_session> sessions, twins;
  for (int32_t prompt : {5, 1, 3}) {
    sessions.push_back(Open(model, prompt));
    twins.push_back(Open(model, prompt));
  }
  // Weights stay, whoever closes the model.
  EXPECT_EQ(mla_model_close(model), MLA_OK);
  for (int step = 0; step < 20; ++step) {
    Step s;
    ASSERT_EQ(s.Of(batch, sessions), MLA_OK) << mla_last_error();
    for (size_t i = 0; i < 3; ++i) {
      int32_t token = 0;
      float log_probability = 0;
      ASSERT_EQ(mla_session_next(twins[i], &token, &log_probability), MLA_OK);
      EXPECT_EQ(s.statuses[i], MLA_OK);
      EXPECT_EQ(s.tokens[i], token);
      EXPECT_EQ(s.log_probabilities[i], log_probability);
    }
    EXPECT_EQ(s.tokens[3], -7);
  }
  int32_t tokens[3], statuses[3];
  EXPECT_EQ(mla_batch_next(batch, sessions.data(), 3, tokens, nullptr, statuses), MLA_OK);
  EXPECT_EQ(mla_batch_close(batch), MLA_OK);
  int32_t token = 0;
  EXPECT_EQ(mla_session_next(sessions[0], &token, nullptr), MLA_OK) << "a session needs no batch";
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(mla_session_close(sessions[i]), MLA_OK);
    EXPECT_EQ(mla_session_close(twins[i]), MLA_OK);
  }
}

TEST(BatchApi, ASessionFailsAloneAndIsNamed) {
  const mla_model model = LoadTiny();
  const mla_batch batch = NewBatch(model);
  const mla_session good = Open(model, 3), twin = Open(model, 3), full = Open(model, 5, 5),
                    cancelled = Open(model, 4), closed = Open(model, 2);
  Step s;
  ASSERT_EQ(s.Of(batch, {full, cancelled, closed, good}), MLA_OK) << mla_last_error();
  int32_t token = 0;
  ASSERT_EQ(mla_session_next(twin, &token, nullptr), MLA_OK);
  EXPECT_EQ(mla_session_cancel(cancelled), MLA_OK);
  EXPECT_EQ(mla_session_close(closed), MLA_OK);
  ASSERT_EQ(s.Of(batch, {full, cancelled, closed, good}), MLA_OK) << mla_last_error();
  EXPECT_EQ(s.statuses[0], MLA_CONTEXT_FULL);
  EXPECT_EQ(s.statuses[1], MLA_CANCELLED);
  EXPECT_EQ(s.statuses[2], MLA_CLOSED);
  EXPECT_EQ(s.statuses[3], MLA_OK);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(s.tokens[i], -1);
  const std::string words = mla_last_error();
  EXPECT_EQ(words.find("session 0 of 4: the context of 5 tokens holds 5, 1 more do not fit\n"
                       "session 1 of 4: cancelled\n"
                       "session 2 of 4: this session is closed"),
            0u)
      << words;
  ASSERT_EQ(mla_session_next(twin, &token, nullptr), MLA_OK);
  EXPECT_EQ(s.tokens[3], token);
  // Handles that never were sessions, and all of them.
  ASSERT_EQ(s.Of(batch, {0, model, batch, ~uint64_t{0}}), MLA_OK);
  for (mla_status status : s.statuses) EXPECT_EQ(status, MLA_CLOSED);
  for (mla_session session : {good, twin, full, cancelled}) mla_session_close(session);
  mla_batch_close(batch);
  mla_model_close(model);
}

TEST(BatchApi, ErrorsOfTheCallFillNothing) {
  const mla_model model = LoadTiny(), other = LoadTiny();
  const mla_batch batch = NewBatch(model);
  const mla_session session = Open(model, 3), foreign = Open(other, 3);
  Step s;
  EXPECT_FAILS(s.Of(batch, {session, foreign}), MLA_INVALID_ARGUMENT,
               "session 1 of 2 is of another");
  EXPECT_FAILS(s.Of(batch, {session, foreign, session}), MLA_INVALID_ARGUMENT, "of another model");
  EXPECT_FAILS(s.Of(batch, {session, 0, session}), MLA_INVALID_ARGUMENT,
               "session 2 of 3 is session 0 again");
  EXPECT_FAILS(s.Of(batch, {1, 2, 3, 4, 5}), MLA_INVALID_ARGUMENT,
               "is 5, expected 1 to the batch's 4");
  EXPECT_FAILS(mla_batch_next(batch, &session, 0, s.tokens, nullptr, s.statuses),
               MLA_INVALID_ARGUMENT, "is 0, expected 1");
  EXPECT_FAILS(mla_batch_next(batch, &session, -1, s.tokens, nullptr, s.statuses),
               MLA_INVALID_ARGUMENT, "is -1, expected 1");
  EXPECT_FAILS(mla_batch_next(batch, nullptr, 1, s.tokens, nullptr, s.statuses),
               MLA_INVALID_ARGUMENT, "'sessions'");
  EXPECT_FAILS(mla_batch_next(batch, &session, 1, nullptr, nullptr, s.statuses),
               MLA_INVALID_ARGUMENT, "'tokens'");
  EXPECT_FAILS(mla_batch_next(batch, &session, 1, s.tokens, nullptr, nullptr), MLA_INVALID_ARGUMENT,
               "'statuses'");
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(s.tokens[i], -7);
    EXPECT_EQ(s.statuses[i], -7);
    EXPECT_EQ(s.log_probabilities[i], 7);
  }
  for (mla_batch handle : {uint64_t{0}, model, session, ~uint64_t{0}}) {
    int64_t bytes = 0;
    EXPECT_EQ(s.Of(handle, {session}), MLA_CLOSED);
    EXPECT_EQ(mla_batch_memory(handle, &bytes), MLA_CLOSED);
    EXPECT_EQ(mla_batch_close(handle), MLA_CLOSED);
  }
  EXPECT_EQ(mla_session_close(batch), MLA_CLOSED);
  EXPECT_EQ(mla_batch_close(batch), MLA_OK);
  EXPECT_FAILS(mla_batch_close(batch), MLA_CLOSED, "this batch is closed");
  EXPECT_FAILS(s.Of(batch, {session}), MLA_CLOSED, "this batch is closed");
  mla_session_close(session);
  mla_session_close(foreign);
  mla_model_close(model);
  mla_model_close(other);
}

TEST(BatchApi, OptionsAndMemory) {
  const mla_model model = LoadTiny();
  mla_batch_options options{};
  mla_batch batch = 7;
  EXPECT_FAILS(mla_batch_create(model, &options, &batch), MLA_INVALID_ARGUMENT, "struct_size");
  EXPECT_EQ(batch, 0u);
  options.struct_size = sizeof(options);
  options.max_sessions = 1025;
  EXPECT_FAILS(mla_batch_create(model, &options, &batch), MLA_INVALID_ARGUMENT, "1025");
  options.max_sessions = -1;
  EXPECT_FAILS(mla_batch_create(model, &options, &batch), MLA_INVALID_ARGUMENT,
               "max_sessions is -1");
  options.max_sessions = 0;
  options.threads = -1;
  EXPECT_FAILS(mla_batch_create(model, &options, &batch), MLA_INVALID_ARGUMENT, "threads is -1");
  EXPECT_FAILS(mla_batch_create(model, nullptr, nullptr), MLA_INVALID_ARGUMENT, "'out'");
  EXPECT_FAILS(mla_batch_create(batch, nullptr, &batch), MLA_CLOSED, "model");
  int64_t sixteen = 0, one = 0;
  ASSERT_EQ(mla_batch_create(model, nullptr, &batch), MLA_OK) << mla_last_error();
  EXPECT_FAILS(mla_batch_memory(batch, nullptr), MLA_INVALID_ARGUMENT, "'workspace_bytes'");
  EXPECT_EQ(mla_batch_memory(batch, &sixteen), MLA_OK);
  const std::vector<mla_session> many(17, 0);
  int32_t tokens[17], statuses[17];
  EXPECT_FAILS(mla_batch_next(batch, many.data(), 17, tokens, nullptr, statuses),
               MLA_INVALID_ARGUMENT, "1 to the batch's 16");
  EXPECT_EQ(mla_batch_close(batch), MLA_OK);
  batch = NewBatch(model, 1);
  EXPECT_EQ(mla_batch_memory(batch, &one), MLA_OK);
  EXPECT_GT(one, 0);
  EXPECT_LT(one, sixteen);
  EXPECT_LE(sixteen, 16 * one);
  mla_batch_close(batch);
  EXPECT_FAILS(mla_batch_create(model + 1, nullptr, &batch), MLA_CLOSED, "model");
  mla_model_close(model);
}

// Everyone steps, cancels, rewinds, closes and reopens the same sessions and batches; nothing may
// be wrong but the statuses named here.
TEST(BatchApi, ThreadsThatShareEverythingNeverCrash) {
  const mla_model model = LoadTiny();
  std::atomic<mla_session> sessions[4];
  std::atomic<mla_batch> batches[2];
  for (auto& session : sessions) session = Open(model, 5);
  for (auto& batch : batches) batch = NewBatch(model);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      uint32_t random = 12345 + t;
      for (int i = 0; i < 300; ++i) {
        random = random * 1664525 + 1013904223;
        std::atomic<mla_session>& slot = sessions[(random >> 8) % 4];
        std::atomic<mla_batch>& batch = batches[(random >> 10) % 2];
        const auto known = [](mla_status status) {
          return status == MLA_OK || status == MLA_CANCELLED || status == MLA_CLOSED ||
                 status == MLA_CONTEXT_FULL || status == MLA_INVALID_ARGUMENT;
        };
        mla_status status = MLA_OK;
        switch ((random >> 16) % 16) {
          case 0:
            status = mla_session_append(slot, kPrompt, 5);
            break;
          case 1:
            status = mla_session_cancel(slot);
            break;
          case 2:
            status = mla_session_rewind(slot, 0);
            break;
          case 3: {
            const mla_session old = slot.exchange(Open(model, 5));
            status = mla_session_close(old);
            break;
          }
          case 4: {
            const mla_batch old = batch.exchange(NewBatch(model));
            status = mla_batch_close(old);
            break;
          }
          case 5: {
            int32_t token = 0;
            status = mla_session_next(slot, &token, nullptr);
            break;
          }
          default: {
            std::vector<mla_session> some;
            const size_t first = (random >> 20) % 4;
            for (size_t k = 0; k < 3; ++k) some.push_back(sessions[(first + k) % 4]);
            Step s;
            status = s.Of(batch, some);
            for (int k = 0; status == MLA_OK && k < 3; ++k) {
              ASSERT_TRUE(known(s.statuses[k])) << mla_last_error();
              ASSERT_EQ(s.tokens[k] >= 0, s.statuses[k] == MLA_OK);
            }
          }
        }
        ASSERT_TRUE(known(status)) << mla_last_error();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto& session : sessions) EXPECT_EQ(mla_session_close(session), MLA_OK);
  for (auto& batch : batches) EXPECT_EQ(mla_batch_close(batch), MLA_OK);
  EXPECT_EQ(mla_model_close(model), MLA_OK);
}

}  // namespace
}  // namespace mla
