#include <cmath>

#include "kernels/norm/norm.h"

namespace mla {

void RmsNormReference(const float* x, int64_t x_stride, const float* w, float eps, float* y,
                      int64_t y_stride, int64_t n, int64_t d) {
  for (int64_t i = 0; i < n; ++i, x += x_stride, y += y_stride) {
    double squares = 0;
    for (int64_t c = 0; c < d; ++c) squares += double{x[c]} * double{x[c]};
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(d) + double{eps});
    for (int64_t c = 0; c < d; ++c) y[c] = static_cast<float>(double{x[c]} * scale * double{w[c]});
  }
}

}  // namespace mla
