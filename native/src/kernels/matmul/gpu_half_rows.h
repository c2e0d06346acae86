// Rows of input as tensor cores are to read them, many times, from global memory: normed or gated,
// rounded to f16, in the order in which lanes hold packed weights.
#ifndef MLA_KERNELS_MATMUL_GPU_HALF_ROWS_H_
#define MLA_KERNELS_MATMUL_GPU_HALF_ROWS_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/matmul/gpu.h"

namespace mla::MLA_GPU {

// Elements of a row that are multiplied at a time: four steps of Mma.
constexpr int kChunk = 64;

MLA_BOTH int64_t ChunksOf(int64_t cols) { return (cols + kChunk - 1) / kChunk; }

// [rows][ChunksOf(cols)][kChunk] halves, zeros behind a row's end, and behind them a power of two
// for every row, which they are multiples of. Of a row with a NaN or an infinity it is NaN.
//
// Mma's lanes t = 0 .. 3 hold elements 16 t .. 16 t + 15 of a chunk of weights: so much lies side
// by side in every packed form. Which elements a step multiplies is free as long as both sides
// agree: step s takes of lane t's sixteen, of the eight from 8 (s / 2) on, numbers 0, 2 | 4, 6
// where s is even, else 1, 3 | 5, 7, which are the pairs that a packed word's bytes fall into. Here
// they lie in the order of the steps: s, | side, t, number.
struct HalfRows {
  uint8_t* halves;
  float* scales;
};

MLA_BOTH HalfRows PlaceHalfRows(void* workspace, int64_t rows, int64_t cols) {
  uint8_t* halves = static_cast<uint8_t*>(workspace);
  return {halves, reinterpret_cast<float*>(halves + rows * ChunksOf(cols) * kChunk * 2)};
}

// Of the first half of word w (a pair) of a chunk, which element it is; the second is the next but
// one.
MLA_BOTH int ElementOfWord(int w) {
  const int step = w / 8, side = w / 4 % 2, t = w % 4;
  return 16 * t + 8 * (step / 2) + 4 * side + step % 2;
}

// Rows x[i][h], i < n, h < heads: row i * heads + h in the workspace.
struct HalfRowsArgs {
  GpuInput input;
  int64_t head_stride;
  int32_t n, heads;
  int64_t cols;
  HalfRows rows;
};
void LaunchHalfRows(GpuStream& stream, const HalfRowsArgs& args);

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_MATMUL_GPU_HALF_ROWS_H_
