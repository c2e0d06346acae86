#include "api/options.h"

#include "api/guard.h"
#include "runtime/thread_pool.h"

namespace mla {
namespace {

// The structs' sizes in the first version: later ones only add to them.
constexpr size_t kCacheOptionsFirst = offsetof(mla_cache_options, sink) + sizeof(int32_t);
constexpr size_t kSessionOptionsFirst = offsetof(mla_session_options, cache) + kCacheOptionsFirst;
constexpr size_t kBatchOptionsFirst = offsetof(mla_batch_options, threads) + sizeof(int32_t);
constexpr size_t kSamplerOptionsFirst = offsetof(mla_sampler_options, seed) + sizeof(uint64_t);

Status Refused(const char* field, int64_t value, const std::string& expected) {
  return Status(MLA_INVALID_ARGUMENT,
                std::string(field) + " is " + std::to_string(value) + ", expected " + expected);
}

Status CheckCacheType(const char* field, int32_t type) {
  if (type >= MLA_CACHE_DEFAULT && type <= MLA_CACHE_BF16) return Status::Ok();
  return Refused(field, type, "one of MLA_CACHE_DEFAULT (0) to MLA_CACHE_BF16 (6)");
}

CacheType DefaultRope(CacheType latent) { return IsFloat(latent) ? latent : CacheType::kInt8; }

Result<int32_t> Threads(int32_t value) {
  if (value < 0) return Refused("threads", value, "0 (all cores) or a number of threads");
  return value == 0 ? ThreadPool::DefaultThreads() : value;
}

// A number of tokens where 0 is the default and -1 none.
Result<int32_t> TokenCount(const char* field, int32_t value, int32_t by_default) {
  if (value < -1) return Refused(field, value, "-1 (none), 0 (default) or a number of tokens");
  return value == 0 ? by_default : value == -1 ? 0 : value;
}

Result<CacheOptions> Translate(const mla_cache_options& given) {
  if (Status s = CheckCacheType("cache.latent", given.latent); !s.ok()) return s;
  if (Status s = CheckCacheType("cache.rope", given.rope); !s.ok()) return s;
  if (given.group != 0 && given.group != 32 && given.group != 64) {
    return Refused("cache.group", given.group, "32 or 64 (0: 32)");
  }
  CacheOptions options;
  if (given.latent != MLA_CACHE_DEFAULT) options.latent = static_cast<CacheType>(given.latent);
  options.rope = given.rope == MLA_CACHE_DEFAULT ? DefaultRope(options.latent)
                                                 : static_cast<CacheType>(given.rope);
  if (given.group != 0) options.group = given.group;
  const bool low_bit = options.latent == CacheType::kInt4 || options.latent == CacheType::kInt2;
  const Result<int32_t> residual = TokenCount("cache.residual", given.residual, low_bit ? 128 : 0);
  if (!residual.ok()) return residual.status();
  // A text's first token has latents far beyond all others', and most of the attention.
  const bool quantized = low_bit || options.latent == CacheType::kInt8;
  const Result<int32_t> sink = TokenCount("cache.sink", given.sink, quantized ? 4 : 0);
  if (!sink.ok()) return sink.status();
  options.residual = residual.value();
  options.sink = sink.value();
  return options;
}

}  // namespace

Result<CacheOptions> ReadCacheOptions(const mla_cache_options* options) {
  mla_cache_options given;
  if (Status s = ReadStruct("mla_cache_options", options, kCacheOptionsFirst, &given); !s.ok()) {
    return s;
  }
  return Translate(given);
}

Result<DecoderOptions> ReadSessionOptions(const mla_session_options* options,
                                          const ModelShape& shape) {
  mla_session_options given;
  if (Status s = ReadStruct("mla_session_options", options, kSessionOptionsFirst, &given);
      !s.ok()) {
    return s;
  }
  DecoderOptions out;
  if (given.context_length < 0) {
    return Refused("context_length", given.context_length, "0 (the model's) or a number of tokens");
  }
  out.context_length = given.context_length == 0 ? shape.context : given.context_length;
  const Result<int32_t> threads = Threads(given.threads);
  if (!threads.ok()) return threads.status();
  out.threads = threads.value();
  if (given.prefill < MLA_PREFILL_AUTO || given.prefill > MLA_PREFILL_EXPANDED) {
    return Refused("prefill", given.prefill,
                   "one of MLA_PREFILL_AUTO (0) to MLA_PREFILL_EXPANDED (2)");
  }
  out.prefill = given.prefill;
  if (given.activations != MLA_ACTIVATIONS_MIXED && given.activations != MLA_ACTIVATIONS_FINE) {
    return Refused("activations", given.activations,
                   "MLA_ACTIVATIONS_MIXED (0) or MLA_ACTIVATIONS_FINE (1)");
  }
  out.activations =
      given.activations == MLA_ACTIVATIONS_FINE ? Activations::kFine : Activations::kMixed;
  if (given.device < MLA_DEVICE_AUTO) {
    return Refused("device", given.device,
                   "MLA_DEVICE_AUTO (-1), MLA_DEVICE_CPU (0) or MLA_DEVICE_CUDA (1) and above");
  }
  out.device = given.device;
  mla_cache_options& cache = given.cache;
  if (cache.struct_size == 0) {
    // Fields without the size are a mistake that would silently run with another cache.
    if ((cache.latent | cache.rope | cache.group | cache.residual | cache.sink) != 0) {
      return Refused("mla_session_options.cache.struct_size", 0,
                     "sizeof(mla_cache_options), since a field of it is set");
    }
  } else {
    if (Status s = CheckStructSize("mla_cache_options", cache.struct_size, kCacheOptionsFirst);
        !s.ok()) {
      return s;
    }
  }
  const Result<CacheOptions> translated = Translate(cache);
  if (!translated.ok()) return translated.status();
  out.cache = translated.value();
  return out;
}

Result<BatchOptions> ReadBatchOptions(const mla_batch_options* options) {
  mla_batch_options given;
  if (Status s = ReadStruct("mla_batch_options", options, kBatchOptionsFirst, &given); !s.ok()) {
    return s;
  }
  BatchOptions out;
  if (given.max_sessions < 0) {
    return Refused("max_sessions", given.max_sessions, "0 (16) or a number of sessions");
  }
  if (given.max_sessions > 0) out.max_sessions = given.max_sessions;
  const Result<int32_t> threads = Threads(given.threads);
  if (!threads.ok()) return threads.status();
  out.threads = threads.value();
  return out;
}

Result<SamplerOptions> ReadSamplerOptions(const mla_sampler_options* options,
                                          const int32_t* bias_tokens, const float* bias_values,
                                          int32_t bias_count) {
  mla_sampler_options given;
  if (Status s = ReadStruct("mla_sampler_options", options, kSamplerOptionsFirst, &given);
      !s.ok()) {
    return s;
  }
  if (bias_count < 0) return Refused("bias_count", bias_count, "0 or more");
  if (bias_count > 0 && bias_tokens == nullptr) return NullArgument("bias_tokens");
  if (bias_count > 0 && bias_values == nullptr) return NullArgument("bias_values");
  SamplerOptions out;
  out.temperature = given.temperature;
  out.top_k = given.top_k;
  out.top_p = given.top_p == 0 ? 1 : given.top_p;
  out.min_p = given.min_p;
  out.repetition_penalty = given.repetition_penalty == 0 ? 1 : given.repetition_penalty;
  out.repetition_window = given.repetition_window == 0 ? 64 : given.repetition_window;
  out.seed = given.seed;
  out.bias.reserve(bias_count);
  for (int32_t i = 0; i < bias_count; ++i) out.bias.push_back({bias_tokens[i], bias_values[i]});
  return out;
}

}  // namespace mla
