// What the library has to say besides errors: nothing, unless the host has set a sink.
#ifndef MLA_RUNTIME_LOG_H_
#define MLA_RUNTIME_LOG_H_

#include <string>

#include "mla/mla.h"
#include "tensor/status.h"

namespace mla {

// null: off. When this returns, the old sink is not running and is never called again. Error inside
// a sink, which would wait for itself.
Status SetLogSink(mla_log_callback sink, void* user);

// For callers whose message is work to put together.
bool LogEnabled();

// level: MLA_LOG_*. Any thread; not from a region of the thread pool, which a slow sink would hold
// up.
void Log(int32_t level, const std::string& message);

}  // namespace mla
#endif  // MLA_RUNTIME_LOG_H_
