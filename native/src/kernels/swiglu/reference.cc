#include <cmath>

#include "kernels/swiglu/swiglu.h"

namespace mla {

void SwiGluReference(const float* gate, const float* up, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double z = gate[i];
    y[i] = static_cast<float>(z / (1.0 + std::exp(-z)) * double{up[i]});
  }
}

}  // namespace mla
