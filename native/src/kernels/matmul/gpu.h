// Products with weights on the GPU, which are read packed. Of a few rows, a step of one sequence or
// of some together: weights are read once, and the work around a product (norm before it, bias and
// residual after it) is done by the same kernel, since a small model's step is bounded by the
// number of kernels. Of many rows, a prompt's chunk or a batch of many sessions: by tensor cores.
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

// Several of one input. A row's results do not depend on the other rows.
struct GpuProducts {
  static constexpr int kMostProducts = 8;

  GpuInput input;
  int32_t n = 0;     // rows, at least 1
  int64_t cols = 0;  // of all matrices
  int32_t count = 0;
  GpuProduct products[kMostProducts];

  void Add(const GpuProduct& product) { products[count++] = product; }
};

// Of n <= kMostRows rows. Quantized weights meet inputs of 15 bits with a scale for every 32
// elements, others floats; both have float32 sums.
struct GpuMatVec : GpuProducts {
  static constexpr int kMostRows = 8;
  // Of a gate and an up-projection, the only two: silu(gate) * up, to the gate's place alone.
  bool gated = false;
};

// Of any number of rows; meant for more than GpuMatVec takes. Inputs and weights are rounded to
// f16, sums are float32. Every row of the input, and of weights whose range is wider than f16's, is
// multiplied with a power of two first, so that nothing overflows: |x| and |w| keep 11 bits down to
// 2^-29 of their row's largest. Quantized weights must lie within f16's range. A row's results are
// the same in a call of any n, to the last bit where the GPU's tensor cores add the products of a
// step in one order whether a warp or a group of warps multiplies (as of n = 65, on sm_90).
struct GpuMatMul : GpuProducts {
  void* workspace = nullptr;  // GpuMatMulBytes(n, cols), 256-byte aligned; free again after it
};
// Two bytes an element, in rows of whole chunks of 64, and four a row.
constexpr int64_t GpuMatMulBytes(int64_t n, int64_t cols) {
  return n * ((cols + 63) / 64 * 128 + 4);
}

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

// The same of many rows, as GpuMatMul has them; w of any form. Where x_head_stride is 0 all heads
// share a row of x.
struct GpuHeadMatMul : GpuHeadProduct {
  void* workspace = nullptr;  // GpuHeadMatMulBytes, 256-byte aligned; free again after it
  // Not null, of floats as weights: where results go in place of `out`, as halves that end at
  // 65504; out's strides count these.
  uint16_t* halves = nullptr;
};
constexpr int64_t GpuHeadMatMulBytes(const GpuHeadProduct& product) {
  const int64_t heads = product.x_head_stride == 0 ? 1 : int64_t{product.kv_heads} * product.group;
  return GpuMatMulBytes(product.n * heads, product.w.cols);
}

namespace cuda {
void Launch(GpuStream& stream, const GpuMatVec& args);
void Launch(GpuStream& stream, const GpuMatMul& args);
void Launch(GpuStream& stream, const GpuLookup& args);
void Launch(GpuStream& stream, const GpuHeadProduct& args);
void Launch(GpuStream& stream, const GpuHeadMatMul& args);
}  // namespace cuda
namespace emulated {
void Launch(GpuStream& stream, const GpuMatVec& args);
void Launch(GpuStream& stream, const GpuMatMul& args);
void Launch(GpuStream& stream, const GpuLookup& args);
void Launch(GpuStream& stream, const GpuHeadProduct& args);
void Launch(GpuStream& stream, const GpuHeadMatMul& args);
}  // namespace emulated

}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_GPU_H_
