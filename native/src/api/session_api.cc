#include "api/session_api.h"

#include <algorithm>
#include <utility>

#include "api/guard.h"
#include "api/model_api.h"
#include "api/options.h"
#include "api/profile_api.h"
#include "runtime/devices.h"

namespace mla {

HandleTable<Session>& SessionHandles() {
  static auto& table = *new HandleTable<Session>(HandleKind::kSession);
  return table;
}

namespace {

// Runs fn(session), which keeps it alive, for an open handle.
template <class Fn>
mla_status WithSession(mla_session handle, Fn fn) {
  return Guard([&]() -> Status {
    const auto session = SessionHandles().Get(handle);
    return session.ok() ? fn(*session.value()) : session.status();
  });
}

// What the session is made with: its device is found, and takes the model if it has not yet.
Result<DecoderOptions> OptionsFor(const std::shared_ptr<const Weights>& weights,
                                  const mla_session_options* options) {
  Result<DecoderOptions> read = ReadSessionOptions(options, weights->shape());
  if (!read.ok()) return read;
  DecoderOptions& decoder = read.value();
  Result<std::shared_ptr<GpuModel>> gpu = FindGpuModel(weights, decoder.device, decoder.threads);
  if (!gpu.ok()) return gpu.status();
  decoder.gpu = std::move(gpu.value());
  return read;
}

constexpr size_t kWorkFirst = offsetof(mla_work, integer_multiply_adds) + sizeof(double);

template <class T>
Status Store(const Result<T>& result, T* out) {
  if (result.ok()) *out = result.value();
  return result.status();
}

}  // namespace
}  // namespace mla

using mla::Guard;
using mla::NullArgument;
using mla::Session;
using mla::SessionHandles;
using mla::Status;
using mla::Store;
using mla::WithSession;

mla_status mla_session_create(mla_model model, const mla_session_options* options,
                              mla_session* out) {
  return Guard([&]() -> Status {
    if (out == nullptr) return NullArgument("out");
    *out = 0;
    auto weights = mla::ModelHandles().Get(model);
    if (!weights.ok()) return weights.status();
    const auto decoder = mla::OptionsFor(weights.value(), options);
    if (!decoder.ok()) return decoder.status();
    auto session = Session::Create(std::move(weights.value()), decoder.value());
    if (!session.ok()) return session.status();
    *out = SessionHandles().Add(std::move(session.value()));
    return {};
  });
}

mla_status mla_session_close(mla_session session) {
  return Guard([&]() -> Status {
    const auto object = SessionHandles().Remove(session);
    if (object == nullptr) return SessionHandles().Absent(session);
    object->Close();
    return {};
  });
}

mla_status mla_session_fork(mla_session session, mla_session* out) {
  return WithSession(session, [&](Session& s) -> Status {
    if (out == nullptr) return NullArgument("out");
    *out = 0;
    auto fork = s.Fork();
    if (!fork.ok()) return fork.status();
    *out = SessionHandles().Add(std::move(fork.value()));
    return {};
  });
}

mla_status mla_session_save(mla_session session, const char* path) {
  return WithSession(session, [&](Session& s) -> Status {
    if (path == nullptr) return NullArgument("path");
    return s.Save(path);
  });
}

mla_status mla_session_restore(mla_model model, const char* path,
                               const mla_session_options* options, mla_session* out) {
  return Guard([&]() -> Status {
    if (path == nullptr) return NullArgument("path");
    if (out == nullptr) return NullArgument("out");
    *out = 0;
    auto weights = mla::ModelHandles().Get(model);
    if (!weights.ok()) return weights.status();
    const auto decoder = mla::OptionsFor(weights.value(), options);
    if (!decoder.ok()) return decoder.status();
    auto session = Session::Restore(std::move(weights.value()), decoder.value(), path);
    if (!session.ok()) return session.status();
    *out = SessionHandles().Add(std::move(session.value()));
    return {};
  });
}

mla_status mla_session_cancel(mla_session session) {
  return WithSession(session, [&](Session& s) -> Status {
    s.Cancel();
    return {};
  });
}

mla_status mla_session_append(mla_session session, const int32_t* tokens, int32_t n) {
  return WithSession(session, [&](Session& s) -> Status {
    if (tokens == nullptr) return NullArgument("tokens");
    return s.Append(tokens, n);
  });
}

