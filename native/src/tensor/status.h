// Errors inside the library: a status and a sentence, by value. No exceptions between rooms;
// std::bad_alloc from the standard library is caught at the C API and nowhere else.
#ifndef MLA_TENSOR_STATUS_H_
#define MLA_TENSOR_STATUS_H_

#include <cassert>
#include <string>
#include <utility>
#include <variant>

#include "mla/mla.h"

namespace mla {

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(mla_status code, std::string message) : code_(code), message_(std::move(message)) {}
  static Status Ok() { return {}; }
  bool ok() const { return code_ == MLA_OK; }
  mla_status code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  mla_status code_ = MLA_OK;
  std::string message_;
};

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}  // NOLINT: implicit by design
  Result(Status status) : state_(std::move(status)) {
    assert(!ok());
  }  // NOLINT: implicit by design
  bool ok() const { return std::holds_alternative<T>(state_); }
  T& value() { return std::get<T>(state_); }
  const T& value() const { return std::get<T>(state_); }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }

 private:
  std::variant<Status, T> state_;
};

}  // namespace mla
#endif  // MLA_TENSOR_STATUS_H_
