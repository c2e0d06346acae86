#include <cmath>

#include "kernels/swiglu/implementations.h"

namespace mla {

void SwiGluGeneric(const float* gate, const float* up, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

}  // namespace mla
