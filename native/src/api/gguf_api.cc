#include "api/gguf_api.h"

#include <algorithm>

#include "api/guard.h"
#include "api/text.h"
#include "gguf/gguf_value.h"
#include "tensor/convert.h"

namespace mla {

HandleTable<const GgufFile>& GgufHandles() {
  static auto& table = *new HandleTable<const GgufFile>(HandleKind::kGguf);
  return table;
}

namespace {

template <class T>
void Set(T* out, T value) {
  if (out != nullptr) *out = value;
}

// Runs fn(file) for an open handle.
template <class Fn>
mla_status WithFile(mla_gguf handle, Fn fn) {
  return Guard([&]() -> Status {
    const auto file = GgufHandles().Get(handle);
    return file.ok() ? fn(*file.value()) : file.status();
  });
}

Status BadIndex(const GgufFile& file, const char* what, int64_t index, size_t count) {
  return {MLA_INVALID_ARGUMENT, file.name() + ": " + what + " index " + std::to_string(index) +
                                    ", expected 0 to " +
                                    std::to_string(static_cast<int64_t>(count) - 1)};
}

// Runs fn(file, key).
template <class Fn>
mla_status WithKey(mla_gguf handle, int64_t index, Fn fn) {
  return WithFile(handle, [&](const GgufFile& file) -> Status {
    if (index < 0 || index >= static_cast<int64_t>(file.keys().size())) {
      return BadIndex(file, "key", index, file.keys().size());
    }
    return fn(file, file.keys()[static_cast<size_t>(index)]);
  });
}

// Runs fn(file, tensor).
template <class Fn>
mla_status WithTensor(mla_gguf handle, int64_t index, Fn fn) {
  return WithFile(handle, [&](const GgufFile& file) -> Status {
    if (index < 0 || index >= static_cast<int64_t>(file.tensors().size())) {
      return BadIndex(file, "tensor", index, file.tensors().size());
    }
    return fn(file, file.tensors()[static_cast<size_t>(index)]);
  });
}

Status KeyError(const GgufFile& file, const GgufKey& key, const std::string& what) {
  return {MLA_INVALID_ARGUMENT, file.name() + ": key " + Quoted(key.name) + ": " + what};
}

Status CheckRead(const GgufFile& file, const GgufKey& key, bool type_fits, const char* expected,
                 uint64_t needed, int64_t capacity) {
  if (!type_fits) {
    return KeyError(
        file, key,
        std::string("holds ") + ValueTypeName(key.element_type) + ", asked for " + expected);
  }
  if (capacity < 0 || static_cast<uint64_t>(capacity) < needed) {
    return KeyError(file, key,
                    "a buffer of " + std::to_string(capacity) + " elements, expected at least " +
                        std::to_string(needed));
  }
  return {};
}

Status TensorRange(const GgufFile& file, const GgufTensor& tensor, int64_t first, int64_t count,
                   int64_t total, int64_t multiple, const char* unit) {
  if (first >= 0 && count >= 0 && first <= total && count <= total - first &&
      first % multiple == 0 && count % multiple == 0) {
    return {};
  }
  return {MLA_INVALID_ARGUMENT,
          file.name() + ": tensor " + Quoted(tensor.name) + ": " + std::to_string(count) + " " +
              unit + " from " + std::to_string(first) + " on, expected a part of its " +
              std::to_string(total) + " in multiples of " + std::to_string(multiple)};
}

}  // namespace
}  // namespace mla

using mla::GgufFile;
using mla::GgufHandles;
using mla::GgufKey;
using mla::GgufTensor;
using mla::Guard;
using mla::NullArgument;
using mla::Status;

mla_status mla_gguf_open(const char* path, mla_gguf* out) {
  return Guard([&]() -> Status {
    if (path == nullptr) return NullArgument("path");
    if (out == nullptr) return NullArgument("out");
    *out = 0;
    auto file = GgufFile::Open(path);
    if (!file.ok()) return file.status();
    *out = GgufHandles().Add(std::move(file.value()));
    return {};
  });
}

mla_status mla_gguf_close(mla_gguf gguf) {
  return Guard([&]() -> Status {
    return GgufHandles().Remove(gguf) != nullptr ? Status() : GgufHandles().Absent(gguf);
  });
}

mla_status mla_gguf_counts(mla_gguf gguf, int64_t* keys, int64_t* tensors) {
  return mla::WithFile(gguf, [&](const GgufFile& file) -> Status {
    mla::Set(keys, static_cast<int64_t>(file.keys().size()));
    mla::Set(tensors, static_cast<int64_t>(file.tensors().size()));
    return {};
  });
}

mla_status mla_gguf_find_key(mla_gguf gguf, const char* name, int64_t* index) {
  return mla::WithFile(gguf, [&](const GgufFile& file) -> Status {
    if (name == nullptr) return NullArgument("name");
    if (index == nullptr) return NullArgument("index");
    const GgufKey* key = file.FindKey(name);
    *index = key == nullptr ? -1 : key - file.keys().data();
    return {};
  });
}

mla_status mla_gguf_key_info(mla_gguf gguf, int64_t index, char* name, int64_t capacity,
                             int64_t* name_length, int32_t* type, int32_t* element_type,
                             int64_t* count) {
  return mla::WithKey(gguf, index, [&](const GgufFile&, const GgufKey& key) -> Status {
    mla::CopyText(key.name, name, capacity, name_length);
    mla::Set(type, key.type);
    mla::Set(element_type, key.element_type);
    mla::Set(count, static_cast<int64_t>(key.count));
    return {};
  });
}

