#include "api/options.h"

#include <gtest/gtest.h>

#include <limits>

#include "runtime/session.h"
#include "runtime/thread_pool.h"

namespace mla {
namespace {

ModelShape Shape() {
  ModelShape shape;
  shape.context = 2048;
  return shape;
}

mla_cache_options Cache() {
  mla_cache_options options{};
  options.struct_size = sizeof(options);
  return options;
}

mla_session_options SessionOptions() {
  mla_session_options options{};
  options.struct_size = sizeof(options);
  return options;
}

template <typename R>
void ExpectRefused(const R& result, mla_status code, const std::string& words) {
  ASSERT_FALSE(result.ok()) << words;
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  EXPECT_NE(result.status().message().find(words), std::string::npos) << result.status().message();
}

TEST(CacheOptionsOfCallers, DefaultsFollowTheLatentType) {
  const CacheOptions none = ReadCacheOptions(nullptr).value();
  EXPECT_EQ(none.latent, CacheType::kF16);
  EXPECT_EQ(none.rope, CacheType::kF16);
  EXPECT_EQ(none.group, 32);
  EXPECT_EQ(none.residual, 0);
  EXPECT_EQ(none.sink, 0);
  struct Case {
    int32_t latent;
    CacheType rope;
    int32_t residual, sink;
  };
  for (const Case& c :
       {Case{MLA_CACHE_DEFAULT, CacheType::kF16, 0, 0}, Case{MLA_CACHE_F32, CacheType::kF32, 0, 0},
        Case{MLA_CACHE_F16, CacheType::kF16, 0, 0}, Case{MLA_CACHE_INT8, CacheType::kInt8, 0, 4},
        Case{MLA_CACHE_BF16, CacheType::kBf16, 0, 0},
        Case{MLA_CACHE_INT4, CacheType::kInt8, 128, 4},
        Case{MLA_CACHE_INT2, CacheType::kInt8, 128, 4}}) {
    mla_cache_options given = Cache();
    given.latent = c.latent;
    const CacheOptions options = ReadCacheOptions(&given).value();
    EXPECT_EQ(options.rope, c.rope);
    EXPECT_EQ(options.residual, c.residual);
    EXPECT_EQ(options.sink, c.sink);
    given.rope = MLA_CACHE_F32;
    given.group = 64;
    given.residual = -1;
    given.sink = 9;
    const CacheOptions set = ReadCacheOptions(&given).value();
    EXPECT_EQ(set.rope, CacheType::kF32);
    EXPECT_EQ(set.group, 64);
    EXPECT_EQ(set.residual, 0);
    EXPECT_EQ(set.sink, 9);
  }
}

TEST(CacheOptionsOfCallers, ValuesOutsideTheirRangeAreNamed) {
  const auto refused = [](const char* words, auto change) {
    mla_cache_options options = Cache();
    change(options);
    ExpectRefused(ReadCacheOptions(&options), MLA_INVALID_ARGUMENT, words);
  };
  refused("cache.latent is 7", [](auto& o) { o.latent = 7; });
  refused("cache.latent is -1", [](auto& o) { o.latent = -1; });
  refused("cache.rope is 99", [](auto& o) { o.rope = 99; });
  refused("cache.group is 16", [](auto& o) { o.group = 16; });
  refused("cache.residual is -2", [](auto& o) { o.residual = -2; });
  refused("cache.sink is -5", [](auto& o) { o.sink = -5; });
}

TEST(StructSizes, SmallerThanTheFirstVersionOrAbsurdIsRefused) {
  for (int32_t size : {0, 4, -24, int32_t{sizeof(mla_cache_options)} - 1, 100000,
                       std::numeric_limits<int32_t>::max()}) {
    mla_cache_options options = Cache();
    options.struct_size = size;
    ExpectRefused(ReadCacheOptions(&options), MLA_INVALID_ARGUMENT,
                  "struct_size is " + std::to_string(size));
  }
}

// A caller built against a later header, whose structs have grown.
TEST(StructSizes, ANewerCallersFieldsMustBeZero) {
  struct {
    mla_sampler_options known;
    int32_t more[4];
  } newer{};
  newer.known.struct_size = sizeof(newer);
  newer.known.top_k = 5;
  EXPECT_EQ(ReadSamplerOptions(&newer.known, nullptr, nullptr, 0).value().top_k, 5);
  newer.more[3] = 1;
  ExpectRefused(ReadSamplerOptions(&newer.known, nullptr, nullptr, 0), MLA_UNSUPPORTED,
                "does not know");
}

TEST(SessionOptionsOfCallers, NullAndZeroAreTheDefaults) {
  const mla_session_options zero = SessionOptions();
  for (const mla_session_options* given :
       std::initializer_list<const mla_session_options*>{nullptr, &zero}) {
    const DecoderOptions options = ReadSessionOptions(given, Shape()).value();
    EXPECT_EQ(options.context_length, 2048);
    EXPECT_EQ(options.threads, ThreadPool::DefaultThreads());
    EXPECT_EQ(options.prefill, MLA_PREFILL_AUTO);
    EXPECT_EQ(options.activations, Activations::kMixed);
    EXPECT_EQ(options.cache.latent, CacheType::kF16);
  }
}

TEST(SessionOptionsOfCallers, ValuesAreTakenOrNamed) {
  mla_session_options given = SessionOptions();
  given.context_length = 77;
  given.threads = 3;
  given.prefill = MLA_PREFILL_EXPANDED;
  given.activations = MLA_ACTIVATIONS_FINE;
  given.device = MLA_DEVICE_CUDA + 3;
  given.cache = Cache();
  given.cache.latent = MLA_CACHE_INT8;
  const DecoderOptions options = ReadSessionOptions(&given, Shape()).value();
  EXPECT_EQ(options.context_length, 77);
  EXPECT_EQ(options.threads, 3);
  EXPECT_EQ(options.prefill, MLA_PREFILL_EXPANDED);
  EXPECT_EQ(options.activations, Activations::kFine);
  EXPECT_EQ(options.device, MLA_DEVICE_CUDA + 3);
  EXPECT_EQ(options.cache.latent, CacheType::kInt8);
  const auto refused = [](const char* words, auto change) {
    mla_session_options bad = SessionOptions();
    change(bad);
    ExpectRefused(ReadSessionOptions(&bad, Shape()), MLA_INVALID_ARGUMENT, words);
  };
  refused("context_length is -1", [](auto& o) { o.context_length = -1; });
  refused("threads is -2", [](auto& o) { o.threads = -2; });
  refused("prefill is 3", [](auto& o) { o.prefill = 3; });
  refused("prefill is -1", [](auto& o) { o.prefill = -1; });
  refused("activations is 2", [](auto& o) { o.activations = 2; });
  refused("device is -2", [](auto& o) { o.device = -2; });
  refused("cache.group is 1", [](auto& o) {
    o.cache = Cache();
    o.cache.group = 1;
  });
  refused("cache.struct_size is 0", [](auto& o) { o.cache.latent = MLA_CACHE_INT4; });
  refused("mla_cache_options.struct_size is 8", [](auto& o) { o.cache.struct_size = 8; });
}

TEST(SamplerOptionsOfCallers, ZeroIsOffAndTheWindowHasADefault) {
  mla_sampler_options zero{};
  zero.struct_size = sizeof(zero);
  for (const mla_sampler_options* given :
       std::initializer_list<const mla_sampler_options*>{nullptr, &zero}) {
    const SamplerOptions options = ReadSamplerOptions(given, nullptr, nullptr, 0).value();
    EXPECT_EQ(options.temperature, 0);
    EXPECT_EQ(options.top_p, 1);
    EXPECT_EQ(options.repetition_penalty, 1);
    EXPECT_EQ(options.repetition_window, 64);
  }
  const int32_t tokens[] = {4, 9};
  const float values[] = {1.5f, -2};
  zero.repetition_window = -1;
  const SamplerOptions biased = ReadSamplerOptions(&zero, tokens, values, 2).value();
  EXPECT_EQ(biased.repetition_window, -1);
  ASSERT_EQ(biased.bias.size(), 2u);
  EXPECT_EQ(biased.bias[1].token, 9);
  EXPECT_EQ(biased.bias[1].value, -2);
  ExpectRefused(ReadSamplerOptions(&zero, tokens, values, -1), MLA_INVALID_ARGUMENT,
                "bias_count is -1");
}

}  // namespace
}  // namespace mla
