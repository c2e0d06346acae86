// The driver: one task walks its range of tokens tile by tile, a page at a time, and lets every
// row that it reads serve all heads of the task that need it.
#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/task.h"
#include "kernels/attention/tile_kernels.h"

namespace mla {
namespace {

// One task: a range of positions, KV heads and queries, and where it works.
struct Task {
  const AttentionTileKernels& kernels;
  const AttentionParams& params;
  const ExpandedParams* expanded;
  TaskScratch scratch;
  int32_t query_begin, query_end;
  int32_t head_begin, head_end;  // KV heads
  int32_t token_begin, token_end;

  int32_t queries() const { return query_end - query_begin; }
  int32_t heads_per_kv() const { return params.layout->heads / params.layout->kv_heads; }
  int32_t rows_per_kv() const { return heads_per_kv() * queries(); }
  int32_t first_row(int32_t kv_head) const { return (kv_head - head_begin) * rows_per_kv(); }
  int32_t rows() const { return first_row(head_end); }
};

// visit(kv_head, first_row, rows) for every run of KV heads of equal id (the first is named), so
// that packed rows that heads share are read once for all of them.
template <typename Id, typename Visit>
void ForEachRun(const Task& task, const Id& id, const Visit& visit) {
  for (int32_t g = task.head_begin; g < task.head_end;) {
    int32_t end = g + 1;
    while (end < task.head_end && id(end) == id(g)) ++end;
    visit(g, task.first_row(g), task.first_row(end) - task.first_row(g));
    g = end;
  }
}

// Whether keys besides the rotary ones are scored as the cache holds them.
bool ScoresLatents(const Task& task) {
  return task.expanded == nullptr || task.expanded->k_up.empty();
}

// What queries meet keys as.
enum class QueryForm { kFloats, kPacked, kFixed };

// Whether float rows that `rows` of queries share are met in fixed point: enough of them to pay for
// bringing a tile into it, from a cache that does not promise f32, and unless all that there is of
// an f16 is asked for.
bool MeetsInFixedPoint(const Task& task, const RowFormat& cached, int32_t rows) {
  constexpr int32_t kFewest = 24;
  return task.kernels.score_fixed != nullptr && !task.params.fine_weights && rows >= kFewest &&
         cached.type != CacheType::kF32;
}

QueryForm FormFor(const Task& task, const RowFormat& cached, bool as_cached, int32_t rows) {
  if (as_cached && cached.packed()) return QueryForm::kPacked;
  return MeetsInFixedPoint(task, cached, rows) ? QueryForm::kFixed : QueryForm::kFloats;
}

const RowFormat& RopeFormat(const Task& task, int32_t kv_head) {
  return task.params.cache->rows.rope[task.params.layout->rope_group(kv_head)].format;
}

const RowFormat& LatentFormat(const Task& task, int32_t segment) {
  return task.params.cache->rows.latent[segment].format;
}

// visit(kv_head, first_row, rows) for runs of KV heads with the same rotary keys.
template <typename Visit>
void ForEachRope(const Task& task, const Visit& visit) {
  if (task.params.layout->rope_dim == 0) return;
  ForEachRun(
      task, [&](int32_t g) { return task.params.layout->rope_group(g); }, visit);
}

// visit(segment, kv_head, first_row, rows) for runs of KV heads with the same other keys, if any.
template <typename Visit>
void ForEachKey(const Task& task, const Visit& visit) {
  const auto segment = [&](int32_t g) {
    return task.params.layout->key_segment[static_cast<size_t>(g)];
  };
  ForEachRun(task, segment, [&](int32_t g, int32_t row, int32_t rows) {
    if (segment(g) >= 0) visit(segment(g), g, row, rows);
  });
}

void QuantizeQueries(const Task& task) {
  const LayerLayout& layout = *task.params.layout;
  const TaskScratch& s = task.scratch;
  const auto quantize = [](const AttentionTileKernels& kernels, QueryForm form,
                           const RowFormat& cached, int32_t length, const float* const* queries,
                           int32_t n, uint8_t* out, int64_t stride) {
    if (form == QueryForm::kPacked) kernels.quantize_queries(cached, queries, n, out);
    if (form != QueryForm::kFixed) return;
    for (int32_t m = 0; m < n; ++m) kernels.fix_query(queries[m], length, out + m * stride);
  };
  ForEachRope(task, [&](int32_t g, int32_t row, int32_t rows) {
    const RowFormat& cached = RopeFormat(task, g);
    quantize(task.kernels, FormFor(task, cached, true, rows), cached, layout.rope_dim,
             s.rope_queries + row, rows, s.packed_rope + row * s.packed_rope_stride,
             s.packed_rope_stride);
  });
  ForEachKey(task, [&](int32_t segment, int32_t g, int32_t row, int32_t rows) {
    const RowFormat& cached = LatentFormat(task, segment);
    quantize(task.kernels, FormFor(task, cached, ScoresLatents(task), rows), cached,
             ScoresLatents(task) ? layout.key_length(g) : task.expanded->nope_dim,
             s.other_queries + row, rows, s.packed_other + row * s.packed_other_stride,
             s.packed_other_stride);
  });
}

void PointAtQueries(Task& task) {
  const AttentionParams& p = task.params;
  const float* other = task.expanded != nullptr ? task.expanded->q_nope : p.q_latent;
  const int64_t other_stride =
      task.expanded != nullptr ? task.expanded->q_nope_stride : p.q_latent_stride;
  const int64_t other_head_stride =
      task.expanded != nullptr ? task.expanded->q_nope_head_stride : p.q_latent_head_stride;
  int64_t m = 0;
  const int64_t head_end = int64_t{task.head_end} * task.heads_per_kv();
  for (int64_t h = int64_t{task.head_begin} * task.heads_per_kv(); h < head_end; ++h) {
    for (int64_t i = task.query_begin; i < task.query_end; ++i, ++m) {
      // A layer without one of the parts has no pointer to add to.
      task.scratch.rope_queries[m] =
          p.q_rope == nullptr ? nullptr : p.q_rope + i * p.q_rope_stride + h * p.q_rope_head_stride;
      task.scratch.other_queries[m] =
          other == nullptr ? nullptr : other + i * other_stride + h * other_head_stride;
    }
  }
}

// Positions of one page, and which rows they are read from.
struct Tile {
  const PageRows& rows;
  int32_t position;    // of the first row
  int32_t count;       // rows
  int32_t begin, end;  // positions that count, within the rows
  // Which of them a query reads here: all, or only those before its window, or those within.
  enum class Part { kAll, kBeforeWindow, kWindow } part;

