#include "api/model_api.h"

#include <utility>

#include "api/gguf_api.h"
#include "api/guard.h"
#include "api/options.h"
#include "cache/latent_cache.h"
#include "runtime/log.h"

namespace mla {

HandleTable<const Weights>& ModelHandles() {
  static auto& table = *new HandleTable<const Weights>(HandleKind::kModel);
  return table;
}

namespace {

constexpr size_t kModelInfoFirst = offsetof(mla_model_info, weight_bytes) + sizeof(int64_t);

Status Load(std::shared_ptr<const GgufFile> file, mla_model* out) {
  const std::string name = file->name();
  auto weights = Weights::Load(std::move(file));
  if (!weights.ok()) return weights.status();
  const ModelShape& shape = weights.value()->shape();
  if (LogEnabled()) {
    Log(MLA_LOG_INFO, name + ": " + shape.architecture + ", " + std::to_string(shape.layers) +
                          " layers, " + std::to_string(shape.parameters) + " parameters, " +
                          std::to_string(shape.weight_bytes) + " bytes of weights");
  }
  *out = ModelHandles().Add(std::move(weights.value()));
  return Status::Ok();
}

mla_model_info Describe(const ModelShape& shape) {
  mla_model_info info{};
  info.layers = shape.layers;
  info.embedding_length = shape.embedding;
  info.vocabulary_size = shape.vocabulary;
  info.context_length = shape.context;
  info.heads = shape.heads;
  info.kv_heads = shape.kv_heads;
  info.head_length = shape.head_length;
  info.converted = shape.converted ? 1 : 0;
  info.parameters = shape.parameters;
  info.weight_bytes = shape.weight_bytes;
  return info;
}

}  // namespace
}  // namespace mla

using mla::Guard;
using mla::ModelHandles;
using mla::NullArgument;
using mla::Status;

mla_status mla_model_load(const char* path, mla_model* out) {
  return Guard([&]() -> Status {
    if (path == nullptr) return NullArgument("path");
    if (out == nullptr) return NullArgument("out");
    *out = 0;
    auto file = mla::GgufFile::Open(path);
    return file.ok() ? mla::Load(std::move(file.value()), out) : file.status();
  });
}

mla_status mla_model_load_gguf(mla_gguf gguf, mla_model* out) {
  return Guard([&]() -> Status {
    if (out == nullptr) return NullArgument("out");
    *out = 0;
    auto file = mla::GgufHandles().Get(gguf);
    return file.ok() ? mla::Load(std::move(file.value()), out) : file.status();
  });
}

mla_status mla_model_close(mla_model model) {
  return Guard([&]() -> Status {
    return ModelHandles().Remove(model) != nullptr ? Status() : ModelHandles().Absent(model);
  });
}

mla_status mla_model_get_info(mla_model model, mla_model_info* info) {
  return Guard([&]() -> Status {
    if (info == nullptr) return NullArgument("info");
    const auto weights = ModelHandles().Get(model);
    if (!weights.ok()) return weights.status();
    return mla::WriteStruct("mla_model_info", mla::Describe(weights.value()->shape()),
                            mla::kModelInfoFirst, info);
  });
}

mla_status mla_model_cache_bytes_per_token(mla_model model, const mla_cache_options* options,
                                           int32_t context_length, double* bytes) {
  return Guard([&]() -> Status {
    if (bytes == nullptr) return NullArgument("bytes");
    if (context_length < 0) {
      return Status(MLA_INVALID_ARGUMENT, "context_length is " + std::to_string(context_length) +
                                              ", expected 0 (no end) or a number of tokens");
    }
    const auto weights = ModelHandles().Get(model);
    if (!weights.ok()) return weights.status();
    const auto cache = mla::ReadCacheOptions(options);
    if (!cache.ok()) return cache.status();
    *bytes = mla::LatentCache::BytesPerToken(cache.value(), weights.value()->shape().cache_layouts,
                                             context_length);
    return {};
  });
}
