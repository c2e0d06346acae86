// Flash decoding over packed rows. A unit of threads, a block or for short rows a warp, walks the
// tiles of its split: rows come into shared memory while others are worked on (gpu_tile.h), are
// scored with tensor cores as tokens by heads (gpu_fragments.h), and summed, weighted, as elements
// by heads: heads are the narrow side of a product, eight to a column of products, so that few
// heads waste little. Warps share a tile's scores by strips of elements, its sums by strips of
// values.
//
// What bounds it, a token's row of joint keys and values, int4 with groups of 32: 32 elements are
// 16 + 4 bytes; a warp widens 32 of 32 tokens by 14 instructions each for scores and for sums,
// about 75 with loads and scales either time, so 640 bytes by 150 + 4 per column of 8 heads. A
// processor of the H100 issues 4 a clock and reads about 19 bytes of memory: 150 are 37 clocks, the
// bytes 34. int2 has 384 bytes for as many instructions and is bound by them; rows that are only
// scored or only summed (plain models) need half. Products: 1 a clock and processor at best, about
// 0.6 with this instruction: 32 heads and 1024 + 512 elements are 36 a token, 58 clocks, where int4
// reads 960 bytes in 50.
#include <algorithm>
#include <type_traits>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu.h"
#include "kernels/attention/gpu_fragments.h"
#include "kernels/attention/gpu_tables.h"
#include "kernels/attention/gpu_tile.h"

namespace mla::MLA_GPU {
namespace {

struct AttendArgs {
  GpuAttention call;
  GpuAttentionSizes sizes;
  int32_t splits;  // most of a sequence
};

// --- which tokens ---

struct Tokens {
  int begin, end;
};

// What the query at `position` reads from rows of a form.
MLA_DEVICE Tokens Seen(const AttendArgs& a, int form, int position) {
  const int window = a.call.window > 0 ? position - a.call.window + 1 : 0;
  const int oldest = window > 0 ? window : 0;
  const int sink = a.sizes.sink, recent = position - a.sizes.residual + 1;
  if (form == kFirstForm) return {oldest, sink < position + 1 ? sink : position + 1};
  const int later = oldest > sink ? oldest : sink;
  if (form == kRowsForm) return {later, recent};
  return {later > recent ? later : recent, position + 1};
}

// A sequence's tiles: of its first tokens, of its packed rows, of its newest ones, cut into splits.
struct Work {
  int sequence, position;
  int splits, tiles_a_split;
  int first_tile[kRowForms], tiles[kRowForms];
  int total;
};

MLA_DEVICE Work PlanWork(const AttendArgs& a, const GpuTask& task, int sequence, int position) {
  Work work = {sequence, position, 0, 0, {}, {}, 0};
  const int last = position + a.sizes.queries - 1;
  MLA_UNROLL
  for (int form = 0; form < kRowForms; ++form) {
    const int begin = Seen(a, form, position).begin, end = Seen(a, form, last).end;
    const int tokens = task.forms[form].tokens;
    if (begin < end && task.forms[form].pieces > 0) {
      work.first_tile[form] = begin / tokens;
      work.tiles[form] = (end - 1) / tokens - begin / tokens + 1;
      work.total += work.tiles[form];
    }
  }
  const int window = a.call.window > 0 ? position - a.call.window + 1 : 0;
  const int wanted = a.sizes.Splits(last + 1 - (window > 0 ? window : 0));
  work.tiles_a_split = (work.total + wanted - 1) / wanted;
  work.splits = (work.total + work.tiles_a_split - 1) / work.tiles_a_split;
  return work;
}

MLA_DEVICE Tile TileAt(const AttendArgs& a, const GpuTask& task, const Work& work, int index) {
  int form = kFirstForm;
  if (index >= work.tiles[kFirstForm]) {
    index -= work.tiles[kFirstForm];
    form = kRowsForm;
    if (index >= work.tiles[kRowsForm]) {
      index -= work.tiles[kRowsForm];
      form = kExactForm;
    }
  }
  const int tokens = task.forms[form].tokens;
  const int begin = Seen(a, form, work.position).begin;
  const int end = Seen(a, form, work.position + a.sizes.queries - 1).end;
  Tile tile = {};
  tile.form = form;
  tile.first = (work.first_tile[form] + index) * tokens;
  tile.begin = begin > tile.first ? begin - tile.first : 0;
  tile.end = end < tile.first + tokens ? end - tile.first : tokens;
  const int64_t page = work.sequence * a.call.page_stride + tile.first / kPageTokens;
  tile.scalars = a.call.rows[page];
  tile.page = form == kFirstForm   ? a.call.first[work.sequence]
              : form == kExactForm ? a.call.exact[page]
                                   : tile.scalars;
  return tile;
}

// --- shared memory ---

struct Shared {
  uint8_t* task;     // GpuTask and what is behind it
  uint8_t* queries;  // [columns][query_pitch] units
  float* factors;    // [columns]: what makes a product a score, in powers of two
  // Of the unit:
  uint8_t* slots;
  float* scores;      // [groups of strips][columns][tokens + 4]
  uint16_t* weights;  // [columns][kWeightPitch]
  float* rescale;     // [columns]
  float* maxima;
  float* totals;

