// Final norm and vocabulary projection.
#ifndef MLA_GRAPH_OUTPUT_HEAD_H_
#define MLA_GRAPH_OUTPUT_HEAD_H_

#include <cstdint>

#include "graph/step.h"
#include "runtime/thread_pool.h"

namespace mla {

// Logits of rows [begin, begin + count) of the step: logits [count][vocabulary].
void OutputHead(const Step& step, int32_t begin, int32_t count, float* logits, Team& team,
                int member);

// ln softmax(logits)[token].
float LogProbability(const float* logits, int32_t vocabulary, int32_t token);

}  // namespace mla
#endif  // MLA_GRAPH_OUTPUT_HEAD_H_
