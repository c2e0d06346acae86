#include "kernels/swiglu/swiglu.h"

#include "kernels/swiglu/implementations.h"

namespace mla {

SwiGluKernel GetSwiGluKernel(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return SwiGluAvx512;
    case Isa::kAvxVnni:
    case Isa::kAvx2:
      return SwiGluAvx2;
#elif defined(__aarch64__)
    case Isa::kI8mm:
    case Isa::kDotprod:
    case Isa::kNeon:
      return SwiGluNeon;
#endif
    default:
      return SwiGluGeneric;
  }
}

void SwiGlu(const float* gate, const float* up, float* y, int64_t n) {
  static const SwiGluKernel kernel = GetSwiGluKernel(ChosenIsa().isa);
  kernel(gate, up, y, n);
}

}  // namespace mla