  MLA_DEVICE const GpuTask& the_task() const { return *reinterpret_cast<const GpuTask*>(task); }
  MLA_DEVICE const GpuColumn* columns() const {
    return reinterpret_cast<const GpuColumn*>(task + sizeof(GpuTask));
  }
  MLA_DEVICE const GpuTilePiece& Piece(const GpuTileForm& form, int index) const {
    return reinterpret_cast<const GpuTilePiece*>(task + form.piece * 4)[index];
  }
};

MLA_DEVICE Shared PlaceShared(const GpuAttentionSizes& sizes, int columns, int unit) {
  Shared s = {};
  s.task = SharedMemory();
  s.queries = s.task + (sizes.task_bytes + 127) / 128 * 128;
  s.factors = reinterpret_cast<float*>(s.queries + columns * sizes.query_pitch * 16);
  const int slots = sizes.slots * sizes.slot_bytes;
  const int unit_bytes = slots + sizes.score_bytes + columns * (kWeightPitch * 2 + 3 * 4);
  s.slots = reinterpret_cast<uint8_t*>(s.factors + columns) + unit * unit_bytes;
  s.scores = reinterpret_cast<float*>(s.slots + slots);
  s.weights = reinterpret_cast<uint16_t*>(s.slots + slots + sizes.score_bytes);
  s.rescale = reinterpret_cast<float*>(s.weights + columns * kWeightPitch);
  s.maxima = s.rescale + columns;
  s.totals = s.maxima + columns;
  return s;
}

template <int kWarps>
MLA_DEVICE void SyncUnit() {
  if constexpr (kWarps == 1) {
    SyncWarp();
  } else {
    SyncBlock();
  }
}

// --- queries ---

constexpr float kLog2E = 1.4426950408889634f;

// Element e of a column's query in the order of strips: rotary ones, then those in latent space.
MLA_DEVICE float QueryAt(const GpuTask& task, const float* rope, const float* latent, int e) {
  const int rope_elements = task.rope_strips() * kScoreStrip;
  if (e < rope_elements) return e < task.rope_length ? rope[e] : 0.0f;
  return e - rope_elements < task.key_length ? latent[e - rope_elements] : 0.0f;
}

// Whole block; no barrier. A warp a column: halves of the query times a power of two that brings
// its largest element to 1 .. 2. A query with a NaN or an infinity has such scores.
MLA_DEVICE void LoadQueries(const AttendArgs& a, const Shared& s, int columns, int sequence) {
  const GpuTask& task = s.the_task();
  const int elements = a.sizes.query_pitch * kUnitElements;
  const GpuAttention& call = a.call;
  for (int c = WarpIndex(); c < columns; c += BlockThreads() / kWarp) {
    const GpuColumn column = s.columns()[c];
    uint32_t* to = reinterpret_cast<uint32_t*>(s.queries + c * a.sizes.query_pitch * 16);
    if (column.head < 0) {
      for (int pair = Lane(); pair < elements / 2; pair += kWarp) to[pair] = 0;
      if (Lane() == 0) s.factors[c] = 0.0f;
      continue;
    }
    const float* rope = nullptr;
    const float* latent = nullptr;
    if (task.rope_length > 0) {
      rope = call.q_rope + sequence * call.q_rope_sequence + column.query * call.q_rope_query +
             column.head * call.q_rope_head;
    }
    if (task.key_length > 0) {
      latent = call.q_latent + sequence * call.q_latent_sequence +
               column.query * call.q_latent_query + column.head * call.q_latent_head;
    }
    float largest = 0.0f;
    for (int e = Lane(); e < elements; e += kWarp) {
      largest = Max(largest, Abs(QueryAt(task, rope, latent, e)));
    }
    largest = MaxOver(largest, kWarp);
    // The power of two below it, kept where its inverse is a normal number, too.
    const uint32_t most = BitsOfFloat(largest) >> 23;
    const uint32_t exponent = most < 1 ? 1 : most > 252 ? 252 : most;
    const float inverse = FloatOfBits((254 - exponent) << 23);
    for (int pair = Lane(); pair < elements / 2; pair += kWarp) {
      to[pair] = PackHalves(QueryAt(task, rope, latent, 2 * pair) * inverse,
                            QueryAt(task, rope, latent, 2 * pair + 1) * inverse);
    }
    if (Lane() == 0) s.factors[c] = FloatOfBits(exponent << 23) * (call.scale * kLog2E);
  }
}

// --- scores ---

// Into how many groups of warps a tile's tokens, then its strips are cut.
struct ScoreSplit {
  int token_groups, strip_groups;
};

template <int kWarps>
MLA_DEVICE ScoreSplit SplitScores(int tokens) {
  const int groups = tokens > 32 && kWarps > 1 ? 2 : 1;
  return {groups, kWarps / groups};
}

// One warp: products of `tokens` from `token` on with all queries over strips `strip`, strip +
// step, .. of the piece.
template <int kTiles, int kProducts>
MLA_DEVICE void ScoreTokens(const Shared& s, int query_pitch, const GpuTilePiece& piece,
                            const TileView& tile, int token, int strip, int step,
                            float (&scores)[kProducts][kTiles][4]) {
  const GpuTask& task = s.the_task();
  const int g = Lane() / 4, t = Lane() % 4;
  const int rope_strips = task.rope_strips(), all_rope = rope_strips * task.rope_groups;
  for (int i = strip; i < piece.score_end; i += step) {
    const bool is_rope = i < all_rope;
    const int group = is_rope ? i / rope_strips : 0;
    const int in_row = is_rope ? i - group * rope_strips : i - all_rope;
    const GpuTileArray& array = is_rope ? piece.rope : piece.key;
    const int at = array.at + group * array.step;
    const int numbers = array.numbers + group * array.number_step;
    ScoreFragments<kProducts> fragments;
    if constexpr (kProducts == 2) {
      switch (static_cast<CacheType>(array.type)) {
        case CacheType::kInt8:
          LoadScores<CacheType::kInt8>(tile, array, at, numbers, in_row, token, &fragments);
          break;
        case CacheType::kInt4:
          LoadScores<CacheType::kInt4>(tile, array, at, numbers, in_row, token, &fragments);
          break;
        case CacheType::kInt2:
          LoadScores<CacheType::kInt2>(tile, array, at, numbers, in_row, token, &fragments);
          break;
        default:
          LoadHalfScores<2>(tile, array, at, in_row, token, &fragments);
      }
    } else {
      LoadHalfScores<1>(tile, array, at, in_row, token, &fragments);
    }
    const bool mixed = is_rope && task.rope_groups > 1;
    const int query_strip = is_rope ? in_row : rope_strips + in_row;
    const uint8_t* queries = s.queries + (g * query_pitch + query_strip * 4 + t) * 16;
    MLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      const GpuColumn* columns = s.columns() + n * 8;
      if (mixed && (columns[0].rope > group || columns[7].rope < group)) continue;
      Quad query = LoadShared(queries + n * 8 * query_pitch * 16);
      if (mixed && columns[g].rope != group) query = Quad{};
      MLA_UNROLL
      for (int m = 0; m < kProducts; ++m) {
        Mma(scores[m][n], fragments.a[m][0], {query.word[0], query.word[1]});
        Mma(scores[m][n], fragments.a[m][1], {query.word[2], query.word[3]});
      }
    }
  }
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
        MLA_UNROLL
        for (int m = 0; m < kProducts; ++m) {
          MLA_UNROLL
          for (int half = 0; half < 2; ++half) {
            float& score = column[TokenOf<kProducts>(m, half, g)];
            score = scores[m][n][2 * half + j] + (first ? 0.0f : score);
          }
        }
      }
    }
  }
}

