#include "graph/forward.h"

#include "graph/attention_block.h"
#include "graph/mlp_block.h"
#include "tensor/convert.h"

namespace mla {
namespace {

void Embed(const Step& step, const int32_t* tokens, Team& team) {
  const Matrix& embedding = step.weights.embedding();
  team.Each(step.rows, RowGrain(step.rows, team.size(), 16), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      DequantizeRow(embedding.type, embedding.row(tokens[i]),
                    step.workspace.hidden + i * embedding.cols, embedding.cols);
    }
  });
}

}  // namespace

bool Forward(const Step& step, const int32_t* tokens, Team& team, int member) {
  step.Begin(Operation::kEmbedding, member);
  Embed(step, tokens, team);
  const LayerWeights* previous = nullptr;
  for (int32_t l = 0; l < step.weights.shape().layers; ++l) {
    if (!AttentionBlock(step, l, previous, team, member)) return false;
    previous = &step.weights.layers()[static_cast<size_t>(l)];
    MlpBlock(step, *previous, team, member);
  }
  return true;
}

}  // namespace mla
