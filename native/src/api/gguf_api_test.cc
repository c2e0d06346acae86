#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "mla/mla.h"

namespace {

#define ASSERT_OK(call) ASSERT_EQ(call, MLA_OK) << mla_last_error()
#define EXPECT_FAILS(call, code, words)                                                          \
  do {                                                                                           \
    EXPECT_EQ(call, code) << mla_last_error();                                                   \
    EXPECT_NE(std::string(mla_last_error()).find(words), std::string::npos) << mla_last_error(); \
  } while (false)

// A small file in memory: a string, an array, a bool, a list of strings, an F32 and a Q8_0 tensor.
mla_gguf Sample() {
  mla_gguf_writer w = 0;
  EXPECT_EQ(mla_gguf_writer_create(nullptr, &w), MLA_OK);
  const int64_t offsets[] = {0, 3, 3, 6}, one[] = {0, 4}, yes = 1, list[] = {5, -6};
  const auto* text = reinterpret_cast<const uint8_t*>("onetwo");
  EXPECT_EQ(mla_gguf_writer_set_strings(w, "name", text, one, -1), MLA_OK);
  EXPECT_EQ(mla_gguf_writer_set_integers(w, "list", MLA_VALUE_I32, list, 2), MLA_OK);
  EXPECT_EQ(mla_gguf_writer_set_integers(w, "yes", MLA_VALUE_BOOL, &yes, -1), MLA_OK);
  EXPECT_EQ(mla_gguf_writer_set_strings(w, "strings", text, offsets, 3), MLA_OK);
  const int64_t dims[] = {3, 2}, blocks[] = {64};
  const float values[] = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(mla_gguf_writer_begin_tensor(w, "f", MLA_TYPE_F32, 2, dims), MLA_OK);
  EXPECT_EQ(mla_gguf_writer_append_f32(w, values, 6), MLA_OK);
  std::vector<float> ramp(64);
  for (size_t i = 0; i < 64; ++i) ramp[i] = static_cast<float>(i) * 2;
  EXPECT_EQ(mla_gguf_writer_begin_tensor(w, "q", MLA_TYPE_Q8_0, 1, blocks), MLA_OK);
  EXPECT_EQ(mla_gguf_writer_append_f32(w, ramp.data(), 64), MLA_OK);
  EXPECT_EQ(mla_gguf_writer_finish(w), MLA_OK) << mla_last_error();
  mla_gguf g = 0;
  EXPECT_EQ(mla_gguf_writer_reader(w, &g), MLA_OK) << mla_last_error();
  EXPECT_EQ(mla_gguf_writer_close(w), MLA_OK);
  return g;
}

TEST(GgufApi, ReadsWhatWasWritten) {
  const mla_gguf g = Sample();
  int64_t keys = 0, tensors = 0;
  ASSERT_OK(mla_gguf_counts(g, &keys, &tensors));
  EXPECT_EQ(keys, 4);
  EXPECT_EQ(tensors, 2);

  char name[8];
  int64_t length = 0, count = 0, index = 0;
  int32_t type = 0, element_type = 0;
  ASSERT_OK(mla_gguf_find_key(g, "strings", &index));
  ASSERT_OK(mla_gguf_key_info(g, index, name, 8, &length, &type, &element_type, &count));
  EXPECT_STREQ(name, "strings");
  EXPECT_EQ(length, 7);
  EXPECT_EQ(type, MLA_VALUE_ARRAY);
  EXPECT_EQ(element_type, MLA_VALUE_STRING);
  EXPECT_EQ(count, 3);
  std::memset(name, 'x', sizeof name);
  ASSERT_OK(mla_gguf_key_info(g, index, name, 3, &length, nullptr, nullptr, nullptr));
  EXPECT_EQ(std::string(name, 4), "strx");
  ASSERT_OK(mla_gguf_key_info(g, index, nullptr, 0, &length, nullptr, nullptr, nullptr));
  EXPECT_EQ(length, 7);

  int64_t offsets[4];
  uint8_t bytes[6];
  ASSERT_OK(mla_gguf_read_strings(g, index, offsets, 4, nullptr, 0));
  EXPECT_EQ(offsets[3], 6);
  ASSERT_OK(mla_gguf_read_strings(g, index, offsets, 4, bytes, 6));
  EXPECT_EQ(std::memcmp(bytes, "onetwo", 6), 0);
  EXPECT_EQ(offsets[2], 3);
  EXPECT_FAILS(mla_gguf_read_strings(g, index, offsets, 3, nullptr, 0), MLA_INVALID_ARGUMENT,
               "at least 4");
  EXPECT_FAILS(mla_gguf_read_strings(g, index, offsets, 4, bytes, 5), MLA_INVALID_ARGUMENT,
               "at least 6");

  ASSERT_OK(mla_gguf_find_key(g, "list", &index));
  int64_t integers[2];
  double reals[2];
  ASSERT_OK(mla_gguf_read_integers(g, index, integers, 2));
  EXPECT_EQ(integers[1], -6);
  ASSERT_OK(mla_gguf_read_reals(g, index, reals, 2));
  EXPECT_EQ(reals[1], -6);
  EXPECT_FAILS(mla_gguf_read_integers(g, index, integers, 1), MLA_INVALID_ARGUMENT, "'list'");
  EXPECT_FAILS(mla_gguf_read_strings(g, index, offsets, 4, nullptr, 0), MLA_INVALID_ARGUMENT,
               "holds i32, asked for strings");
  EXPECT_FAILS(mla_gguf_read_integers(g, 4, integers, 2), MLA_INVALID_ARGUMENT, "index 4");
  EXPECT_FAILS(mla_gguf_read_integers(g, -1, integers, 2), MLA_INVALID_ARGUMENT, "index -1");
  ASSERT_OK(mla_gguf_find_key(g, "yes", &index));
  ASSERT_OK(mla_gguf_read_integers(g, index, integers, 1));
  EXPECT_EQ(integers[0], 1);
  ASSERT_OK(mla_gguf_find_key(g, "absent", &index));
  EXPECT_EQ(index, -1);

  int64_t dims[4], size = 0;
  int32_t n_dims = 0;
  ASSERT_OK(mla_gguf_find_tensor(g, "f", &index));
  ASSERT_OK(mla_gguf_tensor_info(g, index, name, 8, &length, &type, &n_dims, dims, &size));
  EXPECT_STREQ(name, "f");
  EXPECT_EQ(type, MLA_TYPE_F32);
  EXPECT_EQ(n_dims, 2);
  EXPECT_EQ(dims[0], 3);
  EXPECT_EQ(dims[2], 1);
  EXPECT_EQ(size, 24);
  float values[64];
  ASSERT_OK(mla_gguf_read_tensor_f32(g, index, 2, 3, values));
  EXPECT_EQ(values[2], 5);
  ASSERT_OK(mla_gguf_find_tensor(g, "q", &index));
  ASSERT_OK(mla_gguf_read_tensor_f32(g, index, 32, 32, values));
  EXPECT_NEAR(values[31], 126, 0.1);
  EXPECT_FAILS(mla_gguf_read_tensor_f32(g, index, 1, 32, values), MLA_INVALID_ARGUMENT,
               "multiples of 32");
  EXPECT_FAILS(mla_gguf_read_tensor_f32(g, index, 32, 64, values), MLA_INVALID_ARGUMENT, "its 64");
  EXPECT_FAILS(mla_gguf_read_tensor_f32(g, index, 32, INT64_MAX - 31, values), MLA_INVALID_ARGUMENT,
               "'q'");
  ASSERT_OK(mla_gguf_read_tensor_bytes(g, index, 67, 1, bytes));
  EXPECT_EQ(bytes[0], 127);
  EXPECT_FAILS(mla_gguf_read_tensor_bytes(g, index, 68, 1, bytes), MLA_INVALID_ARGUMENT, "its 68");
  ASSERT_OK(mla_gguf_release_pages(g));
  ASSERT_OK(mla_gguf_read_tensor_bytes(g, index, 67, 1, bytes));
  ASSERT_OK(mla_gguf_close(g));
}

TEST(GgufApi, ClosedAndForeignHandlesAreRefused) {
  const mla_gguf g = Sample();
  mla_gguf_writer w = 0;
  ASSERT_OK(mla_gguf_writer_create(nullptr, &w));
  int64_t n = 0;
  EXPECT_FAILS(mla_gguf_counts(w, &n, &n), MLA_CLOSED, "GGUF file");
  EXPECT_FAILS(mla_gguf_writer_finish(g), MLA_CLOSED, "GGUF writer");
  ASSERT_OK(mla_gguf_close(g));
  EXPECT_EQ(mla_gguf_close(g), MLA_CLOSED);
  EXPECT_EQ(mla_gguf_counts(g, &n, &n), MLA_CLOSED);
  EXPECT_EQ(mla_gguf_release_pages(g), MLA_CLOSED);
  EXPECT_EQ(mla_gguf_writer_copy_key(w, g, 0), MLA_CLOSED);
  EXPECT_EQ(mla_gguf_close(0), MLA_CLOSED);
  ASSERT_OK(mla_gguf_writer_close(w));
  EXPECT_EQ(mla_gguf_writer_close(w), MLA_CLOSED);
}

TEST(GgufApi, NullsAreRefused) {
  const mla_gguf g = Sample();
  mla_gguf out = 0;
  int64_t index = 0;
  EXPECT_FAILS(mla_gguf_open(nullptr, &out), MLA_INVALID_ARGUMENT, "'path'");
  EXPECT_FAILS(mla_gguf_open("x", nullptr), MLA_INVALID_ARGUMENT, "'out'");
  EXPECT_FAILS(mla_gguf_find_key(g, nullptr, &index), MLA_INVALID_ARGUMENT, "'name'");
  EXPECT_FAILS(mla_gguf_find_tensor(g, "f", nullptr), MLA_INVALID_ARGUMENT, "'index'");
  EXPECT_FAILS(mla_gguf_read_integers(g, 1, nullptr, 2), MLA_INVALID_ARGUMENT, "'out'");
  EXPECT_FAILS(mla_gguf_read_tensor_f32(g, 0, 0, 3, nullptr), MLA_INVALID_ARGUMENT, "'out'");
  EXPECT_FAILS(mla_gguf_writer_create(nullptr, nullptr), MLA_INVALID_ARGUMENT, "'out'");
  mla_gguf_writer w = 0;
  ASSERT_OK(mla_gguf_writer_create(nullptr, &w));
  const int64_t falling[] = {0, 3, 1}, dims[] = {1ll << 58};
  const auto* text = reinterpret_cast<const uint8_t*>("abc");
  EXPECT_FAILS(mla_gguf_writer_set_strings(w, "k", text, falling, 2), MLA_INVALID_ARGUMENT, "rise");
  EXPECT_FAILS(mla_gguf_writer_set_strings(w, "k", nullptr, falling, 1), MLA_INVALID_ARGUMENT,
               "'bytes'");
  EXPECT_FAILS(mla_gguf_writer_set_strings(w, "k", text, nullptr, 1), MLA_INVALID_ARGUMENT,
               "'offsets'");
  EXPECT_FAILS(mla_gguf_writer_set_strings(w, "k", text, falling, -7), MLA_INVALID_ARGUMENT,
               "count -7");
  EXPECT_FAILS(mla_gguf_writer_set_integers(w, nullptr, 0, dims, 1), MLA_INVALID_ARGUMENT, "'key'");
  EXPECT_FAILS(mla_gguf_writer_begin_tensor(w, "t", 0, 1, nullptr), MLA_INVALID_ARGUMENT, "'dims'");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their allocators abort
  EXPECT_FAILS(mla_gguf_writer_begin_tensor(w, "t", 0, 1, dims), MLA_OUT_OF_MEMORY, "memory");
#endif
  ASSERT_OK(mla_gguf_writer_close(w));
  ASSERT_OK(mla_gguf_close(g));
}

TEST(GgufApi, ErrorsNameTheFile) {
  mla_gguf g = 0;
  EXPECT_FAILS(mla_gguf_open("/nonexistent/model.gguf", &g), MLA_NOT_FOUND,
               "/nonexistent/model.gguf");
  EXPECT_EQ(g, 0u);
  EXPECT_FAILS(mla_gguf_open(testing::TempDir().c_str(), &g), MLA_BAD_FILE, "directory");
}

TEST(GgufApi, OneThreadClosesWhileOthersRead) {
  for (int round = 0; round < 5; ++round) {
    const mla_gguf g = Sample();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([g] {
        float values[6];
        mla_status status = MLA_OK;
        while (status == MLA_OK) status = mla_gguf_read_tensor_f32(g, 0, 0, 6, values);
        EXPECT_EQ(status, MLA_CLOSED);
      });
    }
    std::this_thread::yield();
    EXPECT_EQ(mla_gguf_close(g), MLA_OK);
    for (auto& thread : threads) thread.join();
  }
}

TEST(GgufApi, OneThreadClosesAWriterWhileAnotherAppends) {
  mla_gguf_writer w = 0;
  ASSERT_OK(mla_gguf_writer_create(nullptr, &w));
  const int64_t dims[] = {64, 1 << 16};
  ASSERT_OK(mla_gguf_writer_begin_tensor(w, "t", MLA_TYPE_Q8_0, 2, dims));
  std::thread appender([w] {
    const std::vector<float> row(64);
    mla_status status = MLA_OK;
    for (int i = 0; i < (1 << 16) && status == MLA_OK; ++i) {
      status = mla_gguf_writer_append_f32(w, row.data(), 64);
    }
    EXPECT_TRUE(status == MLA_OK || status == MLA_CLOSED) << mla_last_error();
  });
  EXPECT_EQ(mla_gguf_writer_close(w), MLA_OK);
  appender.join();
}

}  // namespace