// --- softmax ---

// Weights are at most this power of two, so that small ones are normal halves.
constexpr float kHeadroom = 10.0f;

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

// --- sums ---

// A warp's sums: of strips warp, warp + kWarps, .. of 64 elements, four products each.
template <int kTiles, int kStrips>
struct Sums {
  float of[kStrips][4][kTiles][4];
};

template <int kTiles, int kStrips>
MLA_DEVICE void Rescale(const Shared& s, Sums<kTiles, kStrips>* sums) {
  MLA_UNROLL
  for (int n = 0; n < kTiles; ++n) {
    const float* rescale = s.rescale + n * 8 + Lane() % 4 * 2;
    const float by[2] = {rescale[0], rescale[1]};
    if (by[0] == 1.0f && by[1] == 1.0f) continue;
    MLA_UNROLL
    for (int i = 0; i < kStrips; ++i) {
      MLA_UNROLL
      for (int m = 0; m < 4; ++m) {
        MLA_UNROLL
        for (int d = 0; d < 4; ++d) sums->of[i][m][n][d] *= by[d % 2];
      }
    }
  }
}

template <int kWarps, int kTiles, int kStrips>
MLA_DEVICE void SumPiece(const Shared& s, const GpuTilePiece& piece, const TileView& tile,
                         Sums<kTiles, kStrips>* sums) {
  const int warp = kWarps == 1 ? 0 : WarpIndex();
  const int g = Lane() / 4, t = Lane() % 4;
  const GpuTileArray& array = piece.value;
  for (int token = 0; token < tile.tokens; token += 16) {
    FourHalves weights[kTiles];
    MLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      weights[n] = *reinterpret_cast<const FourHalves*>(s.weights + (n * 8 + g) * kWeightPitch +
                                                        token + 4 * t);
    }
    MLA_UNROLL
    for (int i = 0; i < kStrips; ++i) {
      const int strip = warp + kWarps * i;
      if (strip < piece.value_begin || strip >= piece.value_end) continue;
      SumFragments fragments;
      switch (static_cast<CacheType>(array.type)) {
        case CacheType::kInt8:
          LoadSums<CacheType::kInt8>(tile, array, strip, token, &fragments);
          break;
        case CacheType::kInt4:
          LoadSums<CacheType::kInt4>(tile, array, strip, token, &fragments);
          break;
        case CacheType::kInt2:
          LoadSums<CacheType::kInt2>(tile, array, strip, token, &fragments);
          break;
        default:
          LoadHalfSums(tile, array, strip, token, &fragments);
      }
      MLA_UNROLL
      for (int m = 0; m < 4; ++m) {
        MLA_UNROLL
        for (int n = 0; n < kTiles; ++n) {
          Mma(sums->of[i][m][n], fragments.a[m], {weights[n].word[0], weights[n].word[1]});
        }
      }
    }
  }
}

