#include "gguf/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace mla {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

Status SystemError(const std::string& path, const char* what) {
  const int error = errno;
  const bool absent = error == ENOENT || error == ENOTDIR;
  return {absent ? MLA_NOT_FOUND : MLA_IO,
          path + ": " + what + ": " + std::generic_category().message(error)};
}

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  // Non-blocking: opening a named pipe must not wait for its writer.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) return SystemError(path, "cannot open");
  struct stat info;
  if (fstat(file.fd, &info) != 0) return SystemError(path, "cannot read its size");
  if (S_ISDIR(info.st_mode)) {
    return Status(MLA_BAD_FILE, path + ": is a directory, expected a file");
  }
  if (!S_ISREG(info.st_mode)) {
    return Status(MLA_BAD_FILE, path + ": is a device or a pipe, expected a regular file");
  }
  MappedFile mapped;
  if (info.st_size == 0) return mapped;
  if (static_cast<uint64_t>(info.st_size) > SIZE_MAX) {
    return Status(MLA_UNSUPPORTED, path + ": " + std::to_string(info.st_size) +
                                       " bytes do not fit this process's address space");
  }
  const auto size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd, 0);
  if (data == MAP_FAILED) return SystemError(path, "cannot map into memory");
  mapped.data_ = static_cast<const uint8_t*>(data);
  mapped.size_ = size;
  return mapped;
}

void MappedFile::Release(const uint8_t* data, int64_t bytes) const {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = (first + page - 1) / page * page;
  const uintptr_t end = (first + static_cast<uintptr_t>(bytes)) / page * page;
  // Only advice: where the system does not take it, nothing is lost.
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

}  // namespace mla