mla_status mla_gguf_read_integers(mla_gguf gguf, int64_t index, int64_t* out, int64_t capacity) {
  return mla::WithKey(gguf, index, [&](const GgufFile& file, const GgufKey& key) -> Status {
    const bool fits = mla::IsIntegerValue(key.element_type) || key.element_type == MLA_VALUE_BOOL;
    Status status = mla::CheckRead(file, key, fits, "integers", key.count, capacity);
    if (!status.ok()) return status;
    if (out == nullptr && key.count > 0) return NullArgument("out");
    const uint64_t size = mla::ValueSize(key.element_type);
    for (uint64_t i = 0; i < key.count; ++i) {
      out[i] = mla::LoadInteger(key.element_type, key.data + i * size);
    }
    return {};
  });
}

mla_status mla_gguf_read_reals(mla_gguf gguf, int64_t index, double* out, int64_t capacity) {
  return mla::WithKey(gguf, index, [&](const GgufFile& file, const GgufKey& key) -> Status {
    const uint64_t size = mla::ValueSize(key.element_type);
    Status status = mla::CheckRead(file, key, size > 0, "numbers", key.count, capacity);
    if (!status.ok()) return status;
    if (out == nullptr && key.count > 0) return NullArgument("out");
    for (uint64_t i = 0; i < key.count; ++i) {
      out[i] = mla::LoadReal(key.element_type, key.data + i * size);
    }
    return {};
  });
}

mla_status mla_gguf_read_strings(mla_gguf gguf, int64_t index, int64_t* offsets,
                                 int64_t offsets_capacity, uint8_t* bytes, int64_t bytes_capacity) {
  return mla::WithKey(gguf, index, [&](const GgufFile& file, const GgufKey& key) -> Status {
    if (offsets == nullptr) return NullArgument("offsets");
    const bool fits = key.element_type == MLA_VALUE_STRING;
    Status status = mla::CheckRead(file, key, fits, "strings", key.count + 1, offsets_capacity);
    if (!status.ok()) return status;
    const uint8_t* p = key.data;
    offsets[0] = 0;
    for (uint64_t i = 0; i < key.count; ++i) {
      offsets[i + 1] = offsets[i] + static_cast<int64_t>(mla::LoadString(p, &p).size());
    }
    if (bytes == nullptr) return {};
    if (bytes_capacity < offsets[key.count]) {
      return mla::KeyError(file, key,
                           "a buffer of " + std::to_string(bytes_capacity) +
                               " bytes, expected at least " + std::to_string(offsets[key.count]));
    }
    p = key.data;
    for (uint64_t i = 0; i < key.count; ++i) {
      const std::string_view text = mla::LoadString(p, &p);
      std::copy(text.begin(), text.end(), bytes + offsets[i]);
    }
    return {};
  });
}

mla_status mla_gguf_find_tensor(mla_gguf gguf, const char* name, int64_t* index) {
  return mla::WithFile(gguf, [&](const GgufFile& file) -> Status {
    if (name == nullptr) return NullArgument("name");
    if (index == nullptr) return NullArgument("index");
    const GgufTensor* tensor = file.FindTensor(name);
    *index = tensor == nullptr ? -1 : tensor - file.tensors().data();
    return {};
  });
}

mla_status mla_gguf_tensor_info(mla_gguf gguf, int64_t index, char* name, int64_t capacity,
                                int64_t* name_length, int32_t* type, int32_t* n_dims, int64_t* dims,
                                int64_t* byte_size) {
  return mla::WithTensor(gguf, index, [&](const GgufFile&, const GgufTensor& tensor) -> Status {
    mla::CopyText(tensor.name, name, capacity, name_length);
    mla::Set(type, static_cast<int32_t>(tensor.type));
    mla::Set(n_dims, tensor.n_dims);
    if (dims != nullptr) std::copy(tensor.dims, tensor.dims + 4, dims);
    mla::Set(byte_size, tensor.byte_size);
    return {};
  });
}

mla_status mla_gguf_read_tensor_f32(mla_gguf gguf, int64_t index, int64_t first, int64_t count,
                                    float* out) {
  return mla::WithTensor(gguf, index, [&](const GgufFile& file, const GgufTensor& tensor) {
    const int64_t block = mla::GetTypeTraits(tensor.type).block;
    Status status =
        mla::TensorRange(file, tensor, first, count, tensor.elements(), block, "elements");
    if (!status.ok()) return status;
    if (out == nullptr && count > 0) return NullArgument("out");
    mla::DequantizeRow(tensor.type, tensor.data + mla::RowBytes(tensor.type, first), out, count);
    return status;
  });
}

mla_status mla_gguf_read_tensor_bytes(mla_gguf gguf, int64_t index, int64_t offset, int64_t size,
                                      void* out) {
  return mla::WithTensor(gguf, index, [&](const GgufFile& file, const GgufTensor& tensor) {
    Status status = mla::TensorRange(file, tensor, offset, size, tensor.byte_size, 1, "bytes");
    if (!status.ok()) return status;
    if (out == nullptr && size > 0) return NullArgument("out");
    std::copy_n(tensor.data + offset, size, static_cast<uint8_t*>(out));
    return status;
  });
}

mla_status mla_gguf_release_pages(mla_gguf gguf) {
  return mla::WithFile(gguf, [](const GgufFile& file) -> Status {
    file.Release();
    return {};
  });
}
