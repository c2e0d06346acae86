// Products of a tile's rows with the queries, tokens by columns: warps share its tokens and, within
// these, the strips of its rows; their parts are added in the order of warps.
#ifndef MLA_KERNELS_ATTENTION_GPU_SCORES_H_
#define MLA_KERNELS_ATTENTION_GPU_SCORES_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_floats.h"
#include "kernels/attention/gpu_fragments.h"
#include "kernels/attention/gpu_shared.h"
#include "kernels/attention/gpu_tables.h"

namespace mla::MLA_GPU {

// What a warp scores: tokens from `token` on, with queries of columns that begin at these.
struct ScoreBlock {
  const TileView& tile;
  int token;
  const GpuColumn* columns;
  const uint8_t* queries;
  int query_pitch;             // units
  const uint32_t* query_sums;  // of the columns
};

// The strips begin, begin + step, .. before `end` of a row, or of all rotary groups one after the
// other, `strips` each. Their queries' strips begin at `query_strip`.
struct StripRange {
  int begin, end, step;
  int strips;
  bool grouped;
  int query_strip;

  MLA_DEVICE int GroupOf(int i) const { return !grouped ? 0 : strips == 1 ? i : i / strips; }
};

// Halves that are the upper field's of a byte are so much too large, and their query's the less.
template <CacheType kType>
MLA_DEVICE void FitQuery(Quad* query) {
  if constexpr (!HasMinima(kType)) return;
  constexpr uint32_t kBy = kType == CacheType::kInt4 ? 0x2c002c00u : 0x34003400u;  // 1/16, 1/4
  MLA_UNROLL
  for (int i = 2; i < 4; ++i) query->word[i] = MulAddHalves(query->word[i], kBy, 0);
}

// Where no rows are packed: matrices as they lie.
template <MmaFloat kFloat, int kTiles, int kProducts>
MLA_DEVICE void ScoreFloats(const ScoreBlock& block, const GpuTileArray& array,
                            const StripRange& range, float (&scores)[kProducts][kTiles][4]) {
  const int matrix = Lane() / 8, row = Lane() % 8;
  // Of 16 tokens two units, and of eight columns four.
  const int tokens =
      block.tile.slot + array.at + (block.token + matrix % 2 * 8 + row) * array.pitch;
  const int queries = SharedAddress(block.queries) +
                      (row * block.query_pitch + range.query_strip * 4 + matrix) * 16;
  MLA_UNROLL_BY(1)
  for (int i = range.begin; i < range.end; i += range.step) {
    const int group = range.GroupOf(i), strip = i - group * range.strips;
    uint32_t rows[kProducts][2][4];
    MLA_UNROLL
    for (int step = 0; step < 2; ++step) {
      const int element = strip * kScoreStrip + step * 16 + matrix / 2 * 8;
      const int at = tokens + group * array.step + array.Eight(element) * 2;
      MLA_UNROLL
      for (int m = 0; m < kProducts; ++m) LoadMatrices(rows[m][step], at + m * 16 * array.pitch);
    }
    MLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      const GpuColumn* columns = block.columns + n * 8;
      if (range.grouped && (columns[0].rope > group || columns[7].rope < group)) continue;
      uint32_t query[4];
      LoadMatrices(query, queries + (n * 8 * block.query_pitch + strip * 4) * 16);
      if (range.grouped && columns[Lane() / 4].rope != group) {
        MLA_UNROLL
        for (int j = 0; j < 4; ++j) query[j] = 0;
      }
      MLA_UNROLL
      for (int m = 0; m < kProducts; ++m) {
        Mma<kFloat>(scores[m][n], rows[m][0], {query[0], query[1]});
        Mma<kFloat>(scores[m][n], rows[m][1], {query[2], query[3]});
      }
    }
  }
}

