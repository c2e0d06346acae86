// A block has 64 or 128 queries of a KV head, in the order of positions and, at each, of heads. It
// walks over the expanded tokens tile by tile: while it scores a tile's keys the values come into
// shared memory, while it sums these the next keys. A warp has 16 or 32 of the queries and all of a
// tile's tokens, so that maxima and totals stay within four lanes, and weights go from one
// product's result to the next one's operand without leaving the registers.
//
// On paper, of keys and values of 128 and 32 queries a warp: the products of a tile take the tensor
// cores 2,048 clocks on sm_80 and 1,024 on sm_90, shared memory gives their operands in 1,280.
// With 16 it is half of the former and 1,152. No GPU has run it so far.
#include "cuda/simt.h"
#include "kernels/attention/gpu_query.h"
#include "kernels/matmul/gpu.h"
#include "kernels/prompt/gpu.h"
#include "kernels/prompt/gpu_expand.h"

namespace mla::MLA_GPU {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kScoreTiles = kPromptTileTokens / 8;

struct State {
  float maximum, total;
};

struct PromptArgs {
  GpuPrompt call;
  GpuPromptSizes sizes;
  GpuPromptBatch batch;
  bool is_first, is_last;  // of the batches
  const uint16_t* keys;
  const uint16_t* values;
  const float* scalars;
  State* states;
};

struct PromptShared {
  uint8_t* queries;  // [rows][key_pitch], of 16 bytes
  uint8_t* keys;     // [kPromptTileTokens][key_pitch]
  uint8_t* values;   // [kPromptTileTokens][value_pitch]
  float* scalars;    // [kPromptTileTokens]
  float* factors;    // [rows]: what makes a product a score
  int key_units, key_pitch, value_pitch;
};

MLA_DEVICE PromptShared PlacePrompt(const GpuPromptSizes& sizes, int rows, int value_units) {
  PromptShared s = {};
  s.key_units = sizes.key_elements / 8;
  s.key_pitch = s.key_units + 1;  // both are odd (GpuPromptPlan::SharedBytes)
  s.value_pitch = value_units + 1;
  s.queries = SharedMemory();
  s.keys = s.queries + rows * s.key_pitch * 16;
  s.values = s.keys + kPromptTileTokens * s.key_pitch * 16;
  s.scalars = reinterpret_cast<float*>(s.values + kPromptTileTokens * s.value_pitch * 16);
  s.factors = s.scalars + kPromptTileTokens;
  return s;
}

// A block's rows, each a query and a head, and of them those of a lane: of the warp's product m the
// rows g and g + 8, which are 2m and 2m + 1 of the lane's.
template <int kRowTiles>
struct Rows {
  static constexpr int kBlock = kWarps * kRowTiles * 16;

  int kv_head;
  int begin;     // row 0's number among the KV head's, query by query
  int count;     // of them all
  int group;     // heads of the KV head
  int position;  // query 0's

