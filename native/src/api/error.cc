#include "api/guard.h"
#include "mla/mla.h"

namespace mla {
namespace {

std::string& LastError() {
  thread_local std::string text;
  return text;
}

}  // namespace

mla_status ReportError(mla_status code, const char* message) noexcept {
  try {
    LastError() = message;
  } catch (...) {  // no memory for the words: an empty string needs none
    LastError().clear();
  }
  return code;
}

}  // namespace mla

const char* mla_last_error(void) { return mla::LastError().c_str(); }

const char* mla_status_name(mla_status status) {
  switch (status) {
    case MLA_OK:
      return "ok";
    case MLA_INVALID_ARGUMENT:
      return "invalid argument";
    case MLA_NOT_FOUND:
      return "not found";
    case MLA_IO:
      return "input/output error";
    case MLA_BAD_FILE:
      return "bad file";
    case MLA_UNSUPPORTED:
      return "unsupported";
    case MLA_OUT_OF_MEMORY:
      return "out of memory";
    case MLA_CONTEXT_FULL:
      return "context full";
    case MLA_CANCELLED:
      return "cancelled";
    case MLA_CLOSED:
      return "closed";
    case MLA_INTERNAL:
      return "internal error";
  }
  return "unknown status";
}