template <CacheType kType, int kTiles, int kProducts>
MLA_DEVICE void ScoreStrips(const ScoreBlock& block, const GpuTileArray& array,
                            const StripRange& range, float (&scores)[kProducts][kTiles][4]) {
  const int g = Lane() / 4, t = Lane() % 4;
  const int queries =
      SharedAddress(block.queries) + (g * block.query_pitch + range.query_strip * 4 + t) * 16;
  using Numbers = NumberPlace<kType == CacheType::kF16 ? CacheType::kInt8 : kType>;
  const Numbers numbers = Numbers::At(block.tile, array, block.token + 4 * g);
  MLA_UNROLL_BY(1)  // other warps hide a strip's latency, for which they need registers
  for (int i = range.begin; i < range.end; i += range.step) {
    const int group = range.GroupOf(i);
    const int strip = i - group * range.strips;
    ScoreFragments<kProducts> fragments;
    LoadScores<kType, kProducts>(block.tile, array, group, strip, block.token, &fragments);
    float scales[4] = {};  // of tokens 4g .. 4g + 3
    if constexpr (kType != CacheType::kF16) {
      const auto of = LoadShared<FourHalves>(numbers.Of(array, group, strip * kScoreStrip));
      MLA_UNROLL
      for (int j = 0; j < 4; ++j) {
        scales[j] = HalfToFloat(static_cast<uint16_t>(of.word[j / 2] >> (j % 2 * 16))) *
                    (1.0f / Fields<kType>::kLowUnit);
      }
    }
    MLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      const GpuColumn* columns = block.columns + n * 8;
      if (range.grouped && (columns[0].rope > group || columns[7].rope < group)) continue;
      Quad query = LoadShared<Quad>(queries + (n * 8 * block.query_pitch + strip * 4) * 16);
      if (range.grouped && columns[g].rope != group) query = Quad{};
      if constexpr (kType != CacheType::kF16) FitQuery<kType>(&query);
      MLA_UNROLL
      for (int m = 0; m < kProducts; ++m) {
        float fields[4] = {};
        float(&to)[4] = kType == CacheType::kF16 ? scores[m][n] : fields;
        Mma(to, fragments.a[m][0], {query.word[0], query.word[1]});
        Mma(to, fragments.a[m][1], {query.word[2], query.word[3]});
        if constexpr (kType != CacheType::kF16) {
          MLA_UNROLL
          for (int d = 0; d < 4; ++d) scores[m][n][d] += scales[2 * m + d / 2] * fields[d];
        }
      }
    }
  }
}

// Minima times the sums of queries' strips: a product of tokens by 16 of the range's strips.
template <CacheType kType, int kTiles>
MLA_DEVICE void ScoreMinima(const ScoreBlock& block, const GpuTileArray& array,
                            const StripRange& range, float (&scores)[2][kTiles][4]) {
  const int g = Lane() / 4, t = Lane() % 4;
  const auto numbers = NumberPlace<kType>::At(block.tile, array, block.token + 4 * g);
  MLA_UNROLL_BY(1)
  for (int first = range.begin; first < range.end; first += 16 * range.step) {
    uint32_t minima[2][4];
    MLA_UNROLL
    for (int k = 0; k < 2; ++k) {  // strips 2t and 2t + 1 of eight
      FourHalves of[2] = {};
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        const int i = first + (8 * k + 2 * t + j) * range.step;
        if (i >= range.end) continue;
        const int group = range.GroupOf(i);
        const int element = (i - group * range.strips) * kScoreStrip;
        of[j] = LoadShared<FourHalves>(numbers.Of(array, group, element) + numbers.line);
      }
      MLA_UNROLL
      for (int m = 0; m < 2; ++m) {
        minima[m][2 * k] = Bytes(of[0].word[m], of[1].word[m], 0x5410);
        minima[m][2 * k + 1] = Bytes(of[0].word[m], of[1].word[m], 0x7632);
      }
    }
    MLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      const GpuColumn& column = block.columns[n * 8 + g];
      const uint32_t* sums =
          block.query_sums + (n * 8 + g) * (block.query_pitch / 4) + range.query_strip;
      uint32_t most[2], rest[2];
      MLA_UNROLL
      for (int k = 0; k < 2; ++k) {
        uint32_t of[2] = {};
        MLA_UNROLL
        for (int j = 0; j < 2; ++j) {
          const int i = first + (8 * k + 2 * t + j) * range.step, group = range.GroupOf(i);
          if (i >= range.end || (range.grouped && column.rope != group)) continue;
          of[j] = sums[i - group * range.strips];
        }
        most[k] = Bytes(of[0], of[1], 0x5410);
        rest[k] = Bytes(of[0], of[1], 0x7632);
      }
      MLA_UNROLL
      for (int m = 0; m < 2; ++m) {
        Mma(scores[m][n], minima[m], {most[0], most[1]});
        Mma(scores[m][n], minima[m], {rest[0], rest[1]});
      }
    }
  }
}

// All of a range.
template <CacheType kType, GpuRows kRows, int kTiles, int kProducts>
MLA_DEVICE void ScoreRange(const ScoreBlock& block, const GpuTileArray& array,
                           const StripRange& range, float (&scores)[kProducts][kTiles][4]) {
  constexpr bool kPacked = kRows == GpuRows::kPacked;
  if constexpr (kPacked) {
    ScoreStrips<kType, kTiles, kProducts>(block, array, range, scores);
  } else {
    ScoreFloats<FloatOf(kRows), kTiles, kProducts>(block, array, range, scores);
  }
  if constexpr (kPacked && HasMinima(kType)) {
    ScoreMinima<kType, kTiles>(block, array, range, scores);
  }
}