  MLA_DEVICE static int OfLane(int i) {
    return (WarpIndex() * kRowTiles + i / 2) * 16 + i % 2 * 8 + Lane() / 4;
  }
  MLA_DEVICE bool Has(int row) const { return begin + row < count; }
  MLA_DEVICE int Query(int row) const { return (begin + row) / group; }
  MLA_DEVICE int Head(int row) const { return kv_head * group + (begin + row) % group; }
  MLA_DEVICE int Position(int row) const { return position + Query(row); }
  MLA_DEVICE int FirstPosition() const { return Position(0); }
  MLA_DEVICE int LastPosition() const {
    const int left = count - begin;
    return Position((left < kBlock ? left : kBlock) - 1);
  }
};

// Whole block; no barrier. A warp a row.
template <int kRowTiles>
MLA_DEVICE void LoadPromptQueries(const PromptArgs& a, const PromptShared& s,
                                  const Rows<kRowTiles>& rows) {
  for (int r = WarpIndex(); r < rows.kBlock; r += kWarps) {
    QueryRow row = {nullptr, nullptr, 0, 0, 0};  // of a row that is none: zeros
    if (rows.Has(r)) {
      const int query = rows.Query(r), head = rows.Head(r);
      if (a.sizes.rope_dim > 0) {
        row.rope = a.call.q_rope + query * a.call.q_rope_query + head * a.call.q_rope_head;
        row.rope_length = a.sizes.rope_dim;
        row.rope_elements = a.sizes.rope_elements;
      }
      if (a.sizes.nope_dim > 0) {
        row.latent = a.call.q_nope + query * a.call.q_nope_query + head * a.call.q_nope_head;
        row.key_length = a.sizes.nope_dim;
      }
    }
    uint32_t* to = reinterpret_cast<uint32_t*>(s.queries + r * s.key_pitch * 16);
    const int elements = a.sizes.key_elements;
    const float factor =
        row.aligned() ? LoadQuery<true>(row, elements, to) : LoadQuery<false>(row, elements, to);
    if (Lane() == 0) s.factors[r] = factor * (a.call.scale * kLog2E);
  }
}

// Whole block. Of rows of halves `elements` apart the first `units` of 16 bytes, eight lanes a row.
MLA_DEVICE void CopyRows(const uint16_t* from, int elements, int units, int rows, uint8_t* to,
                         int pitch) {
  for (int row = ThreadIndex() / 8; row < rows; row += kThreads / 8) {
    for (int unit = ThreadIndex() % 8; unit < units; unit += 8) {
      CopyAsync(to + (row * pitch + unit) * 16, from + int64_t{row} * elements + unit * 8);
    }
  }
}

MLA_DEVICE void AskKeys(const PromptArgs& a, const PromptShared& s, int kv_head,
                        const PromptTile& tile) {
  const int64_t row = int64_t{kv_head} * a.call.tokens + tile.row;
  const int elements = a.sizes.key_elements;
  CopyRows(a.keys + row * elements, elements, s.key_units, tile.tokens, s.keys, s.key_pitch);
  if (a.sizes.key_scalar && ThreadIndex() < kPromptTileTokens / 4) {
    CopyAsync(s.scalars + ThreadIndex() * 4, a.scalars + row + ThreadIndex() * 4);
  }
  CommitCopies();
}

// What is behind the tile's tokens meets weights of zero.
MLA_DEVICE void AskValues(const PromptArgs& a, const PromptShared& s, int kv_head,
                          const PromptTile& tile, int begin, int units) {
  const int64_t row = int64_t{kv_head} * a.call.tokens + tile.row;
  const int elements = a.sizes.value_elements;
  CopyRows(a.values + row * elements + begin, elements, units, tile.tokens, s.values,
           s.value_pitch);
  for (int r = tile.tokens + ThreadIndex() / 8; r < kPromptTileTokens; r += kThreads / 8) {
    for (int unit = ThreadIndex() % 8; unit < units; unit += 8) {
      *reinterpret_cast<Quad*>(s.values + (r * s.value_pitch + unit) * 16) = Quad{};
    }
  }
  CommitCopies();
}

// Warp: products of its queries with the tile's keys.
template <int kRowTiles>
MLA_DEVICE void ScoreTile(const PromptShared& s, float (&scores)[kRowTiles][kScoreTiles][4]) {
  const int lane = Lane();
  const uint8_t* queries =
      s.queries + ((WarpIndex() * kRowTiles * 16 + lane % 16) * s.key_pitch + lane / 16) * 16;
  const uint8_t* keys = s.keys + ((lane / 16 * 8 + lane % 8) * s.key_pitch + lane / 8 % 2) * 16;
  MLA_UNROLL_BY(1)
  for (int unit = 0; unit < s.key_units; unit += 2) {
    uint32_t query[kRowTiles][4];
    MLA_UNROLL
    for (int m = 0; m < kRowTiles; ++m) {
      LoadMatrices(query[m], queries + (m * 16 * s.key_pitch + unit) * 16);
    }
    MLA_UNROLL
    for (int n = 0; n < kScoreTiles; n += 2) {
      uint32_t key[4];
      LoadMatrices(key, keys + (n * 8 * s.key_pitch + unit) * 16);
      MLA_UNROLL
      for (int m = 0; m < kRowTiles; ++m) {
        Mma(scores[m][n], query[m], {key[0], key[1]});
        Mma(scores[m][n + 1], query[m], {key[2], key[3]});
      }
    }
  }
}

// Of a lane's rows.
template <int kRowTiles>
struct RowStates {
  float maximum[kRowTiles * 2];
  float total[kRowTiles * 2];    // the lane's part
  float rescale[kRowTiles * 2];  // for what was summed before
};

// What a tile's products are to be multiplied with, and which of them count.
struct TileSight {
  GpuSight sight;
  bool all_seen;    // by all of the block's queries
  bool has_scalar;  // in s.scalars
};

// Warp: products become weights, relative to the largest score so far, as the left operands of the
// sums.
template <int kRowTiles>
MLA_DEVICE void WeighTile(const PromptShared& s, const Rows<kRowTiles>& rows,
                          const PromptTile& tile, const TileSight& in,
                          float (&scores)[kRowTiles][kScoreTiles][4], RowStates<kRowTiles>* states,
                          uint32_t (&weights)[kRowTiles][kScoreTiles / 2][4]) {
  const int t = Lane() % 4;
  MLA_UNROLL
  for (int i = 0; i < kRowTiles * 2; ++i) {
    const int half = i % 2;
    float(&tiles)[kScoreTiles][4] = scores[i / 2];
    const float factor = s.factors[rows.OfLane(i)];
    MLA_UNROLL
    for (int j = 0; j < kScoreTiles * 2; ++j) {
      float& x = tiles[j / 2][half * 2 + j % 2];
      x *= factor;
      if (in.has_scalar) x *= s.scalars[j / 2 * 8 + 2 * t + j % 2];
    }
    if (!in.all_seen) {
      const GpuTokens seen = in.sight.Of(tile.form, rows.Position(rows.OfLane(i)));
      const int begin = seen.begin - tile.position, end = seen.end - tile.position;
      const int last = end < tile.tokens ? end : tile.tokens;
      MLA_UNROLL
      for (int j = 0; j < kScoreTiles * 2; ++j) {
        const int token = j / 2 * 8 + 2 * t + j % 2;
        if (token < begin || token >= last) tiles[j / 2][half * 2 + j % 2] = -Infinity();
      }
    }
    float largest = -Infinity();
    MLA_UNROLL
    for (int j = 0; j < kScoreTiles * 2; ++j) {
      largest = Max(largest, tiles[j / 2][half * 2 + j % 2]);
    }
    largest = MaxOver(largest, 4);
    const float before = states->maximum[i], maximum = before > largest ? before : largest;
    const float base = maximum == -Infinity() ? 0.0f : maximum - kHeadroom;
    float total = 0.0f;
    MLA_UNROLL
    for (int n = 0; n < kScoreTiles; ++n) {
      const float low = Exp2(tiles[n][half * 2] - base);
      const float high = Exp2(tiles[n][half * 2 + 1] - base);
      total += low + high;
      weights[i / 2][n / 2][n % 2 * 2 + half] = PackHalves(low, high);
    }
    states->rescale[i] = before == -Infinity() ? 0.0f : Exp2(before - maximum);
    states->maximum[i] = maximum;
    states->total[i] = states->total[i] * states->rescale[i] + total;
  }
}

// A lane's sums: of each product two elements of rows g and g + 8.
template <int kRowTiles, int kPairs>
struct RowSums {
  float of[kRowTiles][kPairs * 2][4] = {};

