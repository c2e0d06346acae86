// From tokens to the last layer's output.
#ifndef MLA_GRAPH_FORWARD_H_
#define MLA_GRAPH_FORWARD_H_

#include <cstdint>

#include "graph/step.h"
#include "runtime/thread_pool.h"

namespace mla {

// workspace.hidden of all rows from tokens[step.rows]; their keys and latents go to the caches,
// where nobody but the step sees them until they are committed. False: every sequence was
// cancelled. Called by every member.
bool Forward(const Step& step, const int32_t* tokens, Team& team, int member);

}  // namespace mla
#endif  // MLA_GRAPH_FORWARD_H_