// --- results ---

MLA_DEVICE float* PartialRow(const AttendArgs& a, int sequence, int split, int query, int head) {
  const int64_t row =
      ((int64_t{sequence} * a.splits + split) * a.sizes.queries + query) * a.sizes.heads + head;
  return static_cast<float*>(a.call.workspace) + row * a.sizes.partial_floats();
}

MLA_DEVICE void StoreEight(float* to, const float (&values)[8], int n) {
  if (n >= 8 && reinterpret_cast<uintptr_t>(to) % 16 == 0) {
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      Quad quad;
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) quad.word[i] = BitsOfFloat(values[half * 4 + i]);
      reinterpret_cast<Quad*>(to)[half] = quad;
    }
    return;
  }
  MLA_UNROLL
  for (int i = 0; i < 8; ++i) {
    if (i < n) to[i] = values[i];
  }
}

template <int kWarps, int kTiles, int kStrips>
MLA_DEVICE void Finish(const AttendArgs& a, const Shared& s, const Work& work, int split,
                       const Sums<kTiles, kStrips>& sums) {
  const GpuTask& task = s.the_task();
  const GpuAttention& call = a.call;
  const int warp = kWarps == 1 ? 0 : WarpIndex();
  const int g = Lane() / 4, t = Lane() % 4;
  const bool whole = work.splits == 1;
  MLA_UNROLL
  for (int n = 0; n < kTiles; ++n) {
    MLA_UNROLL
    for (int j = 0; j < 2; ++j) {
      const int c = n * 8 + 2 * t + j;
      const GpuColumn column = s.columns()[c];
      if (column.head < 0) continue;
      float* out = nullptr;
      float by = 1.0f;
      if (whole) {
        out = call.out + work.sequence * call.out_sequence + column.query * call.out_query +
              column.head * call.out_head;
        by = 1.0f / s.totals[c];
      } else {
        float* partial = PartialRow(a, work.sequence, split, column.query, column.head);
        if (warp == 0 && g == 0 && task.value_begin == 0) {
          partial[0] = s.maxima[c];
          partial[1] = s.totals[c];
        }
        out = partial + 4;
      }
      MLA_UNROLL
      for (int i = 0; i < kStrips; ++i) {
        const int element = (warp + kWarps * i) * kValueStrip + 8 * g;
        if (element >= task.value_length) continue;
        float values[8];
        MLA_UNROLL
        for (int m = 0; m < 4; ++m) {
          values[2 * m] = sums.of[i][m][n][j] * by;
          values[2 * m + 1] = sums.of[i][m][n][2 + j] * by;
        }
        StoreEight(out + task.value_begin + element, values, task.value_length - element);
      }
    }
  }
}

