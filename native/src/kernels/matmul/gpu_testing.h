// For the tests of the GPU's products: weights as a file has them, as the GPU has them, and in
// floats.
#ifndef MLA_KERNELS_MATMUL_GPU_TESTING_H_
#define MLA_KERNELS_MATMUL_GPU_TESTING_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "cuda/gpu_testing.h"
#include "kernels/matmul/gpu.h"
#include "kernels/matmul/gpu_matrix.h"
#include "tensor/convert.h"
#include "tensor/types.h"

namespace mla {

// Whether the GPU has rounded a weight's scale and minimum.
inline bool HasRoundedNumbers(Type type) { return GetTypeTraits(type).block == 256; }

inline std::vector<float> Normal(int64_t count, uint32_t seed, float mean = 0.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, 1.0f);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

// A matrix as a file has it, as the GPU has it, and in floats.
struct TestMatrix {
  TestMatrix(GpuStream& of, Type type, int64_t rows, int64_t cols, uint32_t seed)
      : TestMatrix(of, type, rows, cols, Normal(rows * cols, seed, 0.3f)) {}
  TestMatrix(GpuStream& of, Type type, int64_t rows, int64_t cols, const std::vector<float>& values)
      : floats(values.size()) {
    file.resize(static_cast<size_t>(rows * RowBytes(type, cols)));
    QuantizeRow(type, values.data(), file.data(), rows * cols);
    DequantizeRow(type, file.data(), floats.data(), rows * cols);
    const Matrix matrix = {type, file.data(), rows, cols};
    gpu.form = GpuFormOf(type);
    gpu.rows = rows;
    gpu.cols = cols;
    std::vector<uint8_t> packed(static_cast<size_t>(GpuValueBytes(gpu.form, rows, cols)));
    scales.resize(static_cast<size_t>(GpuScaleBytes(gpu.form, rows, cols) / 4));
    PackForGpu(matrix, 0, rows, packed.data(), scales.data());
    values_there = DeviceArray<uint8_t>(of, packed);
    scales_there = DeviceArray<uint32_t>(of, scales);
    gpu.values = values_there.data();
    gpu.scales = scales_there.data();
  }

  std::vector<uint8_t> file;
  std::vector<float> floats;  // [rows][cols]
  std::vector<uint32_t> scales;
  DeviceArray<uint8_t> values_there;
  DeviceArray<uint32_t> scales_there;
  GpuMatrix gpu;
};

inline double Dot(const float* w, const float* x, int64_t cols) {
  double sum = 0;
  for (int64_t c = 0; c < cols; ++c) sum += double{w[c]} * x[c];
  return sum;
}

// What a product is of whose input is normed or gated: x and `by` as GpuInput has them, rows of
// `cols` without a space between them.
inline std::vector<float> Prepared(GpuInput::Kind kind, const std::vector<float>& x,
                                   const std::vector<float>& by, int64_t n, int64_t cols,
                                   double epsilon) {
  std::vector<float> prepared(static_cast<size_t>(n * cols));
  for (int64_t i = 0; i < n; ++i) {
    double squares = 0;
    for (int64_t c = 0; c < cols; ++c) squares += double{x[i * cols + c]} * x[i * cols + c];
    for (int64_t c = 0; c < cols; ++c) {
      const double value = x[i * cols + c];
      prepared[i * cols + c] = static_cast<float>(
          kind == GpuInput::Kind::kNorm
              ? value / std::sqrt(squares / static_cast<double>(cols) + epsilon) * by[c]
              : value / (1 + std::exp(-value)) * by[i * cols + c]);
    }
  }
  return prepared;
}

}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_GPU_TESTING_H_
