// Products of a tile's rows with the queries, tokens by columns: warps share its tokens and, within
// these, the strips of its rows; their parts are added in the order of warps.
#ifndef MLA_KERNELS_ATTENTION_GPU_SCORES_H_
#define MLA_KERNELS_ATTENTION_GPU_SCORES_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_fragments.h"
#include "kernels/attention/gpu_shared.h"
#include "kernels/attention/gpu_tables.h"

namespace mla::MLA_GPU {

// Into how many groups of warps a tile's tokens, then its strips are cut.
struct ScoreSplit {
  int token_groups, strip_groups;
};

template <int kWarps>
MLA_DEVICE ScoreSplit SplitScores(int tokens) {
  const int groups = tokens > 32 && kWarps > 1 ? 2 : 1;
  return {groups, kWarps / groups};
}

// One warp: products of the tokens from `token` on with all queries. Strip begin, begin + step, ..
// before `end` of a row, or of all rotary groups one after the other, `strips` each; its queries'
// strips begin at `query_strip`.
template <CacheType kType, int kTiles, int kProducts>
MLA_DEVICE void ScoreStrips(const Shared& s, int query_pitch, const TileView& tile,
                            const GpuTileArray& array, int token, int begin, int end, int step,
                            int strips, bool grouped, int query_strip,
                            float (&scores)[kProducts][kTiles][4]) {
  const int g = Lane() / 4, t = Lane() % 4;
  // Where sums fill the registers, one at a time.
  MLA_UNROLL_BY(kTiles < 4 ? 2 : 1)
  for (int i = begin; i < end; i += step) {
    const int group = grouped ? i / strips : 0;
    const int strip = i - group * strips;
    ScoreFragments<kProducts> fragments;
    LoadScores<kType, kProducts>(tile, array, group, strip, token, &fragments);
    const uint8_t* queries = s.queries + (g * query_pitch + (query_strip + strip) * 4 + t) * 16;
    MLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      const GpuColumn* columns = s.columns() + n * 8;
      if (grouped && (columns[0].rope > group || columns[7].rope < group)) continue;
      Quad query = LoadShared(queries + n * 8 * query_pitch * 16);
      if (grouped && columns[g].rope != group) query = Quad{};
      MLA_UNROLL
      for (int m = 0; m < kProducts; ++m) {
        Mma(scores[m][n], fragments.a[m][0], {query.word[0], query.word[1]});
        Mma(scores[m][n], fragments.a[m][1], {query.word[2], query.word[3]});
      }
    }
  }
}

// The strips `strip`, strip + step, .. of a piece, rotary ones first.
template <int kTiles, int kProducts>
MLA_DEVICE void ScoreTokens(const Shared& s, int query_pitch, const GpuTilePiece& piece,
                            const TileView& tile, int token, int strip, int step,
                            float (&scores)[kProducts][kTiles][4]) {
  const GpuTask& task = s.the_task();
  const int strips = task.rope_strips(), all_rope = strips * task.rope_groups;
  int i = strip;
  if (i < all_rope) {
    const GpuTileArray rope = piece.rope;
    const int end = piece.score_end < all_rope ? piece.score_end : all_rope;
    WithType<kProducts>(rope, [&](auto type) {
      ScoreStrips<decltype(type)::value, kTiles, kProducts>(
          s, query_pitch, tile, rope, token, i, end, step, strips, task.rope_groups > 1, 0, scores);
    });
    i += (end - i + step - 1) / step * step;
  }
  if (i >= piece.score_end) return;
  const GpuTileArray key = piece.key;
  WithType<kProducts>(key, [&](auto type) {
    ScoreStrips<decltype(type)::value, kTiles, kProducts>(s, query_pitch, tile, key, token,
                                                          i - all_rope, piece.score_end - all_rope,
                                                          step, 0, false, strips, scores);
  });
}

// Four scores that TokenOf<2> has beside one another.
MLA_DEVICE void AddToShared(float* to, const float (&four)[4], bool first) {
  uint8_t* bytes = reinterpret_cast<uint8_t*>(to);
  Quad sum = {};
  if (!first) sum = LoadShared(bytes);  // bits of zeros are zeros
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) sum.word[i] = BitsOfFloat(FloatOfBits(sum.word[i]) + four[i]);
  StoreShared(bytes, sum);
}

// One unit: a piece's part of the products of a tile, added to what is there but for the first.
template <int kWarps, int kTiles, int kProducts>
MLA_DEVICE void ScorePiece(const Shared& s, int query_pitch, const GpuTilePiece& piece,
                           const TileView& tile, bool first) {
  const int warp = kWarps == 1 ? 0 : WarpIndex();
  const int g = Lane() / 4, t = Lane() % 4;
  const ScoreSplit split = SplitScores<kWarps>(tile.tokens);
  const int strips = warp % split.strip_groups;
  const int pitch = tile.tokens + 4;
  for (int token = warp / split.strip_groups * (kProducts * 16); token < tile.tokens;
       token += split.token_groups * (kProducts * 16)) {
    float scores[kProducts][kTiles][4] = {};
    ScoreTokens<kTiles, kProducts>(s, query_pitch, piece, tile, token, piece.score_begin + strips,
                                   split.strip_groups, scores);
    float* to = s.scores + strips * kTiles * 8 * pitch + token;
    MLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        float* column = to + (n * 8 + 2 * t + j) * pitch;
        if constexpr (kProducts == 2) {
          AddToShared(column + 4 * g,
                      {scores[0][n][j], scores[0][n][2 + j], scores[1][n][j], scores[1][n][2 + j]},
                      first);
        } else {
          MLA_UNROLL
          for (int half = 0; half < 2; ++half) {
            float& score = column[TokenOf<1>(0, half, g)];
            score = first ? scores[0][n][2 * half + j] : score + scores[0][n][2 * half + j];
          }
        }
      }
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_SCORES_H_
