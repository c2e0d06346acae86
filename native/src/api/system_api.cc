#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "api/guard.h"
#include "api/options.h"
#include "api/text.h"
#include "kernels/isa.h"
#include "mla/mla.h"
#include "runtime/devices.h"
#include "runtime/log.h"
#include "runtime/measure_roofline.h"
#include "runtime/memory_nodes.h"
#include "runtime/session.h"
#include "runtime/thread_pool.h"

namespace mla {
namespace {

constexpr size_t kRooflineFirst =
    offsetof(mla_roofline, integer_multiply_adds_per_second) + sizeof(double);

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

// The members `gpus` and `gpu_reason`, and before them `backends`, which has what can be used.
std::string Gpus() {
  const Result<std::vector<GpuInfo>> gpus = ListGpus();
  std::string list, backends = "\"cpu\"";
  for (const GpuInfo& gpu : gpus.ok() ? gpus.value() : std::vector<GpuInfo>()) {
    list += std::string(list.empty() ? "" : ",") + "{\"name\":\"cuda:" + std::to_string(gpu.index) +
            "\",\"model\":" + JsonString(gpu.name) +
            ",\"capability\":" + JsonString(gpu.capability) +
            ",\"memory_bytes\":" + std::to_string(gpu.memory_bytes) +
            ",\"problem\":" + JsonString(gpu.problem) + "}";
    if (gpu.problem.empty()) backends = "\"cpu\",\"cuda\"";
  }
  return "\"backends\":[" + backends + "],\"gpus\":[" + list +
         "],\"gpu_reason\":" + JsonString(gpus.ok() ? "" : gpus.status().message());
}

std::string SystemInfo() {
  const IsaChoice& choice = ChosenIsa();
  const NodeChoice& nodes = MemoryNodes();
  std::string isas;
  for (const Isa isa : SupportedIsas()) {
    isas += (isas.empty() ? "" : ",") + JsonString(IsaName(isa));
  }
  return std::string("{\"version\":") + JsonString(MLA_VERSION) +
         ",\"isa\":" + JsonString(IsaName(choice.isa)) +
         ",\"isa_reason\":" + JsonString(choice.reason) + ",\"isas\":[" + isas +
         "],\"cores\":" + std::to_string(std::thread::hardware_concurrency()) +
         ",\"threads\":" + std::to_string(ThreadPool::DefaultThreads()) +
         ",\"memory_nodes\":" + std::to_string(std::max<size_t>(nodes.nodes.size(), 1)) +
         ",\"memory_nodes_reason\":" + JsonString(nodes.reason) + "," + Gpus() + "}";
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

mla_status mla_measure_roofline(int32_t threads, mla_roofline* roofline) {
  return mla::Guard([&]() -> mla::Status {
    if (roofline == nullptr) return mla::NullArgument("roofline");
    // Before it takes its second.
    if (mla::Status s =
            mla::CheckStructSize("mla_roofline", roofline->struct_size, mla::kRooflineFirst);
        !s.ok()) {
      return s;
    }
    if (threads < 0 || threads > mla::Session::kMaxThreads) {
      return mla::Status(MLA_INVALID_ARGUMENT, "threads is " + std::to_string(threads) +
                                                   ", expected 0 (all cores) to " +
                                                   std::to_string(mla::Session::kMaxThreads));
    }
    const mla::Roofline measured =
        mla::MeasureRoofline(threads == 0 ? mla::ThreadPool::DefaultThreads() : threads);
    mla_roofline known{};
    known.threads = measured.threads;
    known.bytes_per_second = measured.bytes;
    known.float_multiply_adds_per_second = measured.float_multiply_adds;
    known.integer_multiply_adds_per_second = measured.integer_multiply_adds;
    return mla::WriteStruct("mla_roofline", known, mla::kRooflineFirst, roofline);
  });
}
