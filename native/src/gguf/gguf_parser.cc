#include "gguf/gguf_parser.h"

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <utility>

#include "gguf/gguf_value.h"

namespace mla {
namespace {

constexpr int kMaxNesting = 4;  // arrays of arrays; none is known to be used beyond 2
constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

std::string Number(uint64_t n) { return std::to_string(n); }

bool Multiply(uint64_t a, uint64_t b, uint64_t* product) {
  if (b != 0 && a > std::numeric_limits<uint64_t>::max() / b) return false;
  *product = a * b;
  return true;
}

// What a file that is not GGUF probably is, to save its owner a guess.
std::string Guess(const uint8_t* data, uint64_t size) {
  const std::string_view start(reinterpret_cast<const char*>(data),
                               static_cast<size_t>(std::min<uint64_t>(size, 16)));
  if (start.substr(0, 4) == "\x89PNG") return " (a PNG image?)";
  if (start.substr(0, 4) == "PK\x03\x04") return " (a ZIP archive or PyTorch checkpoint?)";
  if (start.substr(0, 15) == "version https:/")
    return " (a Git LFS pointer? fetch the file itself)";
  if (start.substr(0, 4) == "lmgg" || start.substr(0, 4) == "tjgg" ||
      start.substr(0, 4) == "fmgg") {
    return " (a GGML file from before GGUF? convert it anew)";
  }
  if (size > 9 && data[8] == '{') return " (a safetensors file?)";
  return "";
}

const char* ForeignTypeName(uint32_t type) {
  static constexpr const char* kNames[] = {
      nullptr,    nullptr,    nullptr,   nullptr, "Q4_2",  "Q4_3",  nullptr, nullptr,
      nullptr,    "Q8_1",     "Q2_K",    nullptr, nullptr, nullptr, nullptr, "Q8_K",
      "IQ2_XXS",  "IQ2_XS",   "IQ3_XXS", "IQ1_S", nullptr, "IQ3_S", "IQ2_S", nullptr,
      "I8",       "I16",      "I32",     "I64",   "F64",   "IQ1_M", nullptr, "Q4_0_4_4",
      "Q4_0_4_8", "Q4_0_8_8", nullptr,   nullptr, nullptr, nullptr, nullptr, "MXFP4"};
  if (type == 34) return "TQ1_0";
  if (type == 35) return "TQ2_0";
  return type < std::size(kNames) ? kNames[type] : nullptr;
}

std::string KnownTypes() {
  std::string names;
  for (const Type type : kAllTypes) {
    if (!names.empty()) names += type == std::end(kAllTypes)[-1] ? " or " : ", ";
    names += GetTypeTraits(type).name;
  }
  return names;
}

// Reads forward and stops at the first thing that does not fit.
class Parser {
 public:
  Parser(const uint8_t* data, uint64_t size, const std::string& name)
      : data_(data), size_(size), name_(name) {}

  Result<GgufContents> Parse() {
    GgufContents out;
    for (const auto step : {&Parser::Header, &Parser::Keys, &Parser::Tensors, &Parser::Place}) {
      if (Status status = (this->*step)(&out); !status.ok()) return status;
    }
    return out;
  }

 private:
  Status Bad(const std::string& what) const { return {MLA_BAD_FILE, name_ + ": " + what}; }
  Status Truncated(const std::string& what, uint64_t needed) const {
    return Bad(what + " at byte " + Number(at_) + " needs " + Number(needed) +
               " bytes, the file ends at " + Number(size_) + " (truncated?)");
  }
  uint64_t left() const { return size_ - at_; }

  template <class T>
  bool Take(T* value) {
    if (left() < sizeof(T)) return false;
    *value = LoadLittle<T>(data_ + at_);
    at_ += sizeof(T);
    return true;
  }

