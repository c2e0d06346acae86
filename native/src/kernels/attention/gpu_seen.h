// Which tokens a query reads in which form (cache/cache_view.h), for the host and the GPU.
#ifndef MLA_KERNELS_ATTENTION_GPU_SEEN_H_
#define MLA_KERNELS_ATTENTION_GPU_SEEN_H_

#include <cstdint>

#include "cuda/both.h"
#include "kernels/attention/gpu_tables.h"

namespace mla {

struct GpuTokens {
  int32_t begin, end;
};

// Of positions up to the query's. Neither end goes back from a position to the next.
struct GpuSight {
  int32_t window;  // sliding window, 0: none
  int32_t residual, sink;

  MLA_BOTH GpuTokens Of(int32_t form, int32_t position) const {
    const int32_t first = window > 0 ? position - window + 1 : 0;
    const int32_t oldest = first > 0 ? first : 0;
    const int32_t recent = position - residual + 1;
    if (form == kFirstForm) return {oldest, sink < position + 1 ? sink : position + 1};
    const int32_t later = oldest > sink ? oldest : sink;
    if (form == kRowsForm) return {later, recent};
    return {later > recent ? later : recent, position + 1};
  }
};

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_SEEN_H_
