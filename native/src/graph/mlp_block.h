// The MLP half of a decoder layer: hidden += down(silu(gate(x)) * up(x)), x = norm(hidden).
#ifndef MLA_GRAPH_MLP_BLOCK_H_
#define MLA_GRAPH_MLP_BLOCK_H_

#include "graph/row_share.h"
#include "graph/step.h"
#include "runtime/thread_pool.h"

namespace mla {

void MlpBlock(const Step& step, const LayerWeights& layer, const RowShare& rows, Team& team,
              int member);

}  // namespace mla
#endif  // MLA_GRAPH_MLP_BLOCK_H_
