// From tokens to logits on a GPU: the launches of one step.
#ifndef MLA_GRAPH_GPU_FORWARD_H_
#define MLA_GRAPH_GPU_FORWARD_H_

#include <cstdint>
#include <vector>

#include "cuda/gpu_stream.h"
#include "graph/gpu_cache_plan.h"
#include "graph/gpu_kernels.h"
#include "graph/gpu_weights.h"
#include "graph/gpu_workspace.h"

namespace mla {

// Sequences of a step that attention takes together: `count` of `queries` rows each, from row
// `first_row` of the step and number `first` of inputs.query_positions on.
struct GpuQueryBlock {
  int32_t first;
  int32_t first_row;
  int32_t count;
  int32_t queries;
  const std::vector<GpuCachePlan::Attention>* plans;  // [layers]
};

// What launches depend on; all else lies in the workspace's inputs. A step of the same shape may be
// repeated by its recording.
struct GpuStepShape {
  int32_t rows;
  // No sequence is longer at the step's end.
  int32_t bucket;
  std::vector<GpuQueryBlock> blocks;
};

struct GpuStep {
  GpuStream& stream;
  const GpuKernels& kernels;
  const GpuWeights& weights;
  const GpuCachePlan& cache;
  const GpuWorkspace& workspace;  // room for the shape
  const GpuStepShape& shape;
};

// Bytes of partial results that the step's attention wants in workspace.attention.
int64_t AttentionBytes(const GpuStepShape& shape, int32_t window);

// workspace.hidden of all rows; their keys and latents go to the caches.
void LaunchForward(const GpuStep& step);
// Logits of rows [begin, begin + count), to out [count][vocabulary], the GPU's.
void LaunchOutputHead(const GpuStep& step, int32_t begin, int32_t count, float* out);

}  // namespace mla
#endif  // MLA_GRAPH_GPU_FORWARD_H_
