#include "runtime/log.h"

#include <atomic>
#include <mutex>
#include <shared_mutex>

namespace mla {
namespace {

struct Sink {
  std::shared_mutex mutex;  // shared while the callback runs, so that replacing it waits
  mla_log_callback callback = nullptr;
  void* user = nullptr;
  std::atomic<bool> enabled{false};
};

// Never destroyed: a thread may still log while the process ends.
Sink& TheSink() {
  static Sink& sink = *new Sink;
  return sink;
}

thread_local bool inside_sink = false;

}  // namespace

Status SetLogSink(mla_log_callback callback, void* user) {
  if (inside_sink) {
    return Status(MLA_INVALID_ARGUMENT,
                  "the log callback cannot be changed while it runs on this thread");
  }
  Sink& sink = TheSink();
  const std::unique_lock<std::shared_mutex> lock(sink.mutex);
  sink.callback = callback;
  sink.user = user;
  sink.enabled = callback != nullptr;
  return Status::Ok();
}

bool LogEnabled() { return TheSink().enabled.load(std::memory_order_relaxed); }

void Log(int32_t level, const std::string& message) {
  if (!LogEnabled() || inside_sink)
    return;  // a sink that calls back into the library is not told of it
  Sink& sink = TheSink();
  const std::shared_lock<std::shared_mutex> lock(sink.mutex);
  if (sink.callback == nullptr) return;
  inside_sink = true;
  sink.callback(level, message.c_str(), sink.user);
  inside_sink = false;
}

}  // namespace mla