  MLA_DEVICE void Rescale(const float (&by)[kRowTiles * 2]) {
    MLA_UNROLL
    for (int m = 0; m < kRowTiles; ++m) {
      if (by[2 * m] == 1.0f && by[2 * m + 1] == 1.0f) continue;
      MLA_UNROLL
      for (int i = 0; i < kPairs * 8; ++i) of[m][i / 4][i % 4] *= by[2 * m + i / 2 % 2];
    }
  }

  // Warp: weighted values, of `pairs` of the pairs of products.
  MLA_DEVICE void Add(const PromptShared& s, int pairs,
                      const uint32_t (&weights)[kRowTiles][kScoreTiles / 2][4]) {
    const int lane = Lane();
    const uint8_t* values = s.values + (lane % 16 * s.value_pitch + lane / 16) * 16;
    MLA_UNROLL
    for (int p = 0; p < kPairs; ++p) {
      if (p >= pairs) break;
      MLA_UNROLL
      for (int n = 0; n < kScoreTiles / 2; ++n) {
        uint32_t value[4];
        LoadMatricesTransposed(value, values + (n * 16 * s.value_pitch + p * 2) * 16);
        MLA_UNROLL
        for (int m = 0; m < kRowTiles; ++m) {
          Mma(of[m][p * 2], weights[m][n], {value[0], value[1]});
          Mma(of[m][p * 2 + 1], weights[m][n], {value[2], value[3]});
        }
      }
    }
  }

