#include <cstdio>
#include <string>
#include <thread>

#include "api/guard.h"
#include "api/text.h"
#include "kernels/isa.h"
#include "mla/mla.h"
#include "runtime/log.h"
#include "runtime/thread_pool.h"

namespace mla {
namespace {

// Bytes outside ASCII may come from the environment in any encoding; they are escaped one by one.
std::string JsonString(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const unsigned byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte > 0x7e) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string SystemInfo() {
  const IsaChoice& choice = ChosenIsa();
  std::string isas;
  for (const Isa isa : SupportedIsas()) {
    isas += (isas.empty() ? "" : ",") + JsonString(IsaName(isa));
  }
  return std::string("{\"version\":") + JsonString(MLA_VERSION) +
         ",\"isa\":" + JsonString(IsaName(choice.isa)) +
         ",\"isa_reason\":" + JsonString(choice.reason) + ",\"isas\":[" + isas +
         "],\"cores\":" + std::to_string(std::thread::hardware_concurrency()) +
         ",\"threads\":" + std::to_string(ThreadPool::DefaultThreads()) +
         ",\"backends\":[\"cpu\"]}";
}

}  // namespace
}  // namespace mla

const char* mla_version(void) { return MLA_VERSION; }

mla_status mla_set_log_callback(mla_log_callback callback, void* user) {
  return mla::Guard([&] { return mla::SetLogSink(callback, user); });
}

mla_status mla_system_info(char* json, int64_t capacity, int64_t* length) {
  return mla::Guard([&]() -> mla::Status {
    if (json == nullptr && length == nullptr) return mla::NullArgument("length");
    mla::CopyText(mla::SystemInfo(), json, capacity, length);
    return {};
  });
}
