// Weights as they lie in the GPU's memory: three quantized forms for all of GGUF's types, so that
// kernels are few and their loads are whole and aligned.
#ifndef MLA_KERNELS_MATMUL_GPU_MATRIX_H_
#define MLA_KERNELS_MATMUL_GPU_MATRIX_H_

#include <cstdint>

#include "tensor/types.h"

namespace mla {

// kInt4 (Q4_0, Q4_1, Q4_K): w = scale * u + minimum, u = 0 .. 15, for every 32 elements a pair of
// f16 numbers (scale in the lower half of a word). Values [rows][cols / 32][16 bytes]: of word j
// the low nibbles are elements 8j .. 8j + 3 of the group, the high ones 8j + 4 .. 8j + 7.
// Q4_K's scale and minimum are rounded to f16, once.
//
// kInt5 (Q5_0, Q5_1, Q5_K): the same with u = 0 .. 31. What is above four bits is behind the
// numbers, scales [rows][2][cols / 32], a word for every group: of its byte k bit 2j is that of
// element 8j + k, bit 2j + 1 that of element 8j + 4 + k. Q5_K's numbers are rounded to f16, once.
//
// kInt8 (Q8_0, Q3_K, Q6_K, IQ4_NL, IQ4_XS): w = scale * s, two f16 scales for every 32 elements: of
// the first 16 in the lower half of a word, of the others in the upper. Values [rows][2][cols /
// 32][16 bytes]: first all groups' first 16 elements. Scales of blocks of 256 are rounded to f16,
// once.
//
// Floats: [rows][padded_cols], zeros behind a row's end. Those with a wider range than f16 have a
// number for every row: the power of two, a float's bits, whose multiples below 2^15 they are, so
// that tensor cores may have them as f16.
enum class GpuForm : int32_t { kF32, kF16, kBf16, kInt4, kInt5, kInt8 };

constexpr bool IsQuantized(GpuForm form) {
  return form == GpuForm::kInt4 || form == GpuForm::kInt5 || form == GpuForm::kInt8;
}

inline constexpr int64_t kGpuGroup = 32;

struct GpuMatrix {
  GpuForm form = GpuForm::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const uint8_t* values = nullptr;   // the GPU's, 16-byte aligned
  const uint32_t* scales = nullptr;  // [rows][words of a row]; kF16: null

  constexpr bool empty() const { return values == nullptr; }
  constexpr bool quantized() const { return IsQuantized(form); }
};

GpuForm GpuFormOf(Type type);
// Columns of a float matrix's rows in memory.
constexpr int64_t GpuPaddedCols(int64_t cols) { return (cols + 7) / 8 * 8; }
int64_t GpuValueBytes(GpuForm form, int64_t rows, int64_t cols);
// Words of `scales` that a row has.
constexpr int64_t GpuScaleWords(GpuForm form, int64_t cols) {
  if (!IsQuantized(form)) return form == GpuForm::kF16 ? 0 : 1;
  return cols / kGpuGroup * (form == GpuForm::kInt5 ? 2 : 1);
}
int64_t GpuScaleBytes(GpuForm form, int64_t rows, int64_t cols);
// Rows [begin, end) of w into place in `values` and `scales` of the whole matrix, the host's.
// Threads may pack disjoint rows.
void PackForGpu(const Matrix& w, int64_t begin, int64_t end, uint8_t* values, uint32_t* scales);

}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_GPU_MATRIX_H_
