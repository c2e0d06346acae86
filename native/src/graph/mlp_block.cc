#include "graph/mlp_block.h"

#include "graph/matmul_batch.h"
#include "graph/prepared_input.h"
#include "kernels/norm/norm.h"
#include "kernels/swiglu/swiglu.h"

namespace mla {

void MlpBlock(const Step& step, const LayerWeights& layer, Team& team, int member) {
  const ModelShape& shape = step.weights.shape();
  Workspace& w = step.workspace;
  const int64_t n = step.rows, d = shape.embedding, f = shape.feed_forward;
  const int64_t grain = RowGrain(n, team.size(), 4);

  step.Begin(Operation::kNorm, member);
  PreparedInput input(w.prepared, step.activations, n, d);
  input.Plan(layer.gate);
  input.Plan(layer.up);
  team.Each(n, grain, [&](int64_t begin, int64_t end) {
    RmsNorm(w.hidden + begin * d, d, layer.mlp_norm, shape.norm_epsilon, w.normed + begin * d, d,
            end - begin, d);
    input.Fill(w.normed, d, begin, end);
  });
  step.Begin(Operation::kGateUpProjections, member);
  MatmulBatch gate_up;
  gate_up.Add(layer.gate, input, n, w.gate, f);
  gate_up.Add(layer.up, input, n, w.up, f);
  gate_up.Run(team);

  step.Begin(Operation::kSwiGlu, member);
  PreparedInput hidden(w.prepared, step.activations, n, f);
  hidden.Plan(layer.down);
  team.Each(n, grain, [&](int64_t begin, int64_t end) {
    SwiGlu(w.gate + begin * f, w.up + begin * f, w.gate + begin * f, (end - begin) * f);
    hidden.Fill(w.gate, f, begin, end);
  });
  step.Begin(Operation::kDownProjection, member);
  MatmulBatch down;
  down.Add(layer.down, hidden, n, w.hidden, d, true);
  down.Run(team);
}

}  // namespace mla
