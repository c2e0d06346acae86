#include "gguf/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace mla {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kMaxWriteBytes = size_t{1} << 30;  // some systems refuse 2 GiB and more at once

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status FailedOn(const std::string& target, const char* what, int error) {
  const bool absent = error == ENOENT || error == ENOTDIR;
  return {absent ? MLA_NOT_FOUND : MLA_IO,
          target + ": " + what + ": " + std::generic_category().message(error)};
}

}  // namespace

OutputFile::OutputFile(std::string target, std::string path, int descriptor)
    : target_(std::move(target)), path_(std::move(path)), descriptor_(descriptor) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!path_.empty()) unlink(path_.c_str());
}

Status OutputFile::SystemError(const char* what) const { return FailedOn(target_, what, errno); }

Result<std::unique_ptr<OutputFile>> OutputFile::Create(const std::string& target) {
  static std::atomic<uint64_t> counter{0};
  struct stat info;
  if (target.empty()) return Status(MLA_INVALID_ARGUMENT, "the output path is empty");
  if (stat(target.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return Status(MLA_INVALID_ARGUMENT,
                  target + ": is a directory or device, expected the name of a file to write");
  }
  for (;;) {
    std::string path =
        target + ".tmp-" + std::to_string(getpid()) + "-" + std::to_string(++counter);
    const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno == EEXIST) continue;  // left by a killed process of the same id
    if (descriptor < 0) {
      return FailedOn(target, "cannot create a temporary file beside it", errno);
    }
    return std::unique_ptr<OutputFile>(new OutputFile(target, std::move(path), descriptor));
  }
}

Result<std::unique_ptr<OutputFile>> OutputFile::Beside(const std::string& target) {
  return Create(target);
}

Result<std::unique_ptr<OutputFile>> OutputFile::Unnamed(const std::string& target) {
  Result<std::unique_ptr<OutputFile>> file = Create(target);
  if (file.ok()) {
    unlink(file.value()->path_.c_str());
    file.value()->path_.clear();
  }
  return file;
}

Status OutputFile::Write(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  if (buffer_.size() + size > kBufferBytes) {
    if (Status status = Flush(); !status.ok()) return status;
    if (size >= kBufferBytes) return WriteThrough(bytes, size);
  }
  buffer_.insert(buffer_.end(), bytes, bytes + size);
  return {};
}

Status OutputFile::Flush() {
  const Status status = WriteThrough(buffer_.data(), buffer_.size());
  if (status.ok()) buffer_.clear();
  return status;
}

Status OutputFile::WriteThrough(const uint8_t* data, size_t size) {
  while (size > 0) {
    const ssize_t written = write(descriptor_, data, std::min(size, kMaxWriteBytes));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("cannot write");
    data += written;
    size -= static_cast<size_t>(written);
  }
  return {};
}

Status OutputFile::CopyFrom(OutputFile& source, uint64_t position, uint64_t size) {
  if (Status status = source.Flush(); !status.ok()) return status;
  if (Status status = Flush(); !status.ok()) return status;
  auto from = static_cast<off_t>(position);
#if defined(__linux__)
  while (size > 0) {
    const ssize_t copied = copy_file_range(source.descriptor_, &from, descriptor_, nullptr,
                                           std::min<uint64_t>(size, kMaxWriteBytes), 0);
    if (copied <= 0) break;  // not on this file system, or a real error, which the loop below meets
    size -= static_cast<uint64_t>(copied);
  }
#endif
  std::vector<uint8_t> chunk(std::min<uint64_t>(size, kBufferBytes));
  while (size > 0) {
    const ssize_t got =
        pread(source.descriptor_, chunk.data(), std::min<uint64_t>(size, chunk.size()), from);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("cannot read the temporary data back");
    if (got == 0) return {MLA_IO, target_ + ": the temporary data ended early"};
    if (Status status = WriteThrough(chunk.data(), static_cast<size_t>(got)); !status.ok()) {
      return status;
    }
    from += got;
    size -= static_cast<uint64_t>(got);
  }
  return {};
}

Status OutputFile::Commit() {
  if (Status status = Flush(); !status.ok()) return status;
  if (fsync(descriptor_) != 0) return SystemError("cannot write to the disk");
  // Closed before the move: some file systems report a full disk only here.
  if (close(std::exchange(descriptor_, -1)) != 0) return SystemError("cannot write to the disk");
  if (std::rename(path_.c_str(), target_.c_str()) != 0)
    return SystemError("cannot move into place");
  path_.clear();
  // The new name lasts once its directory is on the disk; where directories cannot be synced,
  // nothing is lost but that.
  const int directory = open(DirectoryOf(target_).c_str(), O_RDONLY | O_CLOEXEC);
  if (directory >= 0) {
    (void)fsync(directory);
    close(directory);
  }
  return {};
}

}  // namespace mla
