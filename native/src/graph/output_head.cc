#include "graph/output_head.h"

#include "graph/matmul_batch.h"
#include "graph/prepared_input.h"
#include "graph/row_share.h"
#include "kernels/logits/logits.h"
#include "kernels/norm/norm.h"

namespace mla {

void OutputHead(const Step& step, int32_t begin, int32_t count, float* logits, Team& team,
                int member) {
  const ModelShape& shape = step.weights.shape();
  Workspace& w = step.workspace;
  const int64_t d = shape.embedding;
  const Linear& output = step.weights.output();
  step.Begin(Operation::kNorm, member);
  // Of many, too, rows are everybody's: a vocabulary's weights are more than a few rows pay for.
  const RowShare rows(count, count == 1 && !team.loose(), team.size(), member);
  float* const normed = rows.Normed(w);
  PreparedInput input = rows.Input(w, step.activations, d);
  input.Plan(output);
  rows.Each(team, 4, [&](int64_t from, int64_t to) {
    RmsNorm(w.hidden + (begin + from) * d, d, step.weights.output_norm(), shape.norm_epsilon,
            normed + from * d, d, to - from, d);
    input.Fill(normed, d, from, to);
  });
  step.Begin(Operation::kOutputHead, member);
  MatmulBatch batch;
  batch.Add(output, input, count, logits, shape.vocabulary);
  rows.Run(batch, team);
}

float LogProbability(const float* logits, int32_t vocabulary, int32_t token) {
  const float best = ScanLogits(logits, vocabulary).best;
  return static_cast<float>(logits[token] - LogSumExp(logits, vocabulary, best));
}

}  // namespace mla
