// The one attention form (attention.h) on the GPU: absorbed, over pages in the GPU's memory that
// lie there exactly as the CPU's do (cache/row_format.h, cache/cache_view.h). Packed rows are read
// as they are; a tile of them is widened to halves on the chip, once for all heads that read it.
#ifndef MLA_KERNELS_ATTENTION_GPU_H_
#define MLA_KERNELS_ATTENTION_GPU_H_

#include <cstdint>

#include "cache/cache_view.h"
#include "cache/layout.h"
#include "cuda/gpu_stream.h"

namespace mla {

// A sequence's part in a launch; in the GPU's memory, so that a recording serves every length.
struct GpuSequence {
  // Pages of the layer as in CacheView, tables and pages in the GPU's memory. `exact` and `first`
  // are null where there is no window, `exact[p]` where no query reads page p there any more.
  const uint8_t* const* rows;
  const uint8_t* const* exact;
  const uint8_t* first;
  int32_t position;  // of its first query; rows up to position + queries - 1 are written
  int32_t queries;   // 0: it takes no part
  int32_t begin;     // of its queries among the launch's rows
};

// Where a layer's rows lie in its pages: the same for all sequences. The arrays are in the GPU's
// memory.
struct GpuLayerRows {
  const RowArray* rope;        // [rope_groups]
  const RowArray* latent;      // [segments]
  const RowArray* exact_rope;  // of the window's pages
  const RowArray* exact_latent;
  const RowArray* first_rope;  // of the sink's page
  const RowArray* first_latent;
  int64_t scalars;
  int32_t residual;
  int32_t sink;
};

struct GpuAttention {
  const LayerLayout* layout;  // the host's
  GpuLayerRows cache;
  const GpuSequence* sequences;  // [count], the GPU's
  int32_t count;
  int32_t max_queries;  // of a sequence
  int32_t max_length;   // no sequence has more tokens, its queries included
  int32_t window;       // sliding, 0: none
  float scale;
  // As in AttentionParams: [rows][heads][...], the GPU's.
  const float* q_rope;
  int64_t q_rope_stride, q_rope_head_stride;
  const float* q_latent;
  int64_t q_latent_stride, q_latent_head_stride;
  float* out;
  int64_t out_stride, out_head_stride;
  void* scratch;  // GpuAttentionScratch bytes, 256-byte aligned
};

// Of a launch with these layout, count, max_queries and max_length; the rest is not looked at.
int64_t GpuAttentionScratch(const GpuAttention& attention);

// What a sequence gets depends on it alone, not on what else is in the launch or how much the
// launch could hold.
namespace cuda {
void Launch(GpuStream& stream, const GpuAttention& attention);
}
namespace emulated {
void Launch(GpuStream& stream, const GpuAttention& attention);
}

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_H_
