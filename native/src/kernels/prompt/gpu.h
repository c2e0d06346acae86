// Attention of a prompt's chunk on the GPU, in the expanded form (attention.h): many queries of one
// sequence. The context is expanded so many tokens at a time, into halves that lie in scratch as
// plain keys [rotary | others] and values of every KV head: what the cache holds of them is
// widened, the rest up-projected from latents by tensor cores (matmul/gpu.h). The queries then
// attend to these tokens, also by tensor cores, and keep maxima, totals and sums from one such
// piece of the context to the next: memory grows with neither the context nor, beyond two numbers a
// head, the chunk.
//
// Tokens that are asked for in f16 and as the cache's types have them (cache_view.h's window) are
// expanded in both forms; each query sees one.
//
// Errors, besides those of the cached rows: keys, values, queries and softmax weights meet as
// halves with float32 sums, each rounded by 2^-12 of itself at most; so are latents and matrices
// before that. Keys and values end at 65504. Queries are scaled as in attention/gpu.h.
#ifndef MLA_KERNELS_PROMPT_GPU_H_
#define MLA_KERNELS_PROMPT_GPU_H_

#include <cstdint>

#include "cache/page_table.h"
#include "cuda/gpu_stream.h"
#include "kernels/matmul/gpu_matrix.h"
#include "kernels/prompt/gpu_plan.h"

namespace mla {

// Pointers, but for `plan`, are to the GPU's memory; strides are in floats.
struct GpuPrompt {
  const GpuPromptPlan* plan;
  const GpuExpandPiece* pieces;  // plan->pieces()
  int32_t first;                 // position of query 0; all queries' rows are written
  int32_t queries;
  int32_t window;  // sliding window, 0: none
  float scale;

  uint8_t* const* const* pages;  // the sequence's page table, as GpuAttention::pages has it
  PageTablePlaces places;
  int32_t layer;

  // [kv_heads * others][key rank] and [kv_heads * values][value rank]; empty where the plan has
  // none.
  GpuMatrix k_up_rows, v_up;

  const float* q_rope;  // [queries][heads][R]
  int64_t q_rope_query, q_rope_head;
  const float* q_nope;  // [queries][heads][others]
  int64_t q_nope_query, q_nope_head;
  float* out;  // [queries][heads][values]
  int64_t out_query, out_head;

  int32_t tokens;   // that are expanded at a time: plan->Tokens(..), or any multiple of 64
  void* workspace;  // plan->WorkspaceBytes(queries, tokens), 256-byte aligned, of no content
};

namespace cuda {
void Launch(GpuStream& stream, const GpuPrompt& args);
}  // namespace cuda
namespace emulated {
void Launch(GpuStream& stream, const GpuPrompt& args);
}  // namespace emulated

}  // namespace mla
#endif  // MLA_KERNELS_PROMPT_GPU_H_
