#include "gpu_bench/bench_options.h"

#include <gtest/gtest.h>

#include "mla/mla.h"

namespace mla {
namespace {

Result<GpuBenchOptions> Read(std::vector<const char*> words) {
  words.insert(words.begin(), "mla_gpu_bench");
  return ReadGpuBenchOptions(static_cast<int>(words.size()), words.data());
}

TEST(GpuBenchOptions, ListsChooseCases) {
  const auto options = Read({"--attention", "--heads", "16,128", "--cache", "int4", "--depth", "0",
                             "a.gguf", "--prompt", "", "b.gguf", "--sessions", "100"});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_TRUE(options.value().attention);
  EXPECT_EQ(options.value().heads, (std::vector<int32_t>{16, 128}));
  EXPECT_EQ(options.value().caches, std::vector<CacheType>{CacheType::kInt4});
  EXPECT_EQ(options.value().depths, std::vector<int32_t>{0});
  EXPECT_TRUE(options.value().prompts.empty());
  EXPECT_EQ(options.value().sessions, std::vector<int32_t>{100});
  EXPECT_EQ(options.value().models, (std::vector<std::string>{"a.gguf", "b.gguf"}));
  EXPECT_EQ(options.value().batches, GpuBenchOptions().batches);
}

TEST(GpuBenchOptions, WhatCannotBeReadIsNamed) {
  for (const std::vector<const char*>& words :
       std::vector<std::vector<const char*>>{{"--batch", "1,x"},
                                             {"--batch", "0"},
                                             {"--heads", "16,12"},
                                             {"--context", "8192;1"},
                                             {"--depth", "-1"},
                                             {"--cache", "int4,int3"},
                                             {"--seconds", "fast"},
                                             {"--tokens", "0"},
                                             {"--device", ""},
                                             {"--unheard", "1"},
                                             {"--json"},
                                             {"--check"}}) {
    const auto options = Read(words);
    ASSERT_FALSE(options.ok()) << words[0];
    EXPECT_EQ(options.status().code(), MLA_INVALID_ARGUMENT);
    EXPECT_NE(options.status().message().find(words[0]), std::string::npos)
        << options.status().message();
  }
}

}  // namespace
}  // namespace mla