// --- the kernels ---

// Grid: tasks, groups of splits, sequences.
template <int kWarps, int kTiles, int kStrips>
MLA_KERNEL void Attend(const AttendArgs a) {
  constexpr int kColumns = kTiles * 8;
  const int sequence = BlockZ(), position = a.call.positions[sequence];
  if (position < 0) return;
  const int unit = kWarps == 1 ? WarpIndex() : 0;
  const int units = kWarps == 1 ? BlockThreads() / kWarp : 1;
  const int thread = kWarps == 1 ? Lane() : ThreadIndex();
  const Shared s = PlaceShared(a.sizes, kColumns, unit);
  const int32_t* from = a.call.tables + a.call.tables[BlockX()];
  const Work work = PlanWork(a, *reinterpret_cast<const GpuTask*>(from), sequence, position);
  if (BlockY() * units >= work.splits) return;
  for (int i = ThreadIndex(); i < from[0]; i += BlockThreads()) {
    reinterpret_cast<int32_t*>(s.task)[i] = from[i];
  }
  SyncBlock();
  LoadQueries(a, s, kColumns, sequence);
  for (int c = thread; c < kColumns; c += kWarps * kWarp) {
    s.maxima[c] = -Infinity();
    s.totals[c] = 0.0f;
  }
  SyncBlock();
  const int split = BlockY() * units + unit;
  if (split >= work.splits) return;

  const GpuTask& task = s.the_task();
  const int begin = split * work.tiles_a_split;
  const int end = begin + work.tiles_a_split < work.total ? begin + work.tiles_a_split : work.total;
  // Pieces come in their order, tile by tile; this is the next one to be asked for.
  struct {
    int tile, piece, slot;
  } next = {begin, 0, 0};
  const auto ask = [&] {
    if (next.tile < end) {
      const Tile tile = TileAt(a, task, work, next.tile);
      const GpuTileForm& form = task.forms[tile.form];
      const GpuTilePiece& piece = s.Piece(form, next.piece);
      LoadPiece(piece, reinterpret_cast<const GpuTileLine*>(a.call.tables) + piece.lines,
                form.tokens, tile, s.slots + next.slot * a.sizes.slot_bytes, thread, kWarps);
      if (++next.piece == form.pieces) {
        next.piece = 0;
        ++next.tile;
      }
      next.slot = next.slot + 1 == a.sizes.slots ? 0 : next.slot + 1;
    }
    CommitCopies();
  };
  for (int i = 1; i < a.sizes.slots; ++i) ask();

  Sums<kTiles, kStrips> sums = {};
  int slot = 0;
  for (int t = begin; t < end; ++t) {
    const Tile tile = TileAt(a, task, work, t);
    const GpuTileForm& form = task.forms[tile.form];
    for (int p = 0; p < form.pieces; ++p) {
      if (a.sizes.slots == 1) {
        SyncUnit<kWarps>();  // all are through with the slot
        ask();
      }
      if (a.sizes.slots > 2) {
        WaitCopies<1>();
      } else {
        WaitCopies<0>();
      }
      SyncUnit<kWarps>();
      if (a.sizes.slots > 1) ask();  // into the slot that all were through with here
      const GpuTilePiece& piece = s.Piece(form, p);
      const uint8_t* memory = s.slots + slot * a.sizes.slot_bytes;
      const TileView view = ViewTile(piece, form.tokens, memory);
      slot = slot + 1 == a.sizes.slots ? 0 : slot + 1;
      if (p < form.score_pieces) {
        if (form.tokens == 16) {
          ScorePiece<kWarps, kTiles, 1>(s, a.sizes.query_pitch, piece, view, p == 0);
        } else {
          ScorePiece<kWarps, kTiles, 2>(s, a.sizes.query_pitch, piece, view, p == 0);
        }
        if (p + 1 < form.score_pieces) continue;
        SyncUnit<kWarps>();
        Weigh<kWarps, kTiles>(a, s, work, tile, piece, memory, form.tokens);
        SyncUnit<kWarps>();
        Rescale(s, &sums);
      }
      if (piece.value_end > piece.value_begin) {
        SumPiece<kWarps, kTiles, kStrips>(s, piece, view, &sums);
      }
    }
  }
  WaitCopies<0>();
  SyncUnit<kWarps>();
  Finish<kWarps, kTiles, kStrips>(a, s, work, split, sums);
}