  Status Header(GgufContents*) {
    if (size_ == 0) return Bad("the file is empty, expected a GGUF file");
    if (size_ < 4 || LoadLittle<uint32_t>(data_) != 0x46554747) {
      return Bad("not a GGUF file" + Guess(data_, size_) +
                 ": expected the bytes 'GGUF' at its start, found " +
                 Quoted({reinterpret_cast<const char*>(data_),
                         static_cast<size_t>(std::min<uint64_t>(size_, 4))}));
    }
    at_ = 4;
    uint32_t version = 0;
    if (!Take(&version)) return Truncated("the version", 4);
    if (version != 0 && (version & 0xffff) == 0) {
      return {MLA_UNSUPPORTED, name_ + ": the file is big-endian, expected a little-endian one"};
    }
    if (version != 2 && version != kGgufVersion) {
      return {MLA_UNSUPPORTED, name_ + ": GGUF version " + Number(version) +
                                   " at byte 4, expected 2 or 3" +
                                   (version == 1 ? " (convert the file anew)" : "")};
    }
    if (!Take(&tensor_count_)) return Truncated("the tensor count", 8);
    if (!Take(&key_count_)) return Truncated("the key count", 8);
    if (tensor_count_ > left() / kMinTensorBytes) return BadCount("tensor", 8, tensor_count_);
    if (key_count_ > left() / kMinKeyBytes) return BadCount("key", 16, key_count_);
    return {};
  }

  Status BadCount(const char* what, uint64_t where, uint64_t count) const {
    return Bad(std::string("the ") + what + " count at byte " + Number(where) + " is " +
               Number(count) + ", more than " + Number(size_) + " bytes of file can hold");
  }

  // A key's or tensor's name. `what` says whose, with its number.
  Status Name(const std::string& what, std::string* name) {
    const uint64_t start = at_;
    uint64_t length = 0;
    if (!Take(&length)) return Truncated("the name of " + what, 8);
    if (length == 0 || length > kGgufMaxNameBytes) {
      return Bad("the name of " + what + " at byte " + Number(start) + " has length " +
                 Number(length) + ", expected 1 to " + Number(kGgufMaxNameBytes));
    }
    if (length > left()) return Truncated("the name of " + what, length);
    name->assign(reinterpret_cast<const char*>(data_ + at_), static_cast<size_t>(length));
    at_ += length;
    if (name->find('\0') != std::string::npos) {
      return Bad("the name of " + what + " at byte " + Number(start) + " contains a zero byte");
    }
    return {};
  }

  Status Keys(GgufContents* out) {
    std::unordered_set<std::string> seen;
    for (uint64_t i = 0; i < key_count_; ++i) {
      GgufKey key{};
      const std::string number = "key " + Number(i + 1) + " of " + Number(key_count_) +
                                 (i == 0 ? "" : " (after " + Quoted(out->keys.back().name) + ")");
      const uint64_t start = at_;
      if (Status status = Name(number, &key.name); !status.ok()) return status;
      where_ = "key " + Quoted(key.name);
      if (!seen.insert(key.name).second) {
        return Bad(where_ + " at byte " + Number(start) + " appears twice");
      }
      uint32_t type = 0;
      if (!Take(&type)) return Truncated(where_ + ": its type", 4);
      key.type = key.element_type = static_cast<int32_t>(type);
      key.count = 1;
      if (type == MLA_VALUE_ARRAY) {
        if (Status status = ArrayHead(&key.element_type, &key.count); !status.ok()) return status;
      }
      key.data = data_ + at_;
      if (Status status = Elements(key.element_type, key.count, 1); !status.ok()) return status;
      if (key.name == kGgufAlignmentKey) {
        if (Status status = Alignment(key); !status.ok()) return status;
      }
      out->keys.push_back(std::move(key));
    }
    return {};
  }

  Status ArrayHead(int32_t* element_type, uint64_t* count) {
    uint32_t type = 0;
    if (!Take(&type)) return Truncated(where_ + ": the array's element type", 4);
    if (!Take(count)) return Truncated(where_ + ": the array's length", 8);
    *element_type = static_cast<int32_t>(type);
    return {};
  }

