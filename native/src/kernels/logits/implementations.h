// What the implementation files of this folder export.
#ifndef MLA_KERNELS_LOGITS_IMPLEMENTATIONS_H_
#define MLA_KERNELS_LOGITS_IMPLEMENTATIONS_H_

#include "kernels/logits/logits.h"

namespace mla {

extern const LogitKernels kLogitsGeneric;
#if defined(__x86_64__)
extern const LogitKernels kLogitsAvx2;
extern const LogitKernels kLogitsAvx512;
#endif

}  // namespace mla
#endif  // MLA_KERNELS_LOGITS_IMPLEMENTATIONS_H_