constexpr int kMergeThreads = 128;
constexpr int kMergeElements = 4;  // a thread

// Grid: rows (query, head), groups of elements, sequences. Splits are added in their order.
MLA_KERNEL void Merge(const AttendArgs a) {
  const int sequence = BlockZ(), position = a.call.positions[sequence];
  if (position < 0) return;
  const int32_t* tables = a.call.tables;
  const Work work =
      PlanWork(a, *reinterpret_cast<const GpuTask*>(tables + tables[0]), sequence, position);
  if (work.splits == 1) return;
  float* shares = reinterpret_cast<float*>(SharedMemory());  // [splits]
  const int query = BlockX() / a.sizes.heads, head = BlockX() % a.sizes.heads;
  float maximum = -Infinity();
  for (int i = Lane(); i < work.splits; i += kWarp) {
    maximum = Max(maximum, PartialRow(a, sequence, i, query, head)[0]);
  }
  maximum = MaxOver(maximum, kWarp);
  float total = 0.0f;
  for (int i = Lane(); i < work.splits; i += kWarp) {
    const float* partial = PartialRow(a, sequence, i, query, head);
    const float share = Exp2(partial[0] - maximum);
    if (WarpIndex() == 0) shares[i] = share;
    total += share * partial[1];
  }
  total = SumOver(total, kWarp);
  SyncBlock();
  const int length = tables[a.sizes.tasks + head];
  const int element = (BlockY() * kMergeThreads + ThreadIndex()) * kMergeElements;
  if (element >= length) return;
  float sums[kMergeElements] = {};
  for (int i = 0; i < work.splits; ++i) {
    const Quad quad = LoadQuad(PartialRow(a, sequence, i, query, head) + 4 + element);
    MLA_UNROLL
    for (int j = 0; j < kMergeElements; ++j) sums[j] += shares[i] * FloatOfBits(quad.word[j]);
  }
  float* out = a.call.out + sequence * a.call.out_sequence + query * a.call.out_query +
               head * a.call.out_head + element;
  for (int j = 0; j < kMergeElements && element + j < length; ++j) out[j] = sums[j] / total;
}

