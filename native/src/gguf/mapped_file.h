// A file's bytes, read-only, without reading them first. The one place that knows the operating
// system's way.
#ifndef MLA_GGUF_MAPPED_FILE_H_
#define MLA_GGUF_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "tensor/status.h"

namespace mla {

// Owns the mapping. The file may be renamed or removed meanwhile; whoever truncates it in place
// takes the pages away from under every reader, which no reader can guard against (replace model
// files, do not overwrite them).
class MappedFile {
 public:
  // Regular files only; an empty one has size 0 and a null pointer. Errors name the path.
  static Result<MappedFile> Open(const std::string& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile();

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // Lets go of memory that these bytes of the mapping take, until somebody reads them again.
  void Release(const uint8_t* data, int64_t bytes) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace mla
#endif  // MLA_GGUF_MAPPED_FILE_H_
