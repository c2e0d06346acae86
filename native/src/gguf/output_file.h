// A file that is complete or not there: written beside its target, synced, then moved into place.
#ifndef MLA_GGUF_OUTPUT_FILE_H_
#define MLA_GGUF_OUTPUT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/status.h"

namespace mla {

// Not thread-safe. Destroying it before Commit removes what was written. Errors name the target.
class OutputFile {
 public:
  // A new file `<target>.tmp-<pid>-<n>`.
  static Result<std::unique_ptr<OutputFile>> Beside(const std::string& target);
  // A file without a name in the target's directory, for data that must wait: it goes with its last
  // user, even when the process is killed.
  static Result<std::unique_ptr<OutputFile>> Unnamed(const std::string& target);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  Status Write(const void* data, size_t size);
  // Appends `size` bytes from `position` of another file, inside the kernel where it can.
  Status CopyFrom(OutputFile& source, uint64_t position, uint64_t size);
  // To the disk, then to the target's name, replacing a file of that name.
  Status Commit();

 private:
  OutputFile(std::string target, std::string path, int descriptor);
  static Result<std::unique_ptr<OutputFile>> Create(const std::string& target);
  Status Flush();
  Status WriteThrough(const uint8_t* data, size_t size);
  Status SystemError(const char* what) const;

  std::string target_;
  std::string path_;  // empty: there is no name to remove
  int descriptor_;
  std::vector<uint8_t> buffer_;  // not yet written
};

}  // namespace mla
#endif  // MLA_GGUF_OUTPUT_FILE_H_
