#include <span>
#include <string>
#include <utility>
#include <vector>

#include "api/guard.h"
#include "api/handles.h"
#include "api/model_api.h"
#include "api/options.h"
#include "api/profile_api.h"
#include "api/session_api.h"
#include "runtime/batch.h"

namespace mla {
namespace {

// Never destroyed: a thread may still be in a call while the process ends.
HandleTable<Batch>& BatchHandles() {
  static auto& table = *new HandleTable<Batch>(HandleKind::kBatch);
  return table;
}

// The turns of the thread's running call. Their memory stays for the next one, so that a step
// allocates nothing; their sessions do not.
class CallTurns {
 public:
  explicit CallTurns(int32_t n) { turns_.resize(static_cast<size_t>(n)); }
  ~CallTurns() { turns_.clear(); }
  CallTurns(const CallTurns&) = delete;
  CallTurns& operator=(const CallTurns&) = delete;
  std::span<Batch::Turn> span() const { return turns_; }

 private:
  static thread_local std::vector<Batch::Turn> turns_;
};
thread_local std::vector<Batch::Turn> CallTurns::turns_;

// A line for each session that failed. The step is done, so that this must not fail.
void ReportTurns(std::span<const Batch::Turn> turns) noexcept {
  try {
    std::string lines;
    for (size_t i = 0; i < turns.size(); ++i) {
      if (turns[i].status.ok()) continue;
      if (!lines.empty()) lines += '\n';
      lines += "session " + std::to_string(i) + " of " + std::to_string(turns.size()) + ": " +
               turns[i].status.message();
    }
    if (!lines.empty()) ReportError(MLA_OK, lines.c_str());
  } catch (const std::bad_alloc&) {
    ReportError(MLA_OK, "out of memory");
  }
}

template <class Fn>
mla_status WithBatch(mla_batch handle, Fn fn) {
  return Guard([&]() -> Status {
    const auto batch = BatchHandles().Get(handle);
    return batch.ok() ? fn(*batch.value()) : batch.status();
  });
}

}  // namespace
}  // namespace mla

using mla::Batch;
using mla::BatchHandles;
using mla::Guard;
using mla::NullArgument;
using mla::Status;
using mla::WithBatch;

mla_status mla_batch_create(mla_model model, const mla_batch_options* options, mla_batch* out) {
  return Guard([&]() -> Status {
    if (out == nullptr) return NullArgument("out");
    *out = 0;
    auto weights = mla::ModelHandles().Get(model);
    if (!weights.ok()) return weights.status();
    const auto read = mla::ReadBatchOptions(options);
    if (!read.ok()) return read.status();
    auto batch = Batch::Create(std::move(weights.value()), read.value());
    if (!batch.ok()) return batch.status();
    *out = BatchHandles().Add(std::move(batch.value()));
    return {};
  });
}

mla_status mla_batch_close(mla_batch batch) {
  return Guard([&]() -> Status {
    return BatchHandles().Remove(batch) != nullptr ? Status() : BatchHandles().Absent(batch);
  });
}

mla_status mla_batch_next(mla_batch batch, const mla_session* sessions, int32_t n, int32_t* tokens,
                          float* log_probabilities, mla_status* statuses) {
  return WithBatch(batch, [&](Batch& b) -> Status {
    if (sessions == nullptr) return NullArgument("sessions");
    if (tokens == nullptr) return NullArgument("tokens");
    if (statuses == nullptr) return NullArgument("statuses");
    if (Status status = b.CheckCount(n); !status.ok()) return status;
    const mla::CallTurns call(n);
    const std::span<Batch::Turn> turns = call.span();
    for (int32_t i = 0; i < n; ++i) {
      Batch::Turn& turn = turns[static_cast<size_t>(i)];
      turn.session = mla::SessionHandles().Find(sessions[i]);
      if (turn.session == nullptr) turn.status = mla::SessionHandles().Absent(sessions[i]);
    }
    if (Status status = b.Next(turns); !status.ok()) return status;
    for (int32_t i = 0; i < n; ++i) {
      const Batch::Turn& turn = turns[static_cast<size_t>(i)];
      tokens[i] = turn.token;
      if (log_probabilities != nullptr) log_probabilities[i] = turn.log_probability;
      statuses[i] = turn.status.code();
    }
    mla::ReportTurns(turns);
    return {};
  });
}

mla_status mla_batch_set_profiling(mla_batch batch, int32_t on) {
  return WithBatch(batch, [&](Batch& b) -> Status {
    b.SetProfiling(on != 0);
    return {};
  });
}

mla_status mla_batch_profile(mla_batch batch, mla_profile* profile) {
  return WithBatch(batch, [&](Batch& b) { return mla::WriteProfile(b.ProfileSoFar(), profile); });
}

mla_status mla_batch_profile_row(mla_batch batch, int32_t operation, mla_profile_row* row) {
  return WithBatch(
      batch, [&](Batch& b) { return mla::WriteProfileRow(b.ProfileSoFar(), operation, row); });
}

mla_status mla_batch_memory(mla_batch batch, int64_t* workspace_bytes) {
  return WithBatch(batch, [&](Batch& b) -> Status {
    if (workspace_bytes == nullptr) return NullArgument("workspace_bytes");
    *workspace_bytes = b.workspace_bytes();
    return {};
  });
}
