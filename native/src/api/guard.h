// The wall at the C API: no exception passes it, and every failure leaves its words for
// mla_last_error.
#ifndef MLA_API_GUARD_H_
#define MLA_API_GUARD_H_

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "tensor/status.h"

namespace mla {

// Keeps the words for this thread and returns the code. Never throws.
mla_status ReportError(mla_status code, const char* message) noexcept;

// `fn` returns a Status.
template <class Fn>
mla_status Guard(Fn&& fn) noexcept {
  try {
    const Status status = fn();
    return status.ok() ? MLA_OK : ReportError(status.code(), status.message().c_str());
  } catch (const std::bad_alloc&) {
    return ReportError(MLA_OUT_OF_MEMORY, "out of memory");
  } catch (const std::length_error&) {  // a container asked for more than there can be
    return ReportError(MLA_OUT_OF_MEMORY, "out of memory: the size is beyond any container");
  } catch (const std::exception& e) {
    return ReportError(MLA_INTERNAL, e.what());
  } catch (...) {
    return ReportError(MLA_INTERNAL, "unknown exception");
  }
}

// For pointers that a call may not do without.
inline Status NullArgument(const char* name) {
  return {MLA_INVALID_ARGUMENT, std::string("argument '") + name + "' is null"};
}

}  // namespace mla
#endif  // MLA_API_GUARD_H_