mla_status mla_session_append_all(mla_session session, const int32_t* tokens, int32_t n,
                                  float* logits, int64_t capacity) {
  return WithSession(session, [&](Session& s) -> Status {
    if (tokens == nullptr) return NullArgument("tokens");
    if (logits == nullptr) return NullArgument("logits");
    return s.AppendAll(tokens, n, logits, capacity);
  });
}

mla_status mla_session_append_scored(mla_session session, const int32_t* tokens, int32_t n,
                                     float* log_probabilities, int64_t capacity) {
  return WithSession(session, [&](Session& s) -> Status {
    if (tokens == nullptr) return NullArgument("tokens");
    if (log_probabilities == nullptr && n > 1) return NullArgument("log_probabilities");
    return s.AppendScored(tokens, n, log_probabilities, capacity);
  });
}

mla_status mla_session_logits(mla_session session, float* out, int64_t capacity) {
  return WithSession(session, [&](Session& s) -> Status {
    if (out == nullptr) return NullArgument("out");
    return s.Logits(out, capacity);
  });
}

mla_status mla_session_length(mla_session session, int32_t* tokens) {
  return WithSession(session, [&](Session& s) -> Status {
    if (tokens == nullptr) return NullArgument("tokens");
    return Store(s.Length(), tokens);
  });
}

mla_status mla_session_tokens(mla_session session, int32_t* tokens, int64_t capacity,
                              int32_t* count) {
  return WithSession(session, [&](Session& s) -> Status {
    if (count == nullptr) return NullArgument("count");
    if (tokens == nullptr && capacity > 0) return NullArgument("tokens");
    return Store(s.Tokens(tokens, std::max<int64_t>(capacity, 0)), count);
  });
}

mla_status mla_session_rewind(mla_session session, int32_t length) {
  return WithSession(session, [&](Session& s) { return s.Rewind(length); });
}

mla_status mla_session_memory(mla_session session, int64_t* cache_bytes, int64_t* workspace_bytes) {
  return WithSession(session, [&](Session& s) -> Status {
    const auto memory = s.MemoryUse();
    if (!memory.ok()) return memory.status();
    if (cache_bytes != nullptr) *cache_bytes = memory.value().cache_bytes;
    if (workspace_bytes != nullptr) *workspace_bytes = memory.value().workspace_bytes;
    return {};
  });
}

mla_status mla_session_count_work(mla_session session, int32_t first, int32_t n, mla_work* work) {
  return WithSession(
      session, [&](Session& s) -> Status { return mla::WriteWork(s.CountWork(first, n), work); });
}

mla_status mla_session_set_profiling(mla_session session, int32_t on) {
  return WithSession(session, [&](Session& s) { return s.SetProfiling(on != 0); });
}

mla_status mla_session_profile(mla_session session, mla_profile* profile) {
  return WithSession(session,
                     [&](Session& s) { return mla::WriteProfile(s.ProfileSoFar(), profile); });
}

mla_status mla_session_profile_row(mla_session session, int32_t operation, mla_profile_row* row) {
  return WithSession(
      session, [&](Session& s) { return mla::WriteProfileRow(s.ProfileSoFar(), operation, row); });
}

mla_status mla_session_set_sampler(mla_session session, const mla_sampler_options* options,
                                   const int32_t* bias_tokens, const float* bias_values,
                                   int32_t bias_count) {
  return WithSession(session, [&](Session& s) -> Status {
    auto sampler = mla::ReadSamplerOptions(options, bias_tokens, bias_values, bias_count);
    if (!sampler.ok()) return sampler.status();
    return s.SetSampler(std::move(sampler.value()));
  });
}

mla_status mla_session_sample(mla_session session, int32_t* token, float* log_probability) {
  return WithSession(session, [&](Session& s) -> Status {
    if (token == nullptr) return NullArgument("token");
    return Store(s.Sample(log_probability), token);
  });
}

mla_status mla_session_next(mla_session session, int32_t* token, float* log_probability) {
  return WithSession(session, [&](Session& s) -> Status {
    if (token == nullptr) return NullArgument("token");
    return Store(s.Next(log_probability), token);
  });
}
