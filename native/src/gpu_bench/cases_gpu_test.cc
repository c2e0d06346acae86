// What the GPU's benchmark measures and checks, at sizes that the emulated GPU can do.
#include <gtest/gtest.h>

#include <cstdio>

#include "cache/cache_testing.h"
#include "cuda/gpu_testing.h"
#include "gguf/gguf_file.h"
#include "gpu_bench/attention_case.h"
#include "gpu_bench/decoding_case.h"
#include "gpu_bench/parity.h"
#include "gpu_bench/random_model.h"
#include "graph/decoder_testing.h"
#include "kernels/attention/attention_testing.h"
#include "mla/mla.h"

namespace mla {
namespace {

CacheOptions Int4() {
  CacheOptions options;
  options.latent = options.rope = CacheType::kInt4;
  return options;
}

TEST(GpuBenchCases, AttentionIsTimed) {
  using testing_attention::Kind;
  const LayerLayout layout = testing_attention::MakeLayout(Kind::kJoint, 3, 3, 1, 32, 88, 0);
  const AttentionCase one = {"small", layout, Int4(), 2, 130};
  // 9 heads score with 120 elements and sum 88.
  EXPECT_EQ(one.MultiplyAdds(), 2.0 * 130 * 9 * (32 + 88 + 88));
  EXPECT_GT(one.CacheBytes(), 2.0 * 130 * 60);
  const Result<double> seconds =
      TimeAttention(one, std::make_shared<TestGpu>(), tested::Kernels(), 1e-9);
  ASSERT_TRUE(seconds.ok()) << seconds.status().message();
  EXPECT_GT(seconds.value(), 0);
}

TEST(GpuBenchCases, WhatDoesNotFitIsSaid) {
  const LayerLayout layout =
      testing_attention::MakeLayout(testing_attention::Kind::kJoint, 3, 3, 1, 32, 88, 0);
  const Result<double> seconds = TimeAttention(
      {"large", layout, Int4(), 2, 1000},
      std::make_shared<TestGpu>(Emulator::Order::kForward, 20000), tested::Kernels(), 1e-9);
  ASSERT_FALSE(seconds.ok());
  EXPECT_EQ(seconds.status().code(), MLA_OUT_OF_MEMORY) << seconds.status().message();
}

// A tiny one of either kind is written, loaded, decoded.
TEST(GpuBenchCases, RandomModelsDecode) {
  RandomModel plain = {64, 2, 4, 4, 96, 64, 512};
  RandomModel converted = plain;
  converted.rank = 32;
  converted.rope_dim = 8;
  EXPECT_EQ(plain.cached_elements(), 2 * 2 * 64);
  EXPECT_EQ(converted.cached_elements(), 2 * (32 + 4 * 8));
  for (const RandomModel& model : {plain, converted}) {
    const std::string path = testing::TempDir() + "random-model.gguf";
    const Status written = WriteRandomModel(model, path);
    ASSERT_TRUE(written.ok()) << written.message();
    const auto file = GgufFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status().message();
    const auto weights = Weights::Load(file.value());
    ASSERT_TRUE(weights.ok()) << weights.status().message();
    const auto gpu =
        GpuModel::Create(weights.value(), std::make_shared<TestGpu>(), tested::Kernels(), 1);
    ASSERT_TRUE(gpu.ok()) << gpu.status().message();
    for (const DecodingCase& one :
         {DecodingCase{Int4(), 2, 70, 0, 2}, DecodingCase{Int4(), 1, 0, 20, 0},
          DecodingCase{Int4(), 1, 70, 20, 0, MLA_PREFILL_EXPANDED}}) {
      const Result<double> speed = TimeDecoding(one, weights.value(), gpu.value());
      ASSERT_TRUE(speed.ok()) << speed.status().message();
      EXPECT_GT(speed.value(), 0);
    }
    std::remove(path.c_str());
  }
}

TEST(GpuBenchCases, AModelIsComparedWithTheCpus) {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.rope_groups = 1;
  shape.rank = 40;
  shape.layers = 1;
  const auto weights = Weights::Load(TinyModel(shape, 3).File()).value();
  const std::vector<int32_t> tokens = Tokens(40, shape.vocabulary, 3);
  const auto compare = [&](const GpuKernels& kernels, const std::vector<CacheOptions>& caches) {
    std::vector<Parity> found;
    const auto gpu = GpuModel::Create(weights, std::make_shared<TestGpu>(), kernels, 1);
    EXPECT_TRUE(gpu.ok()) << gpu.status().message();
    const Status status = CompareWithCpu(weights, gpu.value(), tokens, caches, 1,
                                         [&](const Parity& p) { found.push_back(p); });
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(found.size(), 3 * caches.size());
    return found;
  };
  const auto told = [](const Parity& p) {
    return testing::Message() << static_cast<int>(p.cache.latent) << " window " << p.cache.residual
                              << " chunk " << p.split << ": " << p.difference << ", " << p.gpu_error
                              << " beside " << p.least_cpu_error << " to " << p.most_cpu_error
                              << ", " << p.top1;
  };
  for (const Parity& p : compare(tested::Kernels(), ParityCaches())) {
    EXPECT_TRUE(p.ok()) << told(p);
    EXPECT_GT(p.top1, 0.9) << told(p);
  }
  GpuKernels broken = tested::Kernels();
  broken.attention = [](GpuStream& gpu, const GpuAttention& attention) {
    GpuAttention other = attention;
    other.scale *= 1.2f;
    tested::Launch(gpu, other);
  };
  broken.prompt = [](GpuStream& gpu, const GpuPrompt& prompt) {
    GpuPrompt other = prompt;
    other.scale *= 1.2f;
    tested::Launch(gpu, other);
  };
  for (const Parity& p :
       compare(broken, {Of(CacheType::kF16), Of(CacheType::kBf16), Of(CacheType::kInt4)})) {
    EXPECT_FALSE(p.ok()) << told(p);
  }
}

TEST(GpuBenchCases, SessionsAreCountedUntilThereIsNoMemory) {
  const std::string path = testing::TempDir() + "random-model.gguf";
  ASSERT_TRUE(WriteRandomModel({64, 2, 4, 4, 96, 64, 512}, path).ok());
  const auto weights = Weights::Load(GgufFile::Open(path).value()).value();
  const auto stream = std::make_shared<TestGpu>(Emulator::Order::kForward, 96 << 20);
  const auto gpu = GpuModel::Create(weights, stream, tested::Kernels(), 1);
  ASSERT_TRUE(gpu.ok()) << gpu.status().message();
  const int64_t left = (96 << 20) - stream->allocated_bytes();
  const double bytes = LatentCache::BytesPerToken(Int4(), weights->shape().cache_layouts, 0) * 512;
  const Result<int32_t> sessions = CountSessions(Int4(), 512, weights, gpu.value());
  ASSERT_TRUE(sessions.ok()) << sessions.status().message();
  EXPECT_GT(sessions.value(), 0.5 * static_cast<double>(left) / bytes);
  EXPECT_LE(sessions.value(), static_cast<double>(left) / bytes);
  // What they held is room for what is no page, too, where there is nothing else.
  std::vector<void*> rest;
  for (int64_t size = 16 << 20; size > 0; size /= 2) {
    while (void* memory = stream->Allocate(size)) rest.push_back(memory);
  }
  // As long a context as theirs, whose pages are there: nothing but what is no page wants memory.
  const Result<double> speed = TimeDecoding({Int4(), 1, 512 - 5, 0, 2}, weights, gpu.value());
  EXPECT_TRUE(speed.ok()) << speed.status().message();
  for (void* memory : rest) stream->Free(memory);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace mla