  Status Elements(int32_t type, uint64_t count, int depth) {
    if (type == MLA_VALUE_STRING) return Strings(count);
    if (type == MLA_VALUE_ARRAY) return Arrays(count, depth);
    const uint64_t size = ValueSize(type);
    if (size == 0) {
      return Bad(where_ + " has the unknown value type " + Number(static_cast<uint32_t>(type)) +
                 " before byte " + Number(at_) + ", expected 0 to 12");
    }
    if (count > left() / size) {
      return Bad(where_ + ": " + Number(count) + " values of type " + ValueTypeName(type) +
                 " at byte " + Number(at_) + " do not fit, the file ends at " + Number(size_) +
                 " (truncated?)");
    }
    if (type == MLA_VALUE_BOOL) {
      for (uint64_t i = 0; i < count; ++i) {
        if (data_[at_ + i] > 1) {
          return Bad(where_ + ": the bool at byte " + Number(at_ + i) + " is " +
                     Number(data_[at_ + i]) + ", expected 0 or 1");
        }
      }
    }
    at_ += count * size;
    return {};
  }

  Status Strings(uint64_t count) {
    if (count > left() / 8) {
      return Bad(where_ + ": " + Number(count) + " strings at byte " + Number(at_) +
                 " do not fit, the file ends at " + Number(size_) + " (truncated?)");
    }
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t length = 0;
      if (!Take(&length)) return Truncated(where_ + ": string " + Number(i), 8);
      if (length > left()) return Truncated(where_ + ": string " + Number(i), length);
      at_ += length;
    }
    return {};
  }

  Status Arrays(uint64_t count, int depth) {
    if (depth > kMaxNesting) {
      return Bad(where_ + ": arrays nested deeper than " + Number(kMaxNesting) + " at byte " +
                 Number(at_));
    }
    if (count > left() / 12) {
      return Bad(where_ + ": " + Number(count) + " arrays at byte " + Number(at_) +
                 " do not fit, the file ends at " + Number(size_) + " (truncated?)");
    }
    for (uint64_t i = 0; i < count; ++i) {
      int32_t type = 0;
      uint64_t length = 0;
      if (Status status = ArrayHead(&type, &length); !status.ok()) return status;
      if (Status status = Elements(type, length, depth + 1); !status.ok()) return status;
    }
    return {};
  }

  Status Alignment(const GgufKey& key) {
    if (key.type != MLA_VALUE_U32) {
      return Bad(where_ + " is of type " + ValueTypeName(key.type) + ", expected u32");
    }
    alignment_ = LoadLittle<uint32_t>(key.data);
    if (!IsGgufAlignment(static_cast<int64_t>(alignment_))) {
      return Bad(where_ + " is " + Number(alignment_) + ", expected a power of two from 8 to 2^20");
    }
    return {};
  }

  Status Tensors(GgufContents* out) {
    std::unordered_set<std::string> seen;
    offsets_.reserve(static_cast<size_t>(tensor_count_));
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      GgufTensor tensor{};
      const std::string number =
          "tensor " + Number(i + 1) + " of " + Number(tensor_count_) +
          (i == 0 ? "" : " (after " + Quoted(out->tensors.back().name) + ")");
      const uint64_t start = at_;
      if (Status status = Name(number, &tensor.name); !status.ok()) return status;
      where_ = "tensor " + Quoted(tensor.name);
      if (!seen.insert(tensor.name).second) {
        return Bad(where_ + " at byte " + Number(start) + " appears twice");
      }
      if (Status status = Shape(&tensor); !status.ok()) return status;
      uint64_t offset = 0;
      if (!Take(&offset)) return Truncated(where_ + ": its offset", 8);
      if (offset % alignment_ != 0) {
        return Bad(where_ + ": offset " + Number(offset) + " at byte " + Number(at_ - 8) +
                   " is not a multiple of the alignment " + Number(alignment_));
      }
      offsets_.push_back(offset);
      out->tensors.push_back(std::move(tensor));
    }
    return {};
  }

