// Loaded models by handle, for the session calls of the C API.
#ifndef MLA_API_MODEL_API_H_
#define MLA_API_MODEL_API_H_

#include "api/handles.h"
#include "graph/weights.h"

namespace mla {

// Never destroyed: a thread may still be in a call while the process ends.
HandleTable<const Weights>& ModelHandles();

}  // namespace mla
#endif  // MLA_API_MODEL_API_H_