  // The page that is read next, by the task or what its thread does after it; none: null.
  const PageRows* next_rows = nullptr;
  int32_t next_page = 0;

  int32_t decoded = -1;  // the segment of it that the scratch has as floats

  PackedRows Rope(int32_t group) const { return Rows(&PageRows::rope, group); }
  PackedRows Latent(int32_t segment) const { return Rows(&PageRows::latent, segment); }

 private:
  PackedRows Rows(const RowArray* PageRows::*arrays, int32_t i) const {
    PackedRows out = rows.Rows((rows.*arrays)[i], position, count);
    if (next_rows != nullptr) {
      out.ahead = next_rows->pages[next_page] + (next_rows->*arrays)[i].values;
    }
    return out;
  }
};

// A latent segment of the tile as floats, for up-projection.
void DecodeLatents(const Task& task, Tile& tile, int32_t segment) {
  if (tile.decoded == segment) return;
  tile.decoded = segment;
  task.kernels.decode(tile.Latent(segment), task.scratch.latents, task.scratch.latents_stride);
  for (int32_t t = 0; t < tile.count; ++t) {
    task.scratch.latent_rows[t] = task.scratch.latents + t * task.scratch.latents_stride;
  }
}

PackedRows MatrixRows(const Matrix& matrix, int64_t first, int64_t count) {
  const CacheType type = matrix.type == Type::kF32 ? CacheType::kF32 : CacheType::kF16;
  const RowFormat format{type, static_cast<int32_t>(matrix.cols), 0, 0, matrix.row_bytes()};
  return {format, matrix.row(first), nullptr, static_cast<int32_t>(count)};
}

PackedRows FloatRows(const float* data, int64_t stride, int32_t length, int32_t count) {
  const RowFormat format{CacheType::kF32, length, 0, 0,
                         stride * static_cast<int64_t>(sizeof(float))};
  return {format, reinterpret_cast<const uint8_t*>(data), nullptr, count};
}

// The rows that keys besides the rotary ones, or values, of a KV head are in this tile.
PackedRows KeyRows(const Task& task, Tile& tile, int32_t kv_head, int32_t segment) {
  if (ScoresLatents(task)) return tile.Latent(segment);
  const TaskScratch& s = task.scratch;
  DecodeLatents(task, tile, segment);
  const int64_t rank = task.params.layout->segments[static_cast<size_t>(segment)].length;
  task.kernels.accumulate(MatrixRows(task.expanded->k_up, kv_head * rank, rank), s.latents,
                          s.latents_stride, nullptr, tile.count, true, s.keys, s.keys_stride);
  return FloatRows(s.keys, s.keys_stride, task.expanded->nope_dim, tile.count);
}

PackedRows ValueRows(const Task& task, Tile& tile, int32_t kv_head, int32_t segment) {
  if (task.expanded == nullptr || task.expanded->v_up.empty()) {
    PackedRows rows = tile.Latent(segment);
    // Where they are keys too, these were fetched before.
    if (task.params.layout->key_segment[static_cast<size_t>(kv_head)] == segment) {
      rows.ahead = nullptr;
    }
    return rows;
  }
  const TaskScratch& s = task.scratch;
  DecodeLatents(task, tile, segment);
  const int64_t length = task.expanded->v_up.rows / task.params.layout->kv_heads;
  task.kernels.score(MatrixRows(task.expanded->v_up, kv_head * length, length), s.latent_rows,
                     tile.count, false, s.values, s.values_stride);
  return FloatRows(s.values, s.values_stride, static_cast<int32_t>(length), tile.count);
}

// `packed`: what the queries' form is beside floats.
void ScoreRows(const Task& task, const PackedRows& keys, QueryForm form,
               const float* const* queries, const uint8_t* packed, int64_t packed_stride,
               int32_t row, int32_t rows, bool add) {
  float* scores = task.scratch.scores + int64_t{row} * kTileTokens;
  packed += row * packed_stride;
  if (keys.format.packed()) {
    task.kernels.score_packed(keys, packed, rows, add, scores);
  } else if (form == QueryForm::kFixed) {
    task.kernels.score_fixed(keys, packed, packed_stride, rows, add, scores, kTileTokens);
  } else {
    task.kernels.score(keys, queries + row, rows, add, scores, kTileTokens);
  }
}

void ScoreTile(const Task& task, Tile& tile) {
  const LayerLayout& layout = *task.params.layout;
  const TaskScratch& s = task.scratch;
  if (layout.rope_dim == 0) std::fill_n(s.scores, int64_t{task.rows()} * kTileTokens, 0.0f);
  ForEachRope(task, [&](int32_t g, int32_t row, int32_t rows) {
    ScoreRows(task, tile.Rope(layout.rope_group(g)), FormFor(task, RopeFormat(task, g), true, rows),
              s.rope_queries, s.packed_rope, s.packed_rope_stride, row, rows, false);
  });
  ForEachKey(task, [&](int32_t segment, int32_t g, int32_t row, int32_t rows) {
    ScoreRows(task, KeyRows(task, tile, g, segment),
              FormFor(task, LatentFormat(task, segment), ScoresLatents(task), rows),
              s.other_queries, s.packed_other, s.packed_other_stride, row, rows, true);
  });
}

// The positions of the tile that a query at `position` reads, counted from the tile's first row.
struct Seen {
  int32_t begin, end;
};

Seen SeenBy(const Task& task, const Tile& tile, int32_t position) {
  const AttentionParams& p = task.params;
  const int32_t window_begin = position - p.cache->residual + 1;
  int32_t begin = tile.begin, end = std::min(tile.end, position + 1);
  if (p.window > 0) begin = std::max(begin, position - p.window + 1);
  if (tile.part == Tile::Part::kBeforeWindow) end = std::min(end, window_begin);
  if (tile.part == Tile::Part::kWindow) begin = std::max(begin, window_begin);
  return {std::clamp(begin - tile.position, 0, tile.count),
          std::clamp(end - tile.position, 0, tile.count)};
}

// Whether every query reads the same tokens; `seen` are the first's.
bool SeesAlike(const Task& task, const Tile& tile, Seen* seen) {
  const int32_t first = task.params.first;
  *seen = SeenBy(task, tile, first + task.query_begin);
  const Seen last = SeenBy(task, tile, first + task.query_end - 1);
  return seen->begin == last.begin && seen->end == last.end;
}

void WeighTile(const Task& task, const Tile& tile) {
  const AttentionParams& p = task.params;
  const TaskScratch& s = task.scratch;
  Seen alike;
  if (!p.layout->key_scalar && SeesAlike(task, tile, &alike) && alike.begin < alike.end) {
    task.kernels.weigh_alike(s.scores, task.rows(), alike.begin, alike.end, tile.count, p.scale,
                             s.maxima, s.totals, s.blends);
    return;
  }
  int64_t m = 0;
  for (int32_t g = task.head_begin; g < task.head_end; ++g) {
    const float* factors = p.layout->key_scalar ? p.cache->Scalars(g, tile.position) : nullptr;
    for (int32_t h = 0; h < task.heads_per_kv(); ++h) {
      for (int32_t i = task.query_begin; i < task.query_end; ++i, ++m) {
        const Seen seen = SeenBy(task, tile, p.first + i);
        s.blends[m] = task.kernels.weigh(s.scores + m * kTileTokens, seen.begin, seen.end,
                                         tile.count, p.scale, factors, &s.maxima[m], &s.totals[m]);
      }
    }
  }
}

void SumTile(const Task& task, Tile& tile) {
  const AttentionParams& p = task.params;
  const TaskScratch& s = task.scratch;
  auto value_segment = [&](int32_t g) { return p.layout->value_segment[static_cast<size_t>(g)]; };
  ForEachRun(task, value_segment, [&](int32_t g, int32_t row, int32_t rows) {
    const PackedRows values = ValueRows(task, tile, g, value_segment(g));
    const float* weights = s.scores + int64_t{row} * kTileTokens;
    float* sums = s.sums + row * s.sums_stride;
    if (!values.format.packed() &&
        MeetsInFixedPoint(task, LatentFormat(task, value_segment(g)), rows)) {
      task.kernels.accumulate_fixed(values, weights, kTileTokens, s.blends + row, rows, sums,
                                    s.sums_stride);
    } else {
      task.kernels.accumulate(values, weights, kTileTokens, s.blends + row, rows, p.fine_weights,
                              sums, s.sums_stride);
    }
  });
}

// Where a query reads a position that is not among the first tokens.
const PageRows& RowsOf(const CacheView& cache, int32_t position, int32_t query) {
  const bool in_window = cache.residual > 0 && position > query - cache.residual;
  return in_window ? cache.exact : cache.rows;
}

// What is read after the positions up to `end`.
void LookAhead(const Task& task, int32_t end, Tile* tile) {
  const AttentionParams& p = task.params;
  if (end < p.first + task.query_end) {
    tile->next_rows = &RowsOf(*p.cache, end, p.first + task.query_begin);
    tile->next_page = end / kPageTokens;
  } else if (p.next_cache != nullptr) {
    tile->next_rows = &RowsOf(*p.next_cache, 0, p.next_first);
  }
}

// Positions [begin, end) of one page from the rows that all tokens have. Packed rows are read from
// their page's first on.
Tile TileOfRows(const Task& task, int32_t begin, int32_t end, Tile::Part part) {
  const CacheView& cache = *task.params.cache;
  const LayerLayout& layout = *task.params.layout;
  const bool packed = cache.rows.latent[0].format.packed() ||
                      (layout.rope_dim > 0 && cache.rows.rope[0].format.packed());
  const int32_t first = packed ? begin / kPageTokens * kPageTokens : begin;
  Tile tile = {cache.rows, first, end - first, begin, end, part};
  LookAhead(task, end, &tile);
  return tile;
}

// Calls for tiles that together are what the task's queries read, from the first token on.
template <typename Visit>
void ForEachTile(const Task& task, const Visit& visit) {
  const CacheView& cache = *task.params.cache;
  const int32_t oldest = task.params.first + task.query_begin;
  const int32_t newest = task.params.first + task.query_end - 1;
  // Tokens before the windows of all queries, and in those of all.
  const int32_t packed_end = cache.residual > 0 ? oldest - cache.residual + 1 : task.token_end;
  const int32_t window_begin = cache.residual > 0 ? newest - cache.residual + 1 : task.token_end;
  for (int32_t begin = task.token_begin; begin < task.token_end;) {
    int32_t end = std::min((begin / kPageTokens + 1) * kPageTokens, task.token_end);
    if (begin < cache.sink) {
      end = std::min(end, cache.sink);
      visit(Tile{cache.first, begin, end - begin, begin, end, Tile::Part::kAll});
    } else if (begin < packed_end) {
      end = std::min(end, packed_end);
      visit(TileOfRows(task, begin, end, Tile::Part::kAll));
    } else {
      if (begin < window_begin) {
        end = std::min(end, window_begin);
        visit(TileOfRows(task, begin, end, Tile::Part::kBeforeWindow));
      }
      Tile tile = {cache.exact, begin, end - begin, begin, end, Tile::Part::kWindow};
      LookAhead(task, end, &tile);
      visit(tile);
    }
    begin = end;
  }
}

void WalkTiles(Task& task) {
  const int32_t rows = task.rows();
  std::fill_n(task.scratch.maxima, rows, -std::numeric_limits<float>::infinity());
  std::fill_n(task.scratch.totals, rows, 0.0f);
  std::fill_n(task.scratch.sums, rows * task.scratch.sums_stride, 0.0f);
  ForEachTile(task, [&](Tile tile) {
    ScoreTile(task, tile);
    WeighTile(task, tile);
    SumTile(task, tile);
  });
}

// call(m, kv_head, head, query) for the task's rows.
template <typename Call>
void ForEachRow(const Task& task, const Call& call) {
  int64_t m = 0;
  for (int32_t g = task.head_begin; g < task.head_end; ++g) {
    for (int32_t h = g * task.heads_per_kv(); h < (g + 1) * task.heads_per_kv(); ++h) {
      for (int32_t i = task.query_begin; i < task.query_end; ++i, ++m) call(m, g, h, i);
    }
  }
}

int32_t ValueLength(const AttentionPlan& plan, const Task& task, int32_t kv_head) {
  return plan.value_length > 0 ? plan.value_length : task.params.layout->value_length(kv_head);
}

// The rows of a node of the tree of splits, of the `depth`th that waits.
TaskScratch RowsAt(TaskScratch s, int64_t plan_rows, int32_t depth) {
  s.sums += depth * plan_rows * s.sums_stride;
  s.maxima += depth * plan_rows;
  s.totals += depth * plan_rows;
  return s;
}

// Results, or with several splits a node's partial ones, from the scratch rows to where they
// belong.
void Deliver(const AttentionPlan& plan, const Task& task, const TaskScratch& s,
             const SplitNode& node, void* partials) {
  const AttentionParams& p = task.params;
  ForEachRow(task, [&](int64_t m, int32_t g, int32_t h, int32_t i) {
    const int32_t length = ValueLength(plan, task, g);
    const float* sums = s.sums + m * s.sums_stride;
    if (plan.context_splits == 1) {
      float* out = p.out + i * p.out_stride + h * p.out_head_stride;
      const float share = 1.0f / s.totals[m];
      for (int32_t e = 0; e < length; ++e) out[e] = sums[e] * share;
      return;
    }
    float* partial = static_cast<float*>(partials) + PartialRow(plan, p, node.begin, i, h);
    partial[0] = s.maxima[m];
    partial[1] = s.totals[m];
    partial[kPartialLevel] = static_cast<float>(node.level);
    std::copy_n(sums, length, partial + kPartialHeader);
  });
}

// left becomes its parent.
void MergeNodes(const AttentionPlan& plan, const Task& task, const TaskScratch& left,
                const TaskScratch& right) {
  ForEachRow(task, [&](int64_t m, int32_t g, int32_t, int32_t) {
    float* sums = left.sums + m * left.sums_stride;
    const SplitResult merged =
        MergeSplits({left.maxima[m], left.totals[m]}, sums, {right.maxima[m], right.totals[m]},
                    right.sums + m * right.sums_stride, ValueLength(plan, task, g), sums);
    left.maxima[m] = merged.maximum;
    left.totals[m] = merged.total;
  });
}

// Which KV heads and queries.
void SetBlock(const AttentionPlan& plan, int32_t block, Task& task) {
  const int32_t kv_heads = task.params.layout->kv_heads / plan.head_blocks;
  task.query_begin = block / plan.head_blocks * plan.query_block;
  task.query_end = std::min(task.query_begin + plan.query_block, task.params.queries);
  task.head_begin = block % plan.head_blocks * kv_heads;
  task.head_end = task.head_begin + kv_heads;
}

// Which tokens, of those that the block's queries read.
void SetSplit(const AttentionPlan& plan, int32_t split, Task& task) {
  const AttentionParams& p = task.params;
  const int32_t oldest = p.first + task.query_begin - p.window + 1;
  const int32_t begin = p.window > 0 ? std::max(0, oldest) : 0;
  const int32_t end = p.first + task.query_end;
  const int32_t first_page = begin / kPageTokens;
  const int32_t pages = (end + kPageTokens - 1) / kPageTokens - first_page;
  const int32_t pages_per_split = (pages + plan.context_splits - 1) / plan.context_splits;
  const int32_t split_page = first_page + split * pages_per_split;
  task.token_begin = std::max(begin, split_page * kPageTokens);
  task.token_end = std::min(end, (split_page + pages_per_split) * kPageTokens);
}

static_assert(kTileTokens == kPageTokens, "a tile is what of a page the task needs");

int64_t PlanRows(const AttentionPlan& plan, const AttentionParams& params) {
  return int64_t{plan.query_block} * (params.layout->heads / plan.head_blocks);
}

// Of `block`, or where that is negative of none yet.
Task MakeTask(Isa isa, const AttentionPlan& plan, const AttentionParams& params,
              const ExpandedParams* expanded, int32_t block, void* scratch) {
  Task task{GetAttentionTileKernels(isa), params, expanded, {}, 0, 0, 0, 0, 0, 0};
  TaskScratch::Carve(*params.layout, expanded, PlanRows(plan, params),
                     MostSplitLevels(plan.context_splits), static_cast<uint8_t*>(scratch),
                     &task.scratch);
  if (block >= 0) SetBlock(plan, block, task);
  return task;
}

}  // namespace

void AttentionTasks::Run(int32_t begin, int32_t end) {
  const int64_t rows = PlanRows(plan_, params_);
  Task task = MakeTask(isa_, plan_, params_, expanded_, block_, scratch_);
  const TaskScratch first = task.scratch;
  for (int32_t index = begin; index < end; ++index) {
    // Splits of a block are neighbours, then head blocks, so that tasks that run side by side share
    // queries.
    const int32_t block = index / plan_.context_splits, split = index % plan_.context_splits;
    if (block != block_ || split != next_split_) Finish();
    if (block != block_) {
      SetBlock(plan_, block, task);
      PointAtQueries(task);
      QuantizeQueries(task);
      block_ = block;
    }
    SetSplit(plan_, split, task);
    task.scratch = RowsAt(first, rows, depth_);
    WalkTiles(task);
    task.scratch = first;
    nodes_[depth_++] = {split, 0};
    while (depth_ > 1 && nodes_[depth_ - 1].Completes(nodes_[depth_ - 2])) {
      MergeNodes(plan_, task, RowsAt(first, rows, depth_ - 2), RowsAt(first, rows, depth_ - 1));
      --depth_;
      ++nodes_[depth_ - 1].level;
    }
    next_split_ = split + 1;
    // A right one waits for nobody: its left sibling is another's.
    if (next_split_ == plan_.context_splits || nodes_[depth_ - 1].is_right()) Finish();
  }
}

void AttentionTasks::Finish() {
  if (depth_ == 0) return;
  const Task task = MakeTask(isa_, plan_, params_, expanded_, block_, scratch_);
  const int64_t rows = PlanRows(plan_, params_);
  for (; depth_ > 0; --depth_) {
    Deliver(plan_, task, RowsAt(task.scratch, rows, depth_ - 1), nodes_[depth_ - 1], partials_);
  }
}

}  // namespace mla
