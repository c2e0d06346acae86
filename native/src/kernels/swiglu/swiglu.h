// The gated activation of the MLP: y = silu(gate) * up, silu(z) = z / (1 + exp(-z)).
#ifndef MLA_KERNELS_SWIGLU_SWIGLU_H_
#define MLA_KERNELS_SWIGLU_SWIGLU_H_

#include <cstdint>

#include "kernels/isa.h"

namespace mla {

// gate, up, y [n]; y may be gate. Relative error of exp at most 1e-6.
void SwiGlu(const float* gate, const float* up, float* y, int64_t n);

using SwiGluKernel = void (*)(const float* gate, const float* up, float* y, int64_t n);
SwiGluKernel GetSwiGluKernel(Isa isa);
void SwiGluReference(const float* gate, const float* up, float* y, int64_t n);

}  // namespace mla
#endif  // MLA_KERNELS_SWIGLU_SWIGLU_H_