  // act(the lane's row, sum, its place in call.out) for all that are there.
  template <typename Act>
  MLA_DEVICE void Each(const PromptArgs& a, const Rows<kRowTiles>& rows, const Act& act) {
    const int first = BlockZ() * kPairs * 16 + Lane() % 4 * 2;
    MLA_UNROLL
    for (int i = 0; i < kRowTiles * 2; ++i) {
      const int row = rows.OfLane(i);
      if (!rows.Has(row)) continue;
      float* out =
          a.call.out + rows.Query(row) * a.call.out_query + rows.Head(row) * a.call.out_head;
      MLA_UNROLL
      for (int j = 0; j < kPairs * 4; ++j) {
        const int element = first + j / 2 * 8 + j % 2;
        if (element >= a.sizes.value_length) continue;
        act(i, of[i / 2][j / 2][i % 2 * 2 + j % 2], out + element);
      }
    }
  }
};

// Of a row for this part of the values.
template <int kRowTiles>
MLA_DEVICE State* StateOf(const PromptArgs& a, const Rows<kRowTiles>& rows, int row) {
  const int64_t query = int64_t{BlockZ()} * a.call.queries + rows.Query(row);
  return a.states + query * a.sizes.heads + rows.Head(row);
}

template <int kRowTiles>
MLA_DEVICE RowStates<kRowTiles> BeginStates(const PromptArgs& a, const Rows<kRowTiles>& rows) {
  RowStates<kRowTiles> states = {};
  MLA_UNROLL
  for (int i = 0; i < kRowTiles * 2; ++i) {
    const int row = rows.OfLane(i);
    states.maximum[i] = -Infinity();
    if (a.is_first || !rows.Has(row)) continue;
    const State before = *StateOf(a, rows, row);
    states.maximum[i] = before.maximum;
    states.total[i] = Lane() % 4 == 0 ? before.total : 0.0f;
  }
  return states;
}

// Grid: blocks of queries, KV heads, parts of the values. The last queries, which see most, begin.
template <int kRowTiles, int kPairs>
MLA_KERNEL_OF(kThreads, kRowTiles* kPairs > 4 ? 2 : 3)
void AttendPrompt(const PromptArgs a) {
  WaitForEarlier();
  LetLaterStart();
  constexpr int kBlockRows = Rows<kRowTiles>::kBlock;
  const PromptShared s = PlacePrompt(a.sizes, kBlockRows, kPairs * 2);
  const int group = a.sizes.group();
  const Rows<kRowTiles> rows = {BlockY(), (GridX() - 1 - BlockX()) * kBlockRows,
                                a.call.queries * group, group, a.call.first};
  const int first_value = BlockZ() * kPairs * 16;
  const int left = (a.sizes.value_elements - first_value) / 16;
  const int pairs = left < kPairs ? left : kPairs;

  // From tile to tile that any of the queries sees.
  const GpuSight sight = {a.call.window, a.sizes.residual, a.sizes.sink};
  const int first_position = rows.FirstPosition(), last_position = rows.LastPosition();
  const int tiles = TilesOf(a.batch);
  const auto next = [&](int index) {
    for (; index < tiles; ++index) {
      const PromptTile tile = TileOf(a.batch, index);
      if (tile.position < sight.Of(tile.form, last_position).end &&
          tile.position + tile.tokens > sight.Of(tile.form, first_position).begin) {
        break;
      }
    }
    return index;
  };
  int index = next(0);
  if (index < tiles) AskKeys(a, s, rows.kv_head, TileOf(a.batch, index));
  LoadPromptQueries(a, s, rows);  // meanwhile

  RowStates<kRowTiles> states = BeginStates(a, rows);
  RowSums<kRowTiles, kPairs> sums;
  if (!a.is_first) {
    sums.Each(a, rows, [](int, float& sum, const float* from) { sum = *from; });
  }
  while (index < tiles) {
    const PromptTile tile = TileOf(a.batch, index);
    WaitCopies<0>();
    SyncBlock();  // keys are there, and all are through with the values before
    AskValues(a, s, rows.kv_head, tile, first_value, pairs * 2);
    float scores[kRowTiles][kScoreTiles][4] = {};
    ScoreTile(s, scores);
    const bool all_seen = tile.tokens == kPromptTileTokens &&
                          tile.position >= sight.Of(tile.form, last_position).begin &&
                          tile.position + tile.tokens <= sight.Of(tile.form, first_position).end;
    uint32_t weights[kRowTiles][kScoreTiles / 2][4];
    WeighTile(s, rows, tile, {sight, all_seen, a.sizes.key_scalar}, scores, &states, weights);
    WaitCopies<0>();
    SyncBlock();  // values are there, and all are through with the keys
    index = next(index + 1);
    if (index < tiles) AskKeys(a, s, rows.kv_head, TileOf(a.batch, index));
    sums.Rescale(states.rescale);
    sums.Add(s, pairs, weights);
  }

  SyncWarp();  // where no tile is seen, too, all have read the states
  float by[kRowTiles * 2];
  MLA_UNROLL
  for (int i = 0; i < kRowTiles * 2; ++i) {
    const float total = SumOver(states.total[i], 4);
    by[i] = a.is_last ? 1.0f / total : 1.0f;
    const int row = rows.OfLane(i);
    if (!a.is_last && Lane() % 4 == 0 && rows.Has(row)) {
      *StateOf(a, rows, row) = {states.maximum[i], total};
    }
  }
  sums.Each(a, rows, [&](int i, float sum, float* to) { *to = sum * by[i]; });
}

template <int kRowTiles, int kPairs>
bool Launched(GpuStream& stream, const PromptArgs& args, bool must) {
  const GpuPromptPlan& plan = *args.call.plan;
  constexpr int kBlockRows = Rows<kRowTiles>::kBlock;
  const int rows = args.call.queries * args.sizes.group();
  const Grid grid = {(rows + kBlockRows - 1) / kBlockRows, args.sizes.kv_heads, plan.parts()};
  const bool suits = grid.x * grid.y * grid.z >= stream.processors() &&
                     plan.SharedBytes(kBlockRows) <= stream.shared_bytes() / 2;
  if (!must && !suits) return false;
  Launch(stream, grid, kThreads, plan.SharedBytes(kBlockRows), AttendPrompt<kRowTiles, kPairs>,
         args);
  return true;
}

// By blocks of more queries where these fill the GPU, two a processor.
template <int kPairs>
void LaunchPairs(GpuStream& stream, const PromptArgs& args) {
  if (!Launched<2, kPairs>(stream, args, false)) Launched<1, kPairs>(stream, args, true);
}

}  // namespace

