// Attention of a step on the GPU, in the absorbed form (attention.h), over cache pages that lie in
// its memory byte for byte as in the CPU's (cache/row_format.h): a batch of sequences of any
// lengths, with one or a few queries each. Rows are read packed and widened on the chip; every byte
// is read once for all heads of a task (gpu_plan.h says what tasks are), the context is split, and
// the parts are merged in their order. A sequence's results depend on nothing of the others but,
// where groups of warps have the layer (gpu_group_kernel.h), how many these are.
//
// Errors, besides those of the cached rows: rows, queries, softmax weights and the means of splits
// meet as halves with float32 sums, each rounded by 2^-12 of itself at most. Queries are scaled by
// a power of two before that, so that they never overflow; weights below 2^-24 of the largest lose
// more, where there is one latent (gpu_latent_kernel.h) those below 2^-10: 2^-21 of the largest at
// most. Float32 rows are rounded and end at 65504 as those of an f16 cache do.
//
// Where all rows are bf16, they, queries and weights meet as bf16, whose range is float32's, each
// rounded by 2^-9 of itself at most, and splits' means are not rounded. Beside other rows bf16 ones
// become halves as float32 ones do.
#ifndef MLA_KERNELS_ATTENTION_GPU_H_
#define MLA_KERNELS_ATTENTION_GPU_H_

#include <cstdint>

#include "cache/page_table.h"
#include "cuda/gpu_stream.h"
#include "kernels/attention/gpu_plan.h"

namespace mla {

// Everything but `plan` points to the GPU's memory.
struct GpuAttention {
  const GpuAttentionPlan* plan;
  const int32_t* tables;  // plan->tables()
  int32_t sequences;
  // No sequence has more tokens, those of the queries included. The grid is for as many: a recorded
  // launch may be replayed while sequences grow up to here. Results do not depend on it.
  int32_t bucket;
  int32_t window;  // sliding window, 0: none
  float scale;

  // [sequences]: position of a sequence's query 0, as AttentionParams' `first`, whose rows and the
  // other queries' are written; below zero: there is no such sequence, and no output.
  const int32_t* positions;
  // [sequences] page tables of their caches, whose pages are 16-byte aligned: those of the layer
  // are read. Exact pages may be missing that no query asks for.
  uint8_t* const* const* pages;
  PageTablePlaces places;
  int32_t layer;

  // [sequences][queries][heads][R or key length], strides in floats.
  const float* q_rope;
  int64_t q_rope_sequence, q_rope_query, q_rope_head;
  const float* q_latent;
  int64_t q_latent_sequence, q_latent_query, q_latent_head;
  float* out;  // [sequences][queries][heads][value length]
  int64_t out_sequence, out_query, out_head;

  void* workspace;  // plan->WorkspaceBytes(sequences, bucket, window), of no particular content
};

namespace cuda {
void Launch(GpuStream& stream, const GpuAttention& args);
}  // namespace cuda
namespace emulated {
void Launch(GpuStream& stream, const GpuAttention& args);
}  // namespace emulated

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_H_
