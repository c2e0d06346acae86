// The language of the GPU's kernels. Compiled by nvcc this is CUDA itself; compiled by the host's
// compiler it is an emulation (emulator_testing.h) that runs the very same kernels thread by
// thread, so that tests reach them on machines without a GPU. Everything is in namespace
// mla::MLA_GPU, `cuda` or `emulated`: both may be in one program.
//
// Rules for kernels, which the emulation checks: blocks are one-dimensional, of whole warps; no
// thread ends before the block's last barrier; all lanes of a warp take part in what is marked
// "warp"; shared memory is the block's one dynamic piece, of no particular content at first.
//
// A launch may begin while the one before it still runs (GpuStream::starts_early). Every thread
// calls WaitForEarlier before it writes anything, reads what a kernel may have written, or ends; in
// front of it are only reads of what no kernel writes: weights, tables, a step's inputs.
#ifndef MLA_CUDA_SIMT_H_
#define MLA_CUDA_SIMT_H_

#include <cstdint>

#include "cuda/both.h"
#include "cuda/gpu_stream.h"
#include "cuda/mma_float.h"

#if defined(__CUDACC__)
#define MLA_GPU cuda
#define MLA_KERNEL __global__
// Of so many threads a block, whose registers leave room for so many blocks a processor.
#define MLA_KERNEL_OF(threads, blocks) __global__ __launch_bounds__(threads, blocks)
#define MLA_DEVICE __device__ __forceinline__
#define MLA_UNROLL _Pragma("unroll")
#define MLA_PRAGMA(text) _Pragma(#text)
#define MLA_UNROLL_BY(count) MLA_PRAGMA(unroll(count))
#else
#define MLA_GPU emulated
#define MLA_KERNEL
#define MLA_KERNEL_OF(threads, blocks)
#define MLA_DEVICE inline
#define MLA_UNROLL
#define MLA_UNROLL_BY(count)
#endif

namespace mla::MLA_GPU {

constexpr int kWarp = 32;

struct Grid {
  int x = 1;
  int y = 1;
  int z = 1;
};

// 16 bytes that are read or written at once, aligned so.
struct alignas(16) Quad {
  uint32_t word[4];
};
// The same of 8 bytes.
struct alignas(8) FourHalves {
  uint32_t word[2];
};

}  // namespace mla::MLA_GPU

#if defined(__CUDACC__)
#include "cuda/simt_cuda.h"
#else
#include "cuda/simt_emulated.h"
#endif

namespace mla::MLA_GPU {

MLA_DEVICE int Lane() { return ThreadIndex() % kWarp; }
MLA_DEVICE int WarpIndex() { return ThreadIndex() / kWarp; }

// Warp: over neighbours that share their number divided by `lanes`, a power of two up to 32; every
// one of them gets it, to the last bit the same.
MLA_DEVICE float SumOver(float value, int lanes) {
  for (int mask = lanes / 2; mask > 0; mask /= 2) value += ShuffleXor(value, mask);
  return value;
}
MLA_DEVICE float MaxOver(float value, int lanes) {
  for (int mask = lanes / 2; mask > 0; mask /= 2) {
    const float other = ShuffleXor(value, mask);
    value = value > other ? value : other;
  }
  return value;
}

}  // namespace mla::MLA_GPU
#endif  // MLA_CUDA_SIMT_H_