void Launch(GpuStream& stream, const GpuPrompt& call) {
  const GpuPromptPlan& plan = *call.plan;
  const GpuPromptSizes& sizes = plan.sizes();
  uint8_t* memory = static_cast<uint8_t*>(call.workspace);
  const GpuPromptPlaces places = plan.Places(call.queries, call.tokens);
  uint16_t* keys = reinterpret_cast<uint16_t*>(memory + places.keys);
  uint16_t* values = reinterpret_cast<uint16_t*>(memory + places.values);
  float* scalars = reinterpret_cast<float*>(memory + places.scalars);
  float* latents = reinterpret_cast<float*>(memory + places.latents);
  // Rows of latents to all KV heads' halves.
  const auto up_project = [&](const GpuMatrix& w, int32_t rows, const float* from, uint16_t* to,
                              int32_t elements) {
    GpuHeadMatMul product = {};
    product.w = w;
    product.kv_heads = sizes.kv_heads;
    product.group = 1;
    product.n = rows;
    product.x = from;
    product.x_stride = sizes.latent_elements;
    product.out_stride = elements;
    product.out_head_stride = int64_t{call.tokens} * elements;
    product.halves = to;
    product.workspace = memory + places.products;
    Launch(stream, product);
  };
  const std::vector<GpuPromptBatch> batches =
      plan.Batches(call.first, call.queries, call.window, call.tokens);
  for (const GpuPromptBatch& batch : batches) {
    LaunchExpand(stream,
                 {sizes, batch, call.pieces, call.pages, call.places, call.layer, call.tokens, keys,
                  values, scalars, latents},
                 static_cast<int32_t>(plan.pieces().size()));
    if (sizes.key_rank > 0) {
      up_project(call.k_up_rows, batch.rows(), latents, keys + sizes.rope_elements,
                 sizes.key_elements);
    }
    if (sizes.value_rank > 0) {
      up_project(call.v_up, batch.rows(), latents + sizes.value_latent, values,
                 sizes.value_elements);
    }
    const PromptArgs args = {call,
                             sizes,
                             batch,
                             &batch == &batches.front(),
                             &batch == &batches.back(),
                             keys,
                             values,
                             scalars,
                             reinterpret_cast<State*>(memory + places.states)};
    if (plan.part_elements() == 64) {
      LaunchPairs<4>(stream, args);
    } else {
      LaunchPairs<8>(stream, args);
    }
  }
}

}  // namespace mla::MLA_GPU
