// y = x · wᵀ (+ bias) (+ y): the projections. Weights are multiplied in their stored form;
// activations are prepared once per tensor (quantized or copied, as the implementation likes) and
// shared by all projections that read them.
//
// Use, for weights w0, w1 ... with the same number of columns that read the same x:
//   PrepareActivations(type of w, x, ...) once for each activation form needed, then Matmul over
//   row ranges from any number of threads. Results do not depend on how rows are split between
//   threads.
#ifndef MLA_KERNELS_MATMUL_MATMUL_H_
#define MLA_KERNELS_MATMUL_MATMUL_H_

#include <cstdint>

#include "kernels/isa.h"
#include "tensor/types.h"

namespace mla {

// How x is held for a weight type: types of equal form share one preparation. Blocks are whole
// numbers of 15 bits for 32 elements with a scale; mixed ones may have 8 bits instead, where no
// element stands out and the instruction set gains by it.
enum class ActivationForm { kFloat, kFineBlocks32, kMixedBlocks32 };

// How finely a session rounds activations: here, the blocks that quantized weights are to meet.
enum class Activations { kMixed, kFine };
ActivationForm FormFor(Type weight, Activations activations);

// Bytes for n rows of `cols` activations in a form; the buffer must be 64-byte aligned.
int64_t ActivationBytes(ActivationForm form, int64_t n, int64_t cols);

// x [n, cols] with row stride `x_stride` floats. Rows [begin, end) of n are prepared, so that
// threads share the work.
void PrepareActivations(ActivationForm form, const float* x, int64_t x_stride, int64_t n,
                        int64_t cols, void* prepared, int64_t begin, int64_t end);

struct MatmulParams {
  Matrix w;              // [rows, cols]
  const void* prepared;  // n rows of activations in a form for w.type
  int64_t n;             // rows of x and y; 1 is the decode case
  float* y;              // [n, rows], row stride y_stride floats
  int64_t y_stride;
  const float* bias;  // [rows] or null
  bool accumulate;    // add to y (residual) instead of overwriting it
  // Plain floats need no preparing: then `prepared` may be x itself, its rows so many floats apart;
  // 0: cols.
  int64_t x_stride = 0;

  int64_t plain_stride() const { return x_stride > 0 ? x_stride : w.cols; }
  const float* plain_row(int64_t i) const {
    return static_cast<const float*>(prepared) + i * plain_stride();
  }
};

// Rows [row_begin, row_end) of w. Allocates nothing; thread-safe for disjoint row ranges.
void Matmul(const MatmulParams& params, int64_t row_begin, int64_t row_end);

// Rows of w in panels (Matrix::panels), each of which is read as one stream: w's, filled up to a
// multiple of the panel's rows. 0 where this machine's kernels want them as they are.
int64_t PanelRows(const Matrix& w);
// Rows [begin, end) of those, multiples of kMatmulRowGrain, into w.row_bytes() a row of `panels`,
// which is 64-byte aligned; thread-safe for disjoint rows.
void PackPanels(const Matrix& w, int64_t begin, int64_t end, uint8_t* panels);

// Row ranges handed to threads should be multiples of this (the widest register block).
inline constexpr int64_t kMatmulRowGrain = 16;

// --- implementations ---
struct MatmulKernels {
  void (*prepare)(ActivationForm form, const float* x, int64_t x_stride, int64_t n, int64_t cols,
                  void* prepared, int64_t begin, int64_t end);
  void (*multiply)(const MatmulParams& params, int64_t row_begin, int64_t row_end);
  int32_t panel_rows;  // 0: quantized weights are multiplied as the file has them
  // Rows [row, row + panel_rows) to one panel of as many bytes; those behind w's last are zeros.
  void (*pack)(const Matrix& w, int64_t row, uint8_t* out);
};
// Never null for a supported ISA; an ISA without its own file gets the next best.
const MatmulKernels& GetMatmulKernels(Isa isa);
// The formula in double precision over dequantized weights and exact x: y[i, r] = sum_c w[r, c]
// x[i, c] + bias[r].
void MatmulReference(const Matrix& w, const float* x, int64_t x_stride, int64_t n,
                     const float* bias, float* y, int64_t y_stride);

}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_MATMUL_H_
