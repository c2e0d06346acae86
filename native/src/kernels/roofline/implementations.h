// What the implementation files of this folder export.
#ifndef MLA_KERNELS_ROOFLINE_IMPLEMENTATIONS_H_
#define MLA_KERNELS_ROOFLINE_IMPLEMENTATIONS_H_

#include "kernels/roofline/roofline.h"

namespace mla {

extern const RooflineKernels kRooflineGeneric;
#if defined(__x86_64__)
extern const RooflineKernels kRooflineAvx2;
extern const RooflineKernels kRooflineAvx512;
#endif

}  // namespace mla
#endif  // MLA_KERNELS_ROOFLINE_IMPLEMENTATIONS_H_
