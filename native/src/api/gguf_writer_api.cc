#include <mutex>
#include <vector>

#include "api/gguf_api.h"
#include "api/guard.h"
#include "gguf/gguf_writer.h"

namespace mla {
namespace {

// Calls on one writer wait for each other.
struct SerializedWriter {
  explicit SerializedWriter(std::shared_ptr<GgufWriter> w) : writer(std::move(w)) {}
  std::mutex mutex;
  const std::shared_ptr<GgufWriter> writer;
};

HandleTable<SerializedWriter>& WriterHandles() {
  static auto& table = *new HandleTable<SerializedWriter>(HandleKind::kGgufWriter);
  return table;
}

// Runs fn(writer) for an open handle.
template <class Fn>
mla_status WithWriter(mla_gguf_writer handle, Fn fn) {
  return Guard([&]() -> Status {
    const auto found = WriterHandles().Get(handle);
    if (!found.ok()) return found.status();
    const std::lock_guard lock(found.value()->mutex);
    return fn(*found.value()->writer);
  });
}

// The strings that lie in bytes[offsets[i] .. offsets[i + 1]).
Status Split(const uint8_t* bytes, const int64_t* offsets, int64_t count,
             std::vector<std::string_view>* out) {
  if (offsets == nullptr && count > 0) return NullArgument("offsets");
  out->reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    if (offsets[i] < 0 || offsets[i + 1] < offsets[i]) {
      return {MLA_INVALID_ARGUMENT,
              "offsets[" + std::to_string(i + 1) + "] is " + std::to_string(offsets[i + 1]) +
                  " after " + std::to_string(offsets[i]) + ", expected them to rise from 0"};
    }
    const auto size = static_cast<size_t>(offsets[i + 1] - offsets[i]);
    if (size == 0) {
      out->emplace_back();
    } else if (bytes == nullptr) {
      return NullArgument("bytes");
    } else {
      out->emplace_back(reinterpret_cast<const char*>(bytes) + offsets[i], size);
    }
  }
  return {};
}

}  // namespace
}  // namespace mla

using mla::GgufWriter;
using mla::Guard;
using mla::NullArgument;
using mla::Status;
using mla::WithWriter;

mla_status mla_gguf_writer_create(const char* path, mla_gguf_writer* out) {
  return Guard([&]() -> Status {
    if (out == nullptr) return NullArgument("out");
    *out = 0;
    std::shared_ptr<GgufWriter> writer;
    if (path == nullptr) {
      writer = GgufWriter::ToMemory();
    } else {
      auto created = GgufWriter::ToFile(path);
      if (!created.ok()) return created.status();
      writer = std::move(created.value());
    }
    *out = mla::WriterHandles().Add(std::make_shared<mla::SerializedWriter>(std::move(writer)));
    return {};
  });
}

mla_status mla_gguf_writer_set_integers(mla_gguf_writer writer, const char* key,
                                        int32_t element_type, const int64_t* values,
                                        int64_t count) {
  return WithWriter(writer, [&](GgufWriter& w) {
    return key == nullptr ? NullArgument("key") : w.SetIntegers(key, element_type, values, count);
  });
}

mla_status mla_gguf_writer_set_reals(mla_gguf_writer writer, const char* key, int32_t element_type,
                                     const double* values, int64_t count) {
  return WithWriter(writer, [&](GgufWriter& w) {
    return key == nullptr ? NullArgument("key") : w.SetReals(key, element_type, values, count);
  });
}

mla_status mla_gguf_writer_set_strings(mla_gguf_writer writer, const char* key,
                                       const uint8_t* bytes, const int64_t* offsets,
                                       int64_t count) {
  return WithWriter(writer, [&](GgufWriter& w) -> Status {
    if (key == nullptr) return NullArgument("key");
    std::vector<std::string_view> strings;
    if (count >= -1) {
      Status status = mla::Split(bytes, offsets, count < 0 ? 1 : count, &strings);
      if (!status.ok()) return status;
    }
    return w.SetStrings(key, strings.data(), count);
  });
}

mla_status mla_gguf_writer_copy_key(mla_gguf_writer writer, mla_gguf from, int64_t index) {
  return WithWriter(writer, [&](GgufWriter& w) -> Status {
    const auto file = mla::GgufHandles().Get(from);
    if (!file.ok()) return file.status();
    const std::vector<mla::GgufKey>& keys = file.value()->keys();
    if (index < 0 || index >= static_cast<int64_t>(keys.size())) {
      return {MLA_INVALID_ARGUMENT, file.value()->name() + ": key index " + std::to_string(index) +
                                        ", expected less than " + std::to_string(keys.size())};
    }
    return w.CopyKey(keys[static_cast<size_t>(index)]);
  });
}

mla_status mla_gguf_writer_begin_tensor(mla_gguf_writer writer, const char* name, int32_t type,
                                        int32_t n_dims, const int64_t* dims) {
  return WithWriter(writer, [&](GgufWriter& w) {
    if (name == nullptr) return NullArgument("name");
    if (dims == nullptr) return NullArgument("dims");
    return w.BeginTensor(name, static_cast<uint32_t>(type), n_dims, dims);
  });
}

mla_status mla_gguf_writer_append_f32(mla_gguf_writer writer, const float* values, int64_t count) {
  return WithWriter(writer, [&](GgufWriter& w) { return w.AppendF32(values, count); });
}

mla_status mla_gguf_writer_append_bytes(mla_gguf_writer writer, const void* bytes, int64_t size) {
  return WithWriter(writer, [&](GgufWriter& w) { return w.AppendBytes(bytes, size); });
}

mla_status mla_gguf_writer_finish(mla_gguf_writer writer) {
  return WithWriter(writer, [](GgufWriter& w) { return w.Finish(); });
}

mla_status mla_gguf_writer_reader(mla_gguf_writer writer, mla_gguf* out) {
  return WithWriter(writer, [&](GgufWriter& w) -> Status {
    if (out == nullptr) return NullArgument("out");
    *out = 0;
    auto file = w.Reader();
    if (!file.ok()) return file.status();
    *out = mla::GgufHandles().Add(std::move(file.value()));
    return {};
  });
}

mla_status mla_gguf_writer_close(mla_gguf_writer writer) {
  return Guard([&]() -> Status {
    auto& table = mla::WriterHandles();
    return table.Remove(writer) != nullptr ? Status() : table.Absent(writer);
  });
}
