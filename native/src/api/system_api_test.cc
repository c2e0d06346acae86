#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "api/gguf_api.h"
#include "graph/tiny_model_testing.h"
#include "mla/mla.h"

namespace mla {
namespace {

// Before anything asks for the instruction set: a name that must be quoted to stay JSON.
const int kEnvironment = setenv("MLA_ISA", "no\"such\\isa\n\xff", 1);

std::string SystemInfo() {
  int64_t length = 0;
  EXPECT_EQ(mla_system_info(nullptr, 0, &length), MLA_OK);
  std::string json(length, '\0');
  EXPECT_EQ(mla_system_info(json.data(), length, &length), MLA_OK);
  return json;
}

TEST(SystemApi, InfoIsAJsonObjectWithTheMachineAndTheChoice) {
  ASSERT_EQ(kEnvironment, 0);
  const std::string json = SystemInfo();
  EXPECT_EQ(json.rfind("{\"version\":\"" + std::string(mla_version()) + "\",", 0), 0u) << json;
  for (const char* key :
       {"\"isa\":\"", "\"isa_reason\":\"", "\"memory_nodes\":", "\"memory_nodes_reason\":\"",
        "\"isas\":[", "\"generic\"", "\"cores\":", "\"threads\":", "\"backends\":[\"cpu\"",
        "\"gpus\":[", "\"gpu_reason\":\""}) {
    EXPECT_NE(json.find(key), std::string::npos) << key << " in " << json;
  }
  EXPECT_NE(json.find("no\\\"such\\\\isa\\u000a\\u00ff"), std::string::npos) << json;
}

TEST(SystemApi, AShortBufferIsFilledAndNotOverrun) {
  char buffer[8];
  std::memset(buffer, '#', sizeof(buffer));
  int64_t length = 0;
  EXPECT_EQ(mla_system_info(buffer, 5, &length), MLA_OK);
  EXPECT_EQ(std::string(buffer, 8), "{\"ver###");
  EXPECT_GT(length, 8);
  EXPECT_EQ(mla_system_info(nullptr, 0, nullptr), MLA_INVALID_ARGUMENT);
}

TEST(SystemApi, TheRooflineIsMeasuredWithTheThreadsAskedFor) {
  struct {
    mla_roofline known;
    double newer;
  } out{};
  out.newer = 7;
  out.known.struct_size = sizeof(out);
  ASSERT_EQ(mla_measure_roofline(2, &out.known), MLA_OK) << mla_last_error();
  EXPECT_EQ(out.known.struct_size, static_cast<int32_t>(sizeof(out)));
  EXPECT_EQ(out.known.threads, 2);
  EXPECT_GT(out.known.bytes_per_second, 0);
  EXPECT_GT(out.known.float_multiply_adds_per_second, 0);
  EXPECT_GT(out.known.integer_multiply_adds_per_second, 0);
  EXPECT_EQ(out.newer, 0);  // what this version does not know

  out.known.struct_size = 8;
  EXPECT_EQ(mla_measure_roofline(2, &out.known), MLA_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mla_last_error(), "mla_roofline.struct_size is 8"), nullptr);
  out.known.struct_size = sizeof(out);
  EXPECT_EQ(mla_measure_roofline(-1, &out.known), MLA_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mla_last_error(), "threads is -1"), nullptr);
  EXPECT_EQ(mla_measure_roofline(100000, &out.known), MLA_INVALID_ARGUMENT);
  EXPECT_EQ(mla_measure_roofline(2, nullptr), MLA_INVALID_ARGUMENT);
}

struct Heard {
  std::vector<std::string> messages;
  mla_status reset_inside = MLA_OK;
};

void Listen(int32_t level, const char* message, void* user) {
  Heard& heard = *static_cast<Heard*>(user);
  EXPECT_EQ(level, MLA_LOG_INFO);
  heard.messages.push_back(message);
  heard.reset_inside = mla_set_log_callback(nullptr, nullptr);
}

void LoadTiny() {
  const mla_gguf gguf = GgufHandles().Add(TinyModel(TinyShape(), 3).File());
  mla_model model = 0;
  EXPECT_EQ(mla_model_load_gguf(gguf, &model), MLA_OK) << mla_last_error();
  EXPECT_EQ(mla_model_close(model), MLA_OK);
  EXPECT_EQ(mla_gguf_close(gguf), MLA_OK);
}

TEST(SystemApi, TheLogSpeaksOnlyToItsCallback) {
  Heard heard;
  ASSERT_EQ(mla_set_log_callback(Listen, &heard), MLA_OK);
  LoadTiny();
  ASSERT_EQ(heard.messages.size(), 1u);
  EXPECT_NE(heard.messages[0].find("2 layers"), std::string::npos) << heard.messages[0];
  EXPECT_EQ(heard.reset_inside, MLA_INVALID_ARGUMENT);  // would wait for itself
  ASSERT_EQ(mla_set_log_callback(nullptr, nullptr), MLA_OK);
  LoadTiny();
  EXPECT_EQ(heard.messages.size(), 1u);
}

TEST(SystemApi, ErrorsAreOfTheirThread) {
  EXPECT_EQ(mla_model_close(12345), MLA_CLOSED);
  EXPECT_NE(std::strstr(mla_last_error(), "12345"), nullptr);
  std::thread([] { EXPECT_STREQ(mla_last_error(), ""); }).join();
}

}  // namespace
}  // namespace mla
