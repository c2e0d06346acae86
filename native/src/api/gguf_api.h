// Open GGUF files by handle, for the calls of the other parts of the C API that take one.
#ifndef MLA_API_GGUF_API_H_
#define MLA_API_GGUF_API_H_

#include "api/handles.h"
#include "gguf/gguf_file.h"

namespace mla {

// Never destroyed: a thread may still be in a call while the process ends.
HandleTable<const GgufFile>& GgufHandles();

}  // namespace mla
#endif  // MLA_API_GGUF_API_H_
