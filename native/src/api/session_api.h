// Sessions by handle, for the batch calls of the C API.
#ifndef MLA_API_SESSION_API_H_
#define MLA_API_SESSION_API_H_

#include "api/handles.h"
#include "runtime/session.h"

namespace mla {

// Never destroyed: a thread may still be in a call while the process ends.
HandleTable<Session>& SessionHandles();

}  // namespace mla
#endif  // MLA_API_SESSION_API_H_
