// The attention half of a decoder layer, in the one form that all models share (DESIGN, "One
// attention form").
#ifndef MLA_GRAPH_ATTENTION_BLOCK_H_
#define MLA_GRAPH_ATTENTION_BLOCK_H_

#include "graph/row_share.h"
#include "graph/step.h"
#include "runtime/thread_pool.h"

namespace mla {

// hidden += attention(norm(hidden)); stores the rows' keys and latents in the caches. False:
// cancelled, nothing but scratch was touched. `previous` is the layer before (null in the first):
// equal rotary tables are not computed again.
bool AttentionBlock(const Step& step, int32_t layer, const LayerWeights* previous,
                    const RowShare& rows, Team& team, int member);

// Whether a chunk of n tokens after `first` others is computed in the expanded form: never a single
// token, of a prompt's chunk the cheaper form unless one was asked for. prefill: MLA_PREFILL_*.
bool TakesExpandedForm(const AttentionWeights& attention, int32_t prefill, int32_t first,
                       int32_t n);

// The expanded form's matrices of a layer, for plans (q null) and tasks alike. q: [rows][heads *
// d].
ExpandedParams ExpandedForm(const ModelShape& shape, const AttentionWeights& attention,
                            const float* q);

}  // namespace mla
#endif  // MLA_GRAPH_ATTENTION_BLOCK_H_
