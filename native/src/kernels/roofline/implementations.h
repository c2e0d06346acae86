// What the implementation files of this folder export.
#ifndef MLA_KERNELS_ROOFLINE_IMPLEMENTATIONS_H_
#define MLA_KERNELS_ROOFLINE_IMPLEMENTATIONS_H_

#include "kernels/roofline/roofline.h"

namespace mla {

extern const RooflineKernels kRooflineGeneric;
#if defined(__x86_64__)
extern const RooflineKernels kRooflineAvx2;
extern const RooflineKernels kRooflineAvxVnni;
extern const RooflineKernels kRooflineAvx512;
#elif defined(__aarch64__)
extern const RooflineKernels kRooflineNeon;
extern const RooflineKernels kRooflineDotprod;
extern const RooflineKernels kRooflineI8mm;
// Their parts in plain NEON.
uint64_t ReadNeon(const void* data, int64_t bytes);
float MultiplyFloatsNeon(int64_t rounds, float one);
inline constexpr int64_t kFloatsNeon = 64;
#endif

}  // namespace mla
#endif  // MLA_KERNELS_ROOFLINE_IMPLEMENTATIONS_H_
