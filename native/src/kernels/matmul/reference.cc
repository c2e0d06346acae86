#include <vector>

#include "kernels/matmul/matmul.h"
#include "tensor/convert.h"

namespace mla {

void MatmulReference(const Matrix& w, const float* x, int64_t x_stride, int64_t n,
                     const float* bias, float* y, int64_t y_stride) {
  std::vector<float> row(static_cast<size_t>(w.cols));
  for (int64_t r = 0; r < w.rows; ++r) {
    DequantizeRow(w.type, w.row(r), row.data(), w.cols);
    for (int64_t i = 0; i < n; ++i) {
      double sum = bias != nullptr ? bias[r] : 0.0;
      for (int64_t c = 0; c < w.cols; ++c) sum += double{row[c]} * double{x[i * x_stride + c]};
      y[i * y_stride + r] = static_cast<float>(sum);
    }
  }
}

}  // namespace mla
