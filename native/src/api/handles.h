// Numbers for objects: what the C API hands out instead of pointers.
#ifndef MLA_API_HANDLES_H_
#define MLA_API_HANDLES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "tensor/status.h"

namespace mla {

// The top byte of a handle, so that a handle of one kind is never taken for another's. Below 128: a
// handle stays positive in a signed 64-bit integer.
enum class HandleKind : uint8_t {
  kGguf = 1,
  kGgufWriter = 2,
  kModel = 3,
  kSession = 4,
  kBatch = 5
};

inline const char* HandleKindName(HandleKind kind) {
  switch (kind) {
    case HandleKind::kGguf:
      return "GGUF file";
    case HandleKind::kGgufWriter:
      return "GGUF writer";
    case HandleKind::kModel:
      return "model";
    case HandleKind::kSession:
      return "session";
    case HandleKind::kBatch:
      return "batch";
  }
  return "object";
}

// Thread-safe. A handle is never used again, so an old one can only be absent, never someone else's
// object. The table holds one reference; a caller of Find holds another for as long as its call
// runs.
template <class T>
class HandleTable {
 public:
  explicit HandleTable(HandleKind kind) : kind_(kind) {}
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;

  uint64_t Add(std::shared_ptr<T> object) {
    const uint64_t handle = static_cast<uint64_t>(kind_) << 56 | ++last_;
    std::unique_lock lock(mutex_);
    objects_.emplace(handle, std::move(object));
    return handle;
  }

  // Null: closed, or never one of this table's handles.
  std::shared_ptr<T> Find(uint64_t handle) const {
    std::shared_lock lock(mutex_);
    const auto it = objects_.find(handle);
    return it == objects_.end() ? nullptr : it->second;
  }

  // Find, with the error that the API returns for an absent handle.
  Result<std::shared_ptr<T>> Get(uint64_t handle) const {
    if (std::shared_ptr<T> object = Find(handle)) return object;
    return Absent(handle);
  }

  Status Absent(uint64_t handle) const {
    return {MLA_CLOSED, std::string("this ") + HandleKindName(kind_) +
                            " is closed or was never open (handle " + std::to_string(handle) + ")"};
  }

  // Hands the table's reference to the caller, so that the object is destroyed outside the lock.
  // Null as in Find.
  std::shared_ptr<T> Remove(uint64_t handle) {
    std::unique_lock lock(mutex_);
    const auto it = objects_.find(handle);
    if (it == objects_.end()) return nullptr;
    std::shared_ptr<T> object = std::move(it->second);
    objects_.erase(it);
    return object;
  }

  size_t size() const {
    std::shared_lock lock(mutex_);
    return objects_.size();
  }

 private:
  const HandleKind kind_;
  std::atomic<uint64_t> last_{0};
  mutable std::shared_mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<T>> objects_;
};

}  // namespace mla
#endif  // MLA_API_HANDLES_H_
