#include "kernels/swiglu/swiglu.h"

#include "kernels/swiglu/implementations.h"

namespace mla {

SwiGluKernel GetSwiGluKernel(Isa isa) {
  static_cast<void>(isa);  // the portable one serves all
  return SwiGluGeneric;
}

void SwiGlu(const float* gate, const float* up, float* y, int64_t n) {
  static const SwiGluKernel kernel = GetSwiGluKernel(ChosenIsa().isa);
  kernel(gate, up, y, n);
}

}  // namespace mla
