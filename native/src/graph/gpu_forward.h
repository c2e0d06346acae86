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

// One sequence's rows, all of the step's, and in which layers attention takes them in the expanded
// form.
struct GpuPromptRows {
  int32_t first = 0;                                         // position of row 0
  const std::vector<GpuCachePlan::Prompt>* plans = nullptr;  // [layers]; null: in none
  std::vector<bool> expanded;                                // [layers]
};

// What launches depend on; all else lies in the workspace's inputs. A step of the same shape may be
// repeated by its recording.
struct GpuStepShape {
  int32_t rows;
  // No sequence is longer at the step's end.
  int32_t bucket;
  std::vector<GpuQueryBlock> blocks;
  GpuPromptRows prompt;

  bool Expands(size_t layer) const { return prompt.plans != nullptr && prompt.expanded[layer]; }
};

struct GpuStep {
  GpuStream& stream;
  const GpuKernels& kernels;
  const GpuWeights& weights;
  const GpuCachePlan& cache;
  const GpuWorkspace& workspace;  // room for the shape
  const GpuStepShape& shape;
};

// Whether attention of a chunk of n tokens of a sequence, after `first` others, is computed in the
// expanded form, whose context is up-projected once for all of them: never of a single token, else
// where that is asked for. Auto is of more tokens than a few the cheaper form by multiply-adds;
// where there is nothing to up-project it is the expanded one, since the other reads the context
// anew for every eight queries. prefill: MLA_PREFILL_*.
bool ExpandsOnGpu(const AttentionWeights& attention, int32_t prefill, int32_t first, int32_t n);

// Bytes of scratch that the step's attention wants in workspace.attention.
int64_t AttentionBytes(const GpuStepShape& shape, int32_t window);

// workspace.hidden of all rows; their keys and latents go to the caches.
void LaunchForward(const GpuStep& step);
// Logits of rows [begin, begin + count), to out [count][vocabulary], the GPU's.
void LaunchOutputHead(const GpuStep& step, int32_t begin, int32_t count, float* out);

}  // namespace mla
#endif  // MLA_GRAPH_GPU_FORWARD_H_
