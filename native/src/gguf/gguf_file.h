// A GGUF v3 (or v2, of the same layout) file, memory-mapped and checked: after Open every key,
// tensor, offset and length lies inside the file.
#ifndef MLA_GGUF_GGUF_FILE_H_
#define MLA_GGUF_GGUF_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tensor/status.h"
#include "tensor/types.h"

namespace mla {

struct GgufKey {
  std::string name;
  int32_t type;          // MLA_VALUE_*
  int32_t element_type;  // = type for a scalar
  uint64_t count;        // 1 for a scalar
  const uint8_t* data;   // first element; strings: length-prefixed, one after the other
};

struct GgufTensor {
  std::string name;
  Type type;
  int32_t n_dims;
  int64_t dims[4];  // dims[0] contiguous
  const uint8_t* data;
  int64_t byte_size;

  int64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
};

// Immutable after Open: any thread. Views point into the mapping and live as long as the file
// object.
class GgufFile {
 public:
  static Result<std::shared_ptr<const GgufFile>> Open(const std::string& path);
  // Takes the bytes. `name` stands for the path in errors.
  static Result<std::shared_ptr<const GgufFile>> FromMemory(std::vector<uint8_t> bytes,
                                                            std::string name);
  ~GgufFile();

  const std::string& name() const { return name_; }
  // A hint that nobody will read these bytes of a tensor soon.
  void Release(const uint8_t* data, int64_t bytes) const;
  // The same of the whole file.
  void Release() const;
  const std::vector<GgufKey>& keys() const { return keys_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufKey* FindKey(std::string_view name) const;        // null: absent
  const GgufTensor* FindTensor(std::string_view name) const;  // null: absent

  // Typed access: nullopt where the key is absent; an error that names file and key where it has
  // another type. Integers accept every integer type that fits, reals every numeric type.
  Result<std::optional<int64_t>> Integer(std::string_view key) const;
  Result<std::optional<double>> Real(std::string_view key) const;
  Result<std::optional<bool>> Bool(std::string_view key) const;
  Result<std::optional<std::string>> String(std::string_view key) const;
  Result<std::optional<std::vector<int64_t>>> Integers(
      std::string_view key) const;  // a scalar is a list of one
  Result<std::optional<std::vector<double>>> Reals(std::string_view key) const;

 private:
  struct Bytes;
  GgufFile() = default;
  static Result<std::shared_ptr<const GgufFile>> Read(Bytes bytes, std::string name);
  std::string name_;
  std::vector<GgufKey> keys_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, size_t> key_index_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
  std::unique_ptr<Bytes> bytes_;
};

}  // namespace mla
#endif  // MLA_GGUF_GGUF_FILE_H_
