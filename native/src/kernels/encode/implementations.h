// What the implementation files of this folder export.
#ifndef MLA_KERNELS_ENCODE_IMPLEMENTATIONS_H_
#define MLA_KERNELS_ENCODE_IMPLEMENTATIONS_H_

#include "kernels/encode/encode.h"

namespace mla {

extern const EncodeKernels kEncodeGeneric;
#if defined(__x86_64__)
extern const EncodeKernels kEncodeAvx2;
extern const EncodeKernels kEncodeAvx512;
#endif

}  // namespace mla
#endif  // MLA_KERNELS_ENCODE_IMPLEMENTATIONS_H_
