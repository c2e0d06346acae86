// Options structs as callers of any age pass them: checked, completed with defaults, translated.
#ifndef MLA_API_OPTIONS_H_
#define MLA_API_OPTIONS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "cache/layout.h"
#include "graph/decoder.h"
#include "graph/model_shape.h"
#include "mla/mla.h"
#include "runtime/batch.h"
#include "runtime/sampler.h"
#include "tensor/status.h"

namespace mla {

// A struct_size beyond this is no struct of any version, but memory that was never set.
constexpr int32_t kMaxStructSize = 4096;

// `given` is a struct that begins with struct_size; `first` is its size in the first version of the
// API.
inline Status CheckStructSize(const char* name, int32_t given, size_t first) {
  if (given >= static_cast<int32_t>(first) && given <= kMaxStructSize) return Status::Ok();
  return Status(MLA_INVALID_ARGUMENT, std::string(name) + ".struct_size is " +
                                          std::to_string(given) + ", expected sizeof(" + name +
                                          "), at least " + std::to_string(first));
}

// Copies what this library knows; what the caller's version lacks is zero, the default. A newer
// caller's fields must be zero, too: they ask for something that this library cannot do. null: all
// zero.
template <typename T>
Status ReadStruct(const char* name, const T* from, size_t first, T* to) {
  *to = T{};
  if (from == nullptr) return Status::Ok();
  if (Status status = CheckStructSize(name, from->struct_size, first); !status.ok()) return status;
  const size_t size = static_cast<size_t>(from->struct_size);
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  if (size > sizeof(T) &&
      std::any_of(bytes + sizeof(T), bytes + size, [](unsigned char byte) { return byte != 0; })) {
    return Status(MLA_UNSUPPORTED, std::string(name) + " has " + std::to_string(size) +
                                       " bytes with a field set that this version (" +
                                       std::to_string(sizeof(T)) + " bytes) does not know");
  }
  std::memcpy(to, bytes, std::min(size, sizeof(T)));
  return Status::Ok();
}

// The way back: fills the caller's struct, whose struct_size stays. A newer caller's fields become
// zero. T begins with struct_size.
template <typename T>
Status WriteStruct(const char* name, const T& known, size_t first, T* to) {
  if (Status status = CheckStructSize(name, to->struct_size, first); !status.ok()) return status;
  const int32_t given = to->struct_size;
  const size_t size = static_cast<size_t>(given);
  std::memset(static_cast<void*>(to), 0, size);
  std::memcpy(static_cast<void*>(to), &known, std::min(size, sizeof(T)));
  to->struct_size = given;
  return Status::Ok();
}

// Each may be given null for all defaults.
Result<CacheOptions> ReadCacheOptions(const mla_cache_options* options);
Result<DecoderOptions> ReadSessionOptions(const mla_session_options* options,
                                          const ModelShape& shape);
Result<BatchOptions> ReadBatchOptions(const mla_batch_options* options);
Result<SamplerOptions> ReadSamplerOptions(const mla_sampler_options* options,
                                          const int32_t* bias_tokens, const float* bias_values,
                                          int32_t bias_count);

}  // namespace mla
#endif  // MLA_API_OPTIONS_H_
