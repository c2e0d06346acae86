// Writes a GGUF v3 file: keys and tensors in any order, tensor data as a stream.
#ifndef MLA_GGUF_GGUF_WRITER_H_
#define MLA_GGUF_GGUF_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf_file.h"
#include "gguf/output_file.h"

namespace mla {

// Not thread-safe. Data goes to a temporary file beside the target (or to memory); Finish writes
// the header before it, so the target is the old file or the complete new one. Destroying an
// unfinished writer leaves no trace. Every error names the file and the key or tensor; after a
// failed write only destruction is left.
class GgufWriter {
 public:
  static Result<std::shared_ptr<GgufWriter>> ToFile(const std::string& path);
  static std::shared_ptr<GgufWriter> ToMemory();

  // Setting a key again replaces it. count -1: a scalar. Values are checked against the type's
  // range; u64 is taken by its bits. `general.alignment` is honoured.
  Status SetIntegers(std::string_view key, int32_t element_type, const int64_t* values,
                     int64_t count);
  Status SetReals(std::string_view key, int32_t element_type, const double* values, int64_t count);
  Status SetStrings(std::string_view key, const std::string_view* values, int64_t count);
  Status CopyKey(const GgufKey& key);

  // dims[n_dims], dims[0] contiguous and whole blocks of the type. The tensor before must be
  // complete.
  Status BeginTensor(std::string_view name, uint32_t type, int32_t n_dims, const int64_t* dims);
  // Whole rows of dims[0], converted to the tensor's type.
  Status AppendF32(const float* values, int64_t count);
  // Elements as they lie in the file, any number of bytes.
  Status AppendBytes(const void* bytes, int64_t size);

  Status Finish();
  // After Finish of a writer to memory; every call returns the same file.
  Result<std::shared_ptr<const GgufFile>> Reader() const;

 private:
  struct Key {
    std::string name;
    std::vector<uint8_t> value;  // type, then the value as it lies in a file
  };
  struct Tensor {
    std::string name;
    Type type;
    int32_t n_dims;
    int64_t dims[4];
    uint64_t size;
    uint64_t written;
    std::vector<uint8_t> data;  // in memory only
  };

  explicit GgufWriter(std::string name) : name_(std::move(name)) {}
  Status Bad(const std::string& what) const { return {MLA_INVALID_ARGUMENT, name_ + ": " + what}; }
  Status CheckOpen() const;
  Status CheckCurrentComplete() const;
  Status CheckCurrentTakes(uint64_t size) const;
  Status NullData() const;
  Status CheckKey(std::string_view key, const void* values, int64_t count) const;
  void SetKey(std::string_view key, std::vector<uint8_t> value);
  Status Emit(const void* bytes, size_t size);
  std::vector<uint8_t> Header() const;
  Status FinishFile(const std::vector<uint8_t>& header);
  Status FinishMemory(std::vector<uint8_t> header);

  const std::string name_;            // the path, or what stands for it in errors
  std::unique_ptr<OutputFile> data_;  // null: in memory
  std::vector<Key> keys_;
  std::vector<Tensor> tensors_;
  uint64_t alignment_ = 32;
  bool finished_ = false;
  Status failure_;  // of an earlier write
  std::shared_ptr<const GgufFile> reader_;
};

}  // namespace mla
#endif  // MLA_GGUF_GGUF_WRITER_H_