  // Dimensions, type and the size that follows from them.
  Status Shape(GgufTensor* tensor) {
    uint32_t n_dims = 0;
    if (!Take(&n_dims)) return Truncated(where_ + ": its number of dimensions", 4);
    if (n_dims < 1 || n_dims > 4) {
      return Bad(where_ + " at byte " + Number(at_ - 4) + " has " + Number(n_dims) +
                 " dimensions, expected 1 to 4");
    }
    tensor->n_dims = static_cast<int32_t>(n_dims);
    uint64_t elements = 1;
    for (uint32_t d = 0; d < 4; ++d) {
      uint64_t dim = 1;
      if (d < n_dims && !Take(&dim)) return Truncated(where_ + ": its dimensions", 8);
      // No element takes less than half a byte, so this bounds every later product as well.
      if (dim == 0 || !Multiply(elements, dim, &elements) ||
          elements > std::numeric_limits<int64_t>::max() / 8) {
        return Bad(where_ + ": dimension " + Number(d) + " at byte " + Number(at_ - 8) + " is " +
                   Number(dim) + ", expected a positive number and a product within 64 bits");
      }
      tensor->dims[d] = static_cast<int64_t>(dim);
    }
    uint32_t type = 0;
    if (!Take(&type)) return Truncated(where_ + ": its type", 4);
    const TypeTraits* traits = FindTypeTraits(type);
    if (traits == nullptr) {
      const char* known = ForeignTypeName(type);
      return {MLA_UNSUPPORTED,
              name_ + ": " + where_ + " has type " + (known != nullptr ? known : "number") +
                  (known != nullptr ? " (" + Number(type) + ")" : " " + Number(type)) +
                  ", expected " + KnownTypes()};
    }
    if (tensor->dims[0] % traits->block != 0) {
      return Bad(where_ + ": its rows have " + std::to_string(tensor->dims[0]) +
                 " elements, expected a multiple of " + std::to_string(traits->block) +
                 " for type " + traits->name);
    }
    tensor->type = static_cast<Type>(type);
    tensor->byte_size = static_cast<int64_t>(elements) / traits->block * traits->bytes;
    return {};
  }

  // Data begins at the next multiple of the alignment after the last tensor's description.
  Status Place(GgufContents* out) {
    const uint64_t begin = (at_ + alignment_ - 1) / alignment_ * alignment_;
    for (size_t i = 0; i < out->tensors.size(); ++i) {
      GgufTensor& tensor = out->tensors[i];
      const auto bytes = static_cast<uint64_t>(tensor.byte_size);
      const uint64_t offset = offsets_[i];
      if (offset > size_ || begin > size_ - offset || bytes > size_ - offset - begin) {
        const bool sane = offset <= std::numeric_limits<uint64_t>::max() - begin - bytes;
        return Bad("tensor " + Quoted(tensor.name) + ": data " +
                   (sane ? "ends at byte " + Number(begin + offset + bytes)
                         : "starts at offset " + Number(offset)) +
                   ", after the file's end at " + Number(size_) + " (truncated?)");
      }
      tensor.data = data_ + begin + offset;
    }
    return Overlaps(out->tensors);
  }

  Status Overlaps(const std::vector<GgufTensor>& tensors) const {
    std::vector<const GgufTensor*> order;
    for (const GgufTensor& tensor : tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(),
              [](const GgufTensor* a, const GgufTensor* b) { return a->data < b->data; });
    for (size_t i = 1; i < order.size(); ++i) {
      const GgufTensor &a = *order[i - 1], &b = *order[i];
      if (a.data + a.byte_size > b.data) {
        return Bad("tensor " + Quoted(b.name) + ": data at byte " +
                   Number(static_cast<uint64_t>(b.data - data_)) + " overlaps tensor " +
                   Quoted(a.name) + ", which ends at byte " +
                   Number(static_cast<uint64_t>(a.data + a.byte_size - data_)));
      }
    }
    return {};
  }

  const uint8_t* const data_;
  const uint64_t size_;
  const std::string& name_;
  uint64_t at_ = 0;    // the next byte to read; never beyond size_
  std::string where_;  // the key or tensor being read, for errors
  uint64_t tensor_count_ = 0, key_count_ = 0;
  uint64_t alignment_ = kGgufDefaultAlignment;
  std::vector<uint64_t> offsets_;
};

}  // namespace

Result<GgufContents> ParseGguf(const uint8_t* data, uint64_t size, const std::string& name) {
  return Parser(data, size, name).Parse();
}

}  // namespace mla
