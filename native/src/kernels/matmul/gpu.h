// Products of a few rows with weights on the GPU: a step of one sequence, or of some together.
// Weights are read once, packed; the work around a product (norm before it, bias and residual after
// it) is done by the same kernel, since a small model's step is bounded by the number of kernels.
#ifndef MLA_KERNELS_MATMUL_GPU_H_
#define MLA_KERNELS_MATMUL_GPU_H_

#include <cstdint>

#include "cuda/gpu_stream.h"
#include "kernels/matmul/gpu_matrix.h"

namespace mla {

// The rows that matrices are multiplied with, [n][cols] with a stride in floats.
struct GpuInput {
  enum class Kind {
    kPlain,  // x
    kNorm,   // x / rms(x) * by
    kSwiGlu  // silu(x) * by, of rows like x's
  };
  Kind kind = Kind::kPlain;
  const float* x = nullptr;
  int64_t stride = 0;
  const float* by = nullptr;  // kNorm: [cols], kSwiGlu: [n][cols], the stride is x's
  float epsilon = 0.0f;       // kNorm
};

// out[i][r] = w[r] · input[i] + bias[r], or added to what is there.
struct GpuProduct {
  GpuMatrix w;
  const float* bias = nullptr;  // [w.rows] or null
  float* out = nullptr;
  int64_t out_stride = 0;
  bool add = false;
};

// Quantized weights meet inputs of 15 bits with a scale for every 32 elements, others floats; both
// have float32 sums. A row's results do not depend on the other rows.
struct GpuMatVec {
  static constexpr int kMostProducts = 8;
  static constexpr int kMostRows = 8;

  GpuInput input;
  int32_t n = 0;     // rows, 1 to kMostRows
  int64_t cols = 0;  // of all matrices
  int32_t count = 0;
  GpuProduct products[kMostProducts];

  void Add(const GpuProduct& product) { products[count++] = product; }
};

// Rows of a matrix as floats: out[i] = w[rows[i]], i < n.
struct GpuLookup {
  GpuMatrix w;
  const int32_t* rows;  // [n], the GPU's
  int32_t n;
  float* out;  // [n][w.cols]
};

// Heads' products with their KV head's matrix: out[i][h][r] = w[g(h) * rows + r] · x[i][h].
struct GpuHeadProduct {
  GpuMatrix w;  // floats, [kv_heads * rows][cols]
  int32_t kv_heads, group;
  int32_t n;
  const float* x;
  int64_t x_stride, x_head_stride;
  float* out;
  int64_t out_stride, out_head_stride;
};

namespace cuda {
void Launch(GpuStream& stream, const GpuMatVec& args);
void Launch(GpuStream& stream, const GpuLookup& args);
void Launch(GpuStream& stream, const GpuHeadProduct& args);
}  // namespace cuda
namespace emulated {
void Launch(GpuStream& stream, const GpuMatVec& args);
void Launch(GpuStream& stream, const GpuLookup& args);
void Launch(GpuStream& stream, const GpuHeadProduct& args);
}  // namespace emulated

}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_GPU_H_
