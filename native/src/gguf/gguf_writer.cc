#include "gguf/gguf_writer.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "gguf/gguf_parser.h"
#include "gguf/gguf_value.h"
#include "tensor/convert.h"

namespace mla {
namespace {

constexpr size_t kMaxTensorNameBytes = 63;  // longer ones other readers refuse
constexpr int64_t kChunkElements = int64_t{1} << 16;

template <class T>
void Append(std::vector<uint8_t>* out, T value) {
  out->resize(out->size() + sizeof value);
  std::memcpy(out->data() + out->size() - sizeof value, &value, sizeof value);
}

void AppendText(std::vector<uint8_t>* out, std::string_view text) {
  Append<uint64_t>(out, text.size());
  out->insert(out->end(), text.begin(), text.end());
}

// The type of a value, and of an array (count not -1) its length.
std::vector<uint8_t> ValueHead(int32_t element_type, int64_t count) {
  std::vector<uint8_t> out;
  if (count >= 0) Append<uint32_t>(&out, MLA_VALUE_ARRAY);
  Append(&out, static_cast<uint32_t>(element_type));
  if (count >= 0) Append(&out, static_cast<uint64_t>(count));
  return out;
}

bool Fits(int32_t type, int64_t value) {
  switch (type) {
    case MLA_VALUE_U8:
      return value >= 0 && value <= std::numeric_limits<uint8_t>::max();
    case MLA_VALUE_I8:
      return value >= std::numeric_limits<int8_t>::min() &&
             value <= std::numeric_limits<int8_t>::max();
    case MLA_VALUE_U16:
      return value >= 0 && value <= std::numeric_limits<uint16_t>::max();
    case MLA_VALUE_I16:
      return value >= std::numeric_limits<int16_t>::min() &&
             value <= std::numeric_limits<int16_t>::max();
    case MLA_VALUE_U32:
      return value >= 0 && value <= std::numeric_limits<uint32_t>::max();
    case MLA_VALUE_I32:
      return value >= std::numeric_limits<int32_t>::min() &&
             value <= std::numeric_limits<int32_t>::max();
    case MLA_VALUE_BOOL:
      return value == 0 || value == 1;
    default:
      return true;
  }
}

uint64_t Padding(uint64_t position, uint64_t alignment) {
  return (alignment - position % alignment) % alignment;
}

}  // namespace

Result<std::shared_ptr<GgufWriter>> GgufWriter::ToFile(const std::string& path) {
  Result<std::unique_ptr<OutputFile>> data = OutputFile::Unnamed(path);
  if (!data.ok()) return data.status();
  std::shared_ptr<GgufWriter> writer(new GgufWriter(path));
  writer->data_ = std::move(data.value());
  return writer;
}

std::shared_ptr<GgufWriter> GgufWriter::ToMemory() {
  return std::shared_ptr<GgufWriter>(new GgufWriter("(in memory)"));
}

Status GgufWriter::CheckOpen() const {
  return finished_ ? Bad("the file is finished, nothing can be added") : failure_;
}

Status GgufWriter::CheckKey(std::string_view key, const void* values, int64_t count) const {
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (key.empty() || key.size() > kGgufMaxNameBytes) {
    return Bad("key " + Quoted(key) + " has " + std::to_string(key.size()) +
               " bytes, expected 1 to " + std::to_string(kGgufMaxNameBytes));
  }
  if (count < -1) {
    return Bad("key " + Quoted(key) + ": count " + std::to_string(count) +
               ", expected -1 for a scalar or an array's length");
  }
  if (values == nullptr && count != 0) return Bad("key " + Quoted(key) + ": its values are null");
  return {};
}

void GgufWriter::SetKey(std::string_view key, std::vector<uint8_t> value) {
  const auto it = std::find_if(keys_.begin(), keys_.end(),
                               [key](const Key& other) { return other.name == key; });
  if (it != keys_.end()) {
    it->value = std::move(value);
  } else {
    keys_.push_back({std::string(key), std::move(value)});
  }
}

Status GgufWriter::SetIntegers(std::string_view key, int32_t element_type, const int64_t* values,
                               int64_t count) {
  if (Status status = CheckKey(key, values, count); !status.ok()) return status;
  const uint64_t size = ValueSize(element_type);
  if (size == 0 || IsRealValue(element_type)) {
    return Bad("key " + Quoted(key) + ": element type " + std::to_string(element_type) +
               ", expected an integer type or bool");
  }
  std::vector<uint8_t> value = ValueHead(element_type, count);
  for (int64_t i = 0; i < std::abs(count); ++i) {
    if (!Fits(element_type, values[i])) {
      return Bad("key " + Quoted(key) + ": " + std::to_string(values[i]) + " does not fit " +
                 ValueTypeName(element_type));
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(values + i);  // little-endian: low first
    value.insert(value.end(), bytes, bytes + size);
  }
  if (key == kGgufAlignmentKey) {
    if (element_type != MLA_VALUE_U32 || count != -1 || !IsGgufAlignment(values[0])) {
      return Bad("key " + Quoted(key) + ": expected a u32, a power of two from 8 to 2^20");
    }
    alignment_ = static_cast<uint64_t>(values[0]);
  }
  SetKey(key, std::move(value));
  return {};
}

Status GgufWriter::SetReals(std::string_view key, int32_t element_type, const double* values,
                            int64_t count) {
  if (Status status = CheckKey(key, values, count); !status.ok()) return status;
  if (!IsRealValue(element_type)) {
    return Bad("key " + Quoted(key) + ": element type " + std::to_string(element_type) +
               ", expected f32 or f64");
  }
  std::vector<uint8_t> value = ValueHead(element_type, count);
  for (int64_t i = 0; i < std::abs(count); ++i) {
    if (element_type == MLA_VALUE_F64) {
      Append(&value, values[i]);
    } else if (std::isfinite(values[i]) &&
               std::fabs(values[i]) > static_cast<double>(std::numeric_limits<float>::max())) {
      return Bad("key " + Quoted(key) + ": " + std::to_string(values[i]) + " does not fit f32");
    } else {
      Append(&value, static_cast<float>(values[i]));
    }
  }
  if (key == kGgufAlignmentKey) return Bad("key " + Quoted(key) + ": expected a u32");
  SetKey(key, std::move(value));
  return {};
}

Status GgufWriter::SetStrings(std::string_view key, const std::string_view* values, int64_t count) {
  if (Status status = CheckKey(key, values, count); !status.ok()) return status;
  if (key == kGgufAlignmentKey) return Bad("key " + Quoted(key) + ": expected a u32");
  std::vector<uint8_t> value = ValueHead(MLA_VALUE_STRING, count);
  for (int64_t i = 0; i < std::abs(count); ++i) AppendText(&value, values[i]);
  SetKey(key, std::move(value));
  return {};
}

Status GgufWriter::CopyKey(const GgufKey& key) {
  if (Status status = CheckKey(key.name, key.data, 0); !status.ok()) return status;
  const bool is_array = key.type == MLA_VALUE_ARRAY;
  std::vector<uint8_t> value =
      ValueHead(key.element_type, is_array ? static_cast<int64_t>(key.count) : -1);
  value.insert(value.end(), key.data, EndOfValues(key.element_type, key.count, key.data));
  if (key.name == kGgufAlignmentKey) alignment_ = LoadLittle<uint32_t>(key.data);
  SetKey(key.name, std::move(value));
  return {};
}

Status GgufWriter::CheckCurrentComplete() const {
  if (tensors_.empty() || tensors_.back().written == tensors_.back().size) return {};
  const Tensor& tensor = tensors_.back();
  return Bad("tensor " + Quoted(tensor.name) + " has " + std::to_string(tensor.written) + " of " +
             std::to_string(tensor.size) + " bytes, expected all before the next step");
}

Status GgufWriter::BeginTensor(std::string_view name, uint32_t type, int32_t n_dims,
                               const int64_t* dims) {
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (Status status = CheckCurrentComplete(); !status.ok()) return status;
  if (name.empty() || name.size() > kMaxTensorNameBytes) {
    return Bad("tensor " + Quoted(name) + " has a name of " + std::to_string(name.size()) +
               " bytes, expected 1 to " + std::to_string(kMaxTensorNameBytes));
  }
  const std::string where = "tensor " + Quoted(name);
  const TypeTraits* traits = FindTypeTraits(type);
  if (traits == nullptr) return Bad(where + ": unknown type " + std::to_string(type));
  if (n_dims < 1 || n_dims > 4) {
    return Bad(where + ": " + std::to_string(n_dims) + " dimensions, expected 1 to 4");
  }
  Tensor tensor{std::string(name), static_cast<Type>(type), n_dims, {1, 1, 1, 1}, 0, 0, {}};
  int64_t elements = 1;
  for (int d = 0; d < n_dims; ++d) {
    if (dims[d] < 1 || elements > std::numeric_limits<int64_t>::max() / 8 / dims[d]) {
      return Bad(where + ": dimension " + std::to_string(d) + " is " + std::to_string(dims[d]) +
                 ", expected a positive number and a product within 64 bits");
    }
    elements *= dims[d];
    tensor.dims[d] = dims[d];
  }
  if (dims[0] % traits->block != 0) {
    return Bad(where + ": its rows have " + std::to_string(dims[0]) +
               " elements, expected a multiple of " + std::to_string(traits->block) + " for type " +
               traits->name);
  }
  tensor.size = static_cast<uint64_t>(RowBytes(tensor.type, elements));
  for (const Tensor& other : tensors_) {
    if (other.name == name) return Bad(where + " was already written");
  }
  if (data_ == nullptr) tensor.data.reserve(tensor.size);
  tensors_.push_back(std::move(tensor));
  return {};
}

Status GgufWriter::CheckCurrentTakes(uint64_t size) const {
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (tensors_.empty()) return Bad("data before the first tensor was begun");
  const Tensor& tensor = tensors_.back();
  if (size > tensor.size - tensor.written) {
    return Bad("tensor " + Quoted(tensor.name) + ": " + std::to_string(size) + " bytes after " +
               std::to_string(tensor.written) + ", its whole size is " +
               std::to_string(tensor.size));
  }
  return {};
}

Status GgufWriter::AppendF32(const float* values, int64_t count) {
  if (Status status = CheckCurrentTakes(0); !status.ok()) return status;
  const Tensor& tensor = tensors_.back();
  const int64_t cols = tensor.dims[0];
  const auto row_bytes = static_cast<uint64_t>(RowBytes(tensor.type, cols));
  if (count < 0 || count % cols != 0 || tensor.written % row_bytes != 0) {
    return Bad("tensor " + Quoted(tensor.name) + ": " + std::to_string(count) +
               " values, expected whole rows of " + std::to_string(cols));
  }
  const auto rows = static_cast<uint64_t>(count / cols);
  if (rows > (tensor.size - tensor.written) / row_bytes) {
    return Bad("tensor " + Quoted(tensor.name) + ": " + std::to_string(rows) + " rows, it takes " +
               std::to_string((tensor.size - tensor.written) / row_bytes) + " more");
  }
  if (count > 0 && values == nullptr) return NullData();
  if (tensor.type == Type::kF32) return Emit(values, static_cast<size_t>(count) * sizeof(float));
  const int64_t block = GetTypeTraits(tensor.type).block;
  const int64_t step = kChunkElements / block * block;
  std::vector<uint8_t> packed(static_cast<size_t>(RowBytes(tensor.type, std::min(step, count))));
  for (int64_t i = 0; i < count; i += step) {
    const int64_t n = std::min(step, count - i);
    QuantizeRow(tensor.type, values + i, packed.data(), n);
    if (Status status = Emit(packed.data(), static_cast<size_t>(RowBytes(tensor.type, n)));
        !status.ok()) {
      return status;
    }
  }
  return {};
}

Status GgufWriter::AppendBytes(const void* bytes, int64_t size) {
  if (size < 0) return Bad("a size of " + std::to_string(size) + " bytes, expected 0 or more");
  if (Status status = CheckCurrentTakes(static_cast<uint64_t>(size)); !status.ok()) return status;
  if (size > 0 && bytes == nullptr) return NullData();
  return Emit(bytes, static_cast<size_t>(size));
}

Status GgufWriter::NullData() const {
  return Bad("tensor " + Quoted(tensors_.back().name) + ": its data is null");
}

Status GgufWriter::Emit(const void* bytes, size_t size) {
  Tensor& tensor = tensors_.back();
  if (data_ == nullptr) {
    const auto* p = static_cast<const uint8_t*>(bytes);
    tensor.data.insert(tensor.data.end(), p, p + size);
  } else if (Status status = data_->Write(bytes, size); !status.ok()) {
    failure_ = status;
    return status;
  }
  tensor.written += size;
  return {};
}

std::vector<uint8_t> GgufWriter::Header() const {
  std::vector<uint8_t> out{'G', 'G', 'U', 'F'};
  Append(&out, kGgufVersion);
  Append<uint64_t>(&out, tensors_.size());
  Append<uint64_t>(&out, keys_.size());
  for (const Key& key : keys_) {
    AppendText(&out, key.name);
    out.insert(out.end(), key.value.begin(), key.value.end());
  }
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    AppendText(&out, tensor.name);
    Append(&out, static_cast<uint32_t>(tensor.n_dims));
    for (int d = 0; d < tensor.n_dims; ++d) Append(&out, static_cast<uint64_t>(tensor.dims[d]));
    Append(&out, static_cast<uint32_t>(tensor.type));
    Append(&out, offset);
    offset += tensor.size + Padding(tensor.size, alignment_);
  }
  out.resize(out.size() + Padding(out.size(), alignment_));
  return out;
}

Status GgufWriter::Finish() {
  if (finished_) return Bad("the file is already finished");
  if (!failure_.ok()) return failure_;
  if (Status status = CheckCurrentComplete(); !status.ok()) return status;
  std::vector<uint8_t> header = Header();
  const Status status = data_ != nullptr ? FinishFile(header) : FinishMemory(std::move(header));
  if (status.ok()) finished_ = true;
  return status;
}

Status GgufWriter::FinishFile(const std::vector<uint8_t>& header) {
  Result<std::unique_ptr<OutputFile>> created = OutputFile::Beside(name_);
  if (!created.ok()) return created.status();
  OutputFile& out = *created.value();
  if (Status status = out.Write(header.data(), header.size()); !status.ok()) return status;
  const std::vector<uint8_t> zeros(alignment_);
  uint64_t position = 0;
  for (const Tensor& tensor : tensors_) {
    if (Status status = out.CopyFrom(*data_, position, tensor.size); !status.ok()) return status;
    position += tensor.size;
    if (Status status = out.Write(zeros.data(), Padding(tensor.size, alignment_)); !status.ok()) {
      return status;
    }
  }
  if (Status status = out.Commit(); !status.ok()) return status;
  data_.reset();
  return {};
}

// Tensor by tensor, giving each one's memory back, so that the whole is never there twice.
Status GgufWriter::FinishMemory(std::vector<uint8_t> header) {
  std::vector<uint8_t> bytes = std::move(header);
  uint64_t total = bytes.size();
  for (const Tensor& tensor : tensors_) total += tensor.size + Padding(tensor.size, alignment_);
  bytes.reserve(total);
  for (Tensor& tensor : tensors_) {
    bytes.insert(bytes.end(), tensor.data.begin(), tensor.data.end());
    bytes.resize(bytes.size() + Padding(tensor.size, alignment_));
    tensor.data = {};
  }
  Result<std::shared_ptr<const GgufFile>> file = GgufFile::FromMemory(std::move(bytes), name_);
  if (!file.ok()) {
    failure_ = file.status();
    return failure_;
  }
  reader_ = std::move(file.value());
  return {};
}

Result<std::shared_ptr<const GgufFile>> GgufWriter::Reader() const {
  if (reader_ != nullptr) return reader_;
  return Bad(finished_ ? "this writer wrote a file, open that one"
                       : "the file is not finished, it cannot be read yet");
}

}  // namespace mla
