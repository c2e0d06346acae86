// What the implementation files of this folder export.
#ifndef MLA_KERNELS_SWIGLU_IMPLEMENTATIONS_H_
#define MLA_KERNELS_SWIGLU_IMPLEMENTATIONS_H_

#include "kernels/swiglu/swiglu.h"

namespace mla {

void SwiGluGeneric(const float* gate, const float* up, float* y, int64_t n);
#if defined(__x86_64__)
void SwiGluAvx2(const float* gate, const float* up, float* y, int64_t n);
void SwiGluAvx512(const float* gate, const float* up, float* y, int64_t n);
#elif defined(__aarch64__)
void SwiGluNeon(const float* gate, const float* up, float* y, int64_t n);
#endif

}  // namespace mla
#endif  // MLA_KERNELS_SWIGLU_IMPLEMENTATIONS_H_