template <int kWarps, int kTiles, int kStrips>
void LaunchVariant(GpuStream& stream, const AttendArgs& args) {
  const GpuAttentionPlan& plan = *args.call.plan;
  const int units = plan.variant().units();
  const Grid grid = {args.sizes.tasks, (args.splits + units - 1) / units, args.call.sequences};
  Launch(stream, grid, plan.variant().threads(), plan.shared_bytes(),
         Attend<kWarps, kTiles, kStrips>, args);
}

template <int kWarps, int kStrips>
void LaunchColumns(GpuStream& stream, const AttendArgs& args) {
  switch (args.call.plan->variant().columns) {
    case 8:
      return LaunchVariant<kWarps, 1, kStrips>(stream, args);
    case 16:
      return LaunchVariant<kWarps, 2, kStrips>(stream, args);
    default:
      if constexpr (kWarps > 1) return LaunchVariant<kWarps, 4, kStrips>(stream, args);
  }
}

}  // namespace

void Launch(GpuStream& stream, const GpuAttention& call) {
  const GpuAttentionPlan& plan = *call.plan;
  const AttendArgs args = {call, plan.sizes(), plan.MostSplits(call.bucket, call.window)};
  const GpuAttentionVariant& variant = plan.variant();
  if (variant.columns == 64) {
    LaunchVariant<8, 8, 1>(stream, args);
  } else if (variant.warps == 1) {
    LaunchColumns<1, 2>(stream, args);
  } else if (variant.warps == 4) {
    LaunchColumns<4, 1>(stream, args);
  } else if (variant.strips == 1) {
    LaunchColumns<8, 1>(stream, args);
  } else {
    LaunchColumns<8, 2>(stream, args);
  }
  if (args.splits == 1) return;
  const int elements = kMergeThreads * kMergeElements;
  const Grid grid = {args.sizes.queries * args.sizes.heads,
                     (args.sizes.value_length + elements - 1) / elements, call.sequences};
  Launch(stream, grid, kMergeThreads, args.splits * 4, Merge, args);
}

}  // namespace mla::MLA_GPU
