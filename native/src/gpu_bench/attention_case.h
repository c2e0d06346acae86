// Attention of one layer over caches on a GPU, timed.
#ifndef MLA_GPU_BENCH_ATTENTION_CASE_H_
#define MLA_GPU_BENCH_ATTENTION_CASE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "cache/layout.h"
#include "cuda/gpu_stream.h"
#include "graph/gpu_kernels.h"
#include "tensor/status.h"

namespace mla {

struct AttentionCase {
  std::string shape;  // for people
  LayerLayout layout;
  CacheOptions cache;
  int32_t batch;    // sequences, with a query each
  int32_t context;  // tokens of each

  // Read from memory, packed, once.
  double CacheBytes() const;
  // Of scores and sums.
  double MultiplyAdds() const;
};

// Seconds, over caches of noise; layers take turns where one would stay in the GPU's own cache.
// MLA_OUT_OF_MEMORY where they do not fit.
Result<double> TimeAttention(const AttentionCase& what, std::shared_ptr<GpuStream> stream,
                             const GpuKernels& kernels, double least_seconds);

}  // namespace mla
#endif  // MLA_GPU_BENCH_ATTENTION_CASE_H_
