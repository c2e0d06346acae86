#include "gguf/gguf_file.h"

#include <limits>

#include "gguf/gguf_parser.h"
#include "gguf/gguf_value.h"
#include "gguf/mapped_file.h"

namespace mla {

struct GgufFile::Bytes {
  MappedFile mapped;
  std::vector<uint8_t> owned;
};

namespace {

Status WrongType(const std::string& file, const GgufKey& key, const char* expected) {
  const std::string found =
      key.type == MLA_VALUE_ARRAY
          ? "an array of " + std::to_string(key.count) + " " + ValueTypeName(key.element_type)
          : ValueTypeName(key.type);
  return {MLA_BAD_FILE,
          file + ": key " + Quoted(key.name) + ": expected " + expected + ", found " + found};
}

}  // namespace

GgufFile::~GgufFile() = default;

Result<std::shared_ptr<const GgufFile>> GgufFile::Open(const std::string& path) {
  Result<MappedFile> mapped = MappedFile::Open(path);
  if (!mapped.ok()) return mapped.status();
  return Read(Bytes{std::move(mapped.value()), {}}, path);
}

Result<std::shared_ptr<const GgufFile>> GgufFile::FromMemory(std::vector<uint8_t> bytes,
                                                             std::string name) {
  return Read(Bytes{{}, std::move(bytes)}, std::move(name));
}

Result<std::shared_ptr<const GgufFile>> GgufFile::Read(Bytes bytes, std::string name) {
  std::shared_ptr<GgufFile> file(new GgufFile());
  file->name_ = std::move(name);
  file->bytes_ = std::make_unique<Bytes>(std::move(bytes));
  const MappedFile& mapped = file->bytes_->mapped;
  const std::vector<uint8_t>& owned = file->bytes_->owned;
  const bool in_memory = !owned.empty();
  Result<GgufContents> contents = ParseGguf(in_memory ? owned.data() : mapped.data(),
                                            in_memory ? owned.size() : mapped.size(), file->name_);
  if (!contents.ok()) return contents.status();
  file->keys_ = std::move(contents.value().keys);
  file->tensors_ = std::move(contents.value().tensors);
  for (size_t i = 0; i < file->keys_.size(); ++i) file->key_index_[file->keys_[i].name] = i;
  for (size_t i = 0; i < file->tensors_.size(); ++i) {
    file->tensor_index_[file->tensors_[i].name] = i;
  }
  return std::shared_ptr<const GgufFile>(std::move(file));
}

void GgufFile::Release(const uint8_t* data, int64_t bytes) const {
  if (bytes_->owned.empty()) bytes_->mapped.Release(data, bytes);
}

void GgufFile::Release() const {
  const MappedFile& mapped = bytes_->mapped;
  Release(mapped.data(), static_cast<int64_t>(mapped.size()));
}

const GgufKey* GgufFile::FindKey(std::string_view name) const {
  const auto it = key_index_.find(name);
  return it == key_index_.end() ? nullptr : &keys_[it->second];
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

Result<std::optional<int64_t>> GgufFile::Integer(std::string_view name) const {
  const GgufKey* key = FindKey(name);
  if (key == nullptr) return std::optional<int64_t>();
  if (key->type == MLA_VALUE_ARRAY) return WrongType(name_, *key, "an integer");
  Result<std::optional<std::vector<int64_t>>> list = Integers(name);
  if (!list.ok()) return list.status();
  return std::optional<int64_t>(list.value()->front());
}

Result<std::optional<double>> GgufFile::Real(std::string_view name) const {
  const GgufKey* key = FindKey(name);
  if (key == nullptr) return std::optional<double>();
  if (!IsIntegerValue(key->type) && !IsRealValue(key->type)) {
    return WrongType(name_, *key, "a number");
  }
  return std::optional<double>(LoadReal(key->type, key->data));
}

Result<std::optional<bool>> GgufFile::Bool(std::string_view name) const {
  const GgufKey* key = FindKey(name);
  if (key == nullptr) return std::optional<bool>();
  if (key->type != MLA_VALUE_BOOL) return WrongType(name_, *key, "a bool");
  return std::optional<bool>(*key->data != 0);
}

Result<std::optional<std::string>> GgufFile::String(std::string_view name) const {
  const GgufKey* key = FindKey(name);
  if (key == nullptr) return std::optional<std::string>();
  if (key->type != MLA_VALUE_STRING) return WrongType(name_, *key, "a string");
  const uint8_t* next;
  return std::optional<std::string>(LoadString(key->data, &next));
}

Result<std::optional<std::vector<int64_t>>> GgufFile::Integers(std::string_view name) const {
  const GgufKey* key = FindKey(name);
  if (key == nullptr) return std::optional<std::vector<int64_t>>();
  if (!IsIntegerValue(key->element_type)) return WrongType(name_, *key, "integers");
  const uint64_t size = ValueSize(key->element_type);
  std::vector<int64_t> values(static_cast<size_t>(key->count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = LoadInteger(key->element_type, key->data + i * size);
    if (key->element_type == MLA_VALUE_U64 && values[i] < 0) {
      return Status(MLA_BAD_FILE, name_ + ": key " + Quoted(key->name) + ": " +
                                      std::to_string(static_cast<uint64_t>(values[i])) +
                                      " is too large, expected at most 2^63 - 1");
    }
  }
  return std::optional<std::vector<int64_t>>(std::move(values));
}

Result<std::optional<std::vector<double>>> GgufFile::Reals(std::string_view name) const {
  const GgufKey* key = FindKey(name);
  if (key == nullptr) return std::optional<std::vector<double>>();
  if (!IsIntegerValue(key->element_type) && !IsRealValue(key->element_type)) {
    return WrongType(name_, *key, "numbers");
  }
  const uint64_t size = ValueSize(key->element_type);
  std::vector<double> values(static_cast<size_t>(key->count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = LoadReal(key->element_type, key->data + i * size);
  }
  return std::optional<std::vector<double>>(std::move(values));
}

}  // namespace mla
