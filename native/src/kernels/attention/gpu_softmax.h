// Scores of a tile to weights, relative to the largest score so far.
#ifndef MLA_KERNELS_ATTENTION_GPU_SOFTMAX_H_
#define MLA_KERNELS_ATTENTION_GPU_SOFTMAX_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_scores.h"
#include "kernels/attention/gpu_shared.h"
#include "kernels/attention/gpu_tables.h"
#include "kernels/attention/gpu_tile.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

// One unit. Eight lanes a column: scores of a tile to weights; maxima, totals, and what earlier
// sums are to be multiplied with.
template <int kWarps, int kTiles>
MLA_DEVICE void Weigh(const AttendArgs& a, const Shared& s, const Work& work, const Tile& tile,
                      const GpuTilePiece& piece, const uint8_t* slot, int tokens) {
  const int warp = kWarps == 1 ? 0 : WarpIndex();
  const int groups = SplitScores<kWarps>(tokens).strip_groups;
  const int pitch = tokens + 4, columns = kTiles * 8;
  for (int first = warp * 4; first < columns; first += kWarps * 4) {
    const int c = first + Lane() / 8, part = Lane() % 8;
    const GpuColumn column = s.columns()[c];
    const Tokens seen = Seen(a, tile.form, work.position + column.query);
    const float factor = s.factors[c];
    float x[2][4];
    float largest = -Infinity();
    MLA_UNROLL
    for (int j = 0; j < 2; ++j) {
      const int token = 32 * j + 4 * part;
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) x[j][i] = 0.0f;
      if (token < tokens) {
        for (int k = 0; k < groups; ++k) {
          const Quad quad = LoadShared(
              reinterpret_cast<const uint8_t*>(s.scores + (k * columns + c) * pitch + token));
          MLA_UNROLL
          for (int i = 0; i < 4; ++i) x[j][i] += FloatOfBits(quad.word[i]);
        }
        Quad scalars = {};
        if (piece.scalars > 0) {
          const int line = piece.blocks + column.kv_head;
          scalars = LoadShared(slot + (line * (tokens / 4) + token / 4) * 16);
        }
        MLA_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int position = tile.first + token + i;
          const bool there = position >= seen.begin && position < seen.end;
          const float scalar = piece.scalars > 0 ? FloatOfBits(scalars.word[i]) : 1.0f;
          x[j][i] = there ? x[j][i] * factor * scalar : -Infinity();
          largest = Max(largest, x[j][i]);
        }
      } else {
        MLA_UNROLL
        for (int i = 0; i < 4; ++i) x[j][i] = -Infinity();
      }
    }
    largest = MaxOver(largest, 8);
    const float before = s.maxima[c], maximum = before > largest ? before : largest;
    const float base = maximum == -Infinity() ? 0.0f : maximum - kHeadroom;
    float total = 0.0f;
    MLA_UNROLL
    for (int j = 0; j < 2; ++j) {
      const int token = 32 * j + 4 * part;
      float weight[4];
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) {
        weight[i] = Exp2(x[j][i] - base);
        total += weight[i];
      }
      if (token < tokens) {
        uint32_t* to = reinterpret_cast<uint32_t*>(s.weights + c * kWeightPitch + token);
        to[0] = PackHalves(weight[0], weight[1]);
        to[1] = PackHalves(weight[2], weight[3]);
      }
    }
    total = SumOver(total, 8);
    if (part == 0) {
      const float rescale = before == -Infinity() ? 0.0f : Exp2(before - maximum);
      s.rescale[c] = rescale;
      s.maxima[c] = maximum;
      s.totals[c] = s.totals[c] * rescale + total;
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_SOFTMAX_H_
