// Scores of a tile to weights, relative to the largest score so far.
#ifndef MLA_KERNELS_ATTENTION_GPU_SOFTMAX_H_
#define MLA_KERNELS_ATTENTION_GPU_SOFTMAX_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_floats.h"
#include "kernels/attention/gpu_scores.h"
#include "kernels/attention/gpu_shared.h"
#include "kernels/attention/gpu_tables.h"
#include "kernels/attention/gpu_tile.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

// Whole block, kLanes lanes a column, four tokens each: scores of a tile to weights; maxima,
// totals, and what earlier sums are to be multiplied with.
template <int kWarps, int kTiles, GpuRows kRows, int kLanes>
MLA_DEVICE void WeighColumns(const AttendArgs& a, const Shared& s, const Work& work,
                             const Tile& tile, const GpuTilePiece& piece, const uint8_t* slot) {
  constexpr bool kPacked = kRows == GpuRows::kPacked;
  constexpr int kTokens = kLanes * 4, kPitch = kTokens + 4, kColumns = kTiles * 8;
  constexpr int kAtOnce = kWarp / kLanes;
  constexpr int kGroups = SplitScores(kWarps, kTiles, kTokens, kPacked).strip_groups;
  const int warp = WarpIndex();
  const int part = Lane() % kLanes, token = 4 * part;
  const bool whole = a.sizes.queries == 1 && tile.begin == 0 && tile.end == kTokens;
  MLA_UNROLL_BY(1)
  for (int first = warp * kAtOnce; first < kColumns; first += kWarps * kAtOnce) {
    const int c = first + Lane() / kLanes;
    const GpuColumn& column = s.columns()[c];
    const uint8_t* scores = reinterpret_cast<const uint8_t*>(s.scores + c * kPitch + token);
    float x[4] = {};
    MLA_UNROLL
    for (int k = 0; k < kGroups; ++k) {
      const Quad quad = LoadShared(scores + k * (kColumns * kPitch * 4));
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) x[i] += FloatOfBits(quad.word[i]);
    }
    const float factor = s.factors[c];
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) x[i] *= factor;
    if (piece.scalars > 0) {
      const Quad scalars =
          LoadShared(slot + piece.scalars_at + (column.kv_head * kTokens + token) * 4);
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) x[i] *= FloatOfBits(scalars.word[i]);
    }
    if (!whole) {
      const Tokens seen = Seen(a, tile.form, work.position + column.query);
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int position = tile.first + token + i;
        if (position < seen.begin || position >= seen.end) x[i] = -Infinity();
      }
    }
    const float largest = MaxOver(Max(Max(x[0], x[1]), Max(x[2], x[3])), kLanes);
    const float before = s.maxima[c], maximum = before > largest ? before : largest;
    const float base = maximum == -Infinity() ? 0.0f : maximum - kHeadroom;
    float weight[4];
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) weight[i] = Exp2(x[i] - base);
    uint32_t* to = reinterpret_cast<uint32_t*>(s.weights + c * WeightPitch(kPacked) + token);
    to[0] = PackWeights<FloatOf(kRows)>(&weight[0], &weight[1]);
    to[1] = PackWeights<FloatOf(kRows)>(&weight[2], &weight[3]);
    const float total = SumOver(weight[0] + weight[1] + (weight[2] + weight[3]), kLanes);
    SyncWarp();  // all have read the maximum, which shuffles alone do not say
    if (part == 0) {
      const float rescale = before == -Infinity() ? 0.0f : Exp2(before - maximum);
      s.rescale[c] = rescale;
      s.maxima[c] = maximum;
      s.totals[c] = s.totals[c] * rescale + total;
    }
  }
}

template <int kWarps, int kTiles, GpuRows kRows>
MLA_DEVICE void Weigh(const AttendArgs& a, const Shared& s, const Work& work, const Tile& tile,
                      const GpuTilePiece& piece, const uint8_t* slot, int tokens) {
  if (tokens == 64) {
    WeighColumns<kWarps, kTiles, kRows, 16>(a, s, work, tile, piece, slot);
  } else if (tokens == 32) {
    WeighColumns<kWarps, kTiles, kRows, 8>(a, s, work, tile, piece, slot);
  } else {
    WeighColumns<kWarps, kTiles, kRows, 4>(a, s, work, tile, piece, slot);
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_SOFTMAX_H_
