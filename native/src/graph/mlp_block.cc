#include "graph/mlp_block.h"

#include "kernels/norm/norm.h"
#include "kernels/swiglu/swiglu.h"

namespace mla {

void MlpBlock(const Step& step, const LayerWeights& layer, const RowShare& rows, Team& team,
              int member) {
  constexpr int64_t kRowsAtOnce = 4;
  const ModelShape& shape = step.weights.shape();
  Workspace& w = step.workspace;
  const int64_t d = shape.embedding, f = shape.feed_forward;
  const int64_t first = rows.begin(), n = rows.count();

  step.Begin(Operation::kNorm, member);
  float* const normed = rows.Normed(w);
  PreparedInput input = rows.Input(w, step.activations, d);
  input.Plan(layer.gate);
  input.Plan(layer.up);
  rows.Each(team, kRowsAtOnce, [&](int64_t begin, int64_t end) {
    RmsNorm(w.hidden + begin * d, d, layer.mlp_norm, shape.norm_epsilon, normed + begin * d, d,
            end - begin, d);
    input.Fill(normed + first * d, d, begin - first, end - first);
  });
  step.Begin(Operation::kGateUpProjections, member);
  MatmulBatch gate_up;
  gate_up.Add(layer.gate, input, n, w.gate + first * f, f);
  gate_up.Add(layer.up, input, n, w.up + first * f, f);
  rows.Run(gate_up, team);

  step.Begin(Operation::kSwiGlu, member);
  float* const gated = rows.Gated(w);
  PreparedInput hidden = rows.Input(w, step.activations, f);
  hidden.Plan(layer.down);
  rows.Each(team, kRowsAtOnce, [&](int64_t begin, int64_t end) {
    SwiGlu(w.gate + begin * f, w.up + begin * f, gated + begin * f, (end - begin) * f);
    hidden.Fill(gated + first * f, f, begin - first, end - first);
  });
  step.Begin(Operation::kDownProjection, member);
  MatmulBatch down;
  down.Add(layer.down, hidden, n, w.hidden + first * d, d, true);
  rows.Run(down, team);
}

}  // namespace mla
