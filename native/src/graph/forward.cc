#include "graph/forward.h"

#include <algorithm>

#include "graph/attention_block.h"
#include "graph/mlp_block.h"
#include "graph/row_share.h"
#include "tensor/convert.h"

namespace mla {
namespace {

void Embed(const Step& step, const int32_t* tokens, const RowShare& rows, Team& team) {
  const Matrix& embedding = step.weights.embedding();
  rows.EachOnce(team, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      DequantizeRow(embedding.type, embedding.row(tokens[i]),
                    step.workspace.hidden + i * embedding.cols, embedding.cols);
    }
  });
}

// Whole heads' norms and reconstructed keys read what others have just written.
bool RowsStayApart(const Weights& weights) {
  return std::none_of(weights.layers().begin(), weights.layers().end(),
                      [](const LayerWeights& layer) {
                        const AttentionWeights& a = layer.attention;
                        return a.norms_whole_heads() || a.layout.key_scalar;
                      });
}

}  // namespace

bool Forward(const Step& step, const int32_t* tokens, Team& team, int member) {
  const bool apart = RowsStayApart(step.weights) && !team.loose();
  const RowShare rows(step.rows, apart, team.size(), member);
  step.Begin(Operation::kEmbedding, member);
  Embed(step, tokens, rows, team);
  const LayerWeights* previous = nullptr;
  for (int32_t l = 0; l < step.weights.shape().layers; ++l) {
    if (!AttentionBlock(step, l, previous, rows, team, member)) return false;
    previous = &step.weights.layers()[static_cast<size_t>(l)];
    MlpBlock(step, *previous, rows, team, member);
  }
  rows.Meet(team);
  return true;
}

}  // namespace mla