// Every step-th strip of a piece from `strip` on, rotary ones first.
template <int kTiles, int kProducts, GpuRows kRows>
MLA_DEVICE void ScoreRows(const GpuTask& task, const GpuTilePiece& piece, const ScoreBlock& block,
                          int strip, int step, float (&scores)[kProducts][kTiles][4]) {
  constexpr bool kPacked = kRows == GpuRows::kPacked;
  const int strips = task.rope_strips(), all_rope = strips * task.rope_groups;
  if (strip < all_rope) {
    const GpuTileArray rope = piece.rope;
    const int end = piece.score_end < all_rope ? piece.score_end : all_rope;
    const StripRange range = {strip, end, step, strips, task.rope_groups > 1, 0};
    WithType<kProducts, kPacked>(rope, [&](auto type) {
      ScoreRange<decltype(type)::value, kRows, kTiles, kProducts>(block, rope, range, scores);
    });
    strip += (end - strip + step - 1) & -step;  // a power of two
  }
  if (strip >= piece.score_end) return;
  const GpuTileArray key = piece.key;
  const StripRange range = {strip - all_rope, piece.score_end - all_rope, step, 0, false, strips};
  WithType<kProducts, kPacked>(key, [&](auto type) {
    ScoreRange<decltype(type)::value, kRows, kTiles, kProducts>(block, key, range, scores);
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

// Products of 8 columns to where they belong: `to` is the first one's for the tokens at hand.
template <int kProducts, bool kPacked>
MLA_DEVICE void StoreScores(const float (&scores)[kProducts][4], float* to, int pitch, bool first) {
  const int g = Lane() / 4, t = Lane() % 4;
  MLA_UNROLL
  for (int j = 0; j < 2; ++j) {
    float* column = to + (2 * t + j) * pitch;
    if constexpr (kProducts == 2 && kPacked) {
      AddToShared(column + 4 * g, {scores[0][j], scores[0][2 + j], scores[1][j], scores[1][2 + j]},
                  first);
    } else {
      MLA_UNROLL
      for (int m = 0; m < kProducts; ++m) {
        MLA_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int token = kPacked ? TokenOf<1>(m, half, g) : 16 * m + 8 * half + g;
          float& score = column[token];
          score = first ? scores[m][2 * half + j] : score + scores[m][2 * half + j];
        }
      }
    }
  }
}

// Whole block: a piece's part of the products of a tile, added to what is there but for the first.
template <int kWarps, int kTiles, int kProducts, GpuRows kRows>
MLA_DEVICE void ScorePiece(const Shared& s, int query_pitch, const GpuTilePiece& piece,
                           const TileView& tile, bool first) {
  constexpr bool kPacked = kRows == GpuRows::kPacked;
  constexpr int kAtOnce = ScoreTiles(kTiles, kPacked);
  const int warp = WarpIndex();
  const GpuScoreSplit split = SplitScores(kWarps, kTiles, tile.tokens, kPacked);
  const int strips = warp % split.strip_groups;
  const int of_columns = warp / split.strip_groups;
  const int pitch = tile.tokens + 4;
  MLA_UNROLL_BY(1)
  for (int token = of_columns / split.column_groups * (kProducts * 16); token < tile.tokens;
       token += split.token_groups * (kProducts * 16)) {
    MLA_UNROLL_BY(1)
    for (int column = of_columns % split.column_groups * (kAtOnce * 8); column < kTiles * 8;
         column += split.column_groups * (kAtOnce * 8)) {
      const ScoreBlock block = {tile,
                                token,
                                s.columns() + column,
                                s.queries + column * query_pitch * 16,
                                query_pitch,
                                s.query_sums + column * (query_pitch / 4)};
      float scores[kProducts][kAtOnce][4] = {};
      ScoreRows<kAtOnce, kProducts, kRows>(s.the_task(), piece, block, piece.score_begin + strips,
                                           split.strip_groups, scores);
      float* to = s.scores + (strips * kTiles * 8 + column) * pitch + token;
      MLA_UNROLL
      for (int n = 0; n < kAtOnce; ++n) {
        float of[kProducts][4];
        MLA_UNROLL
        for (int i = 0; i < kProducts * 4; ++i) of[i / 4][i % 4] = scores[i / 4][n][i % 4];
        StoreScores<kProducts, kPacked>(of, to + n * 8 * pitch, pitch, first);
      }
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_SCORES_H_
