// One chunk of tokens on its way through the decoder: what the blocks share. Every member of the
// team holds the same Step and runs the same blocks.
#ifndef MLA_GRAPH_STEP_H_
#define MLA_GRAPH_STEP_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "cache/latent_cache.h"
#include "graph/weights.h"
#include "graph/workspace.h"
#include "kernels/attention/attention.h"

namespace mla {

struct Step {
  const Weights& weights;
  Workspace& workspace;
  LatentCache& cache;
  const std::atomic<bool>& cancel;
  // Set once a layer by whoever norms row 0, read after the barrier: all members stop together.
  std::atomic<bool>& stop;
  const std::vector<AttentionPlan>& plans;  // [layers]
  int32_t first;                            // position of row 0
  int32_t rows;
};

}  // namespace mla
#endif  // MLA_GRAPH_STEP_H_
