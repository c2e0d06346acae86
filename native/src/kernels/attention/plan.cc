// How attention is cut into tasks, and what memory they need.
#include <algorithm>
#include <type_traits>

#include "kernels/attention/attention.h"
#include "kernels/attention/fixed_query.h"
#include "kernels/attention/packed_query.h"
#include "kernels/attention/rounding.h"
#include "kernels/attention/splits.h"
#include "kernels/attention/task.h"

namespace mla {
namespace {

// Rows (query, head) of a task that aim at full registers and stay in the second-level cache
// together with the tile.
constexpr int32_t kAbsorbedRows = 128;
constexpr int64_t kAbsorbedSums = 128 * 1024;  // floats
// In the expanded form a tile is up-projected once for each query block, which more rows pay off.
constexpr int32_t kExpandedRows = 512;

// Where the context has to be split: as many tasks as share out their work, of which each has
// enough to be worth the partial results that it leaves to the merge.
constexpr int32_t kFewestTasks = 16;
constexpr int32_t kMostTasks = 128;
constexpr double kTaskMultiplyAdds = 1e6;
constexpr int32_t kLeastSplit = kPageTokens;

// No two KV heads read the same row, so that heads can go to different tasks and every row is still
// read once.
bool HeadsAreSeparate(const LayerLayout& layout) {
  if (layout.rope_dim > 0 && layout.rope_groups != layout.kv_heads) return false;
  for (size_t g = 0; g < layout.key_segment.size(); ++g) {
    for (size_t other = 0; other < g; ++other) {
      const int32_t key = layout.key_segment[g];
      const int32_t value = layout.value_segment[g];
      if (key >= 0 && (key == layout.key_segment[other] || key == layout.value_segment[other]))
        return false;
      if (value == layout.key_segment[other] || value == layout.value_segment[other]) return false;
    }
  }
  return true;
}

int32_t LongestKey(const LayerLayout& layout) {
  int32_t longest = 0;
  for (int32_t g = 0; g < layout.kv_heads; ++g) longest = std::max(longest, layout.key_length(g));
  return longest;
}

int32_t LongestLatentValue(const LayerLayout& layout) {
  int32_t longest = 0;
  for (int32_t g = 0; g < layout.kv_heads; ++g) longest = std::max(longest, layout.value_length(g));
  return longest;
}

// Bytes of a query against rows of this length, packed ones of whichever type and group, or in
// fixed point.
int64_t LongestPackedQuery(int32_t length) {
  int64_t longest = FixedQuery(length).size;
  for (CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    longest = std::max(longest, PackedQueryBytes(MakeRowFormat(type, length, 32)));
  }
  return longest;
}

int32_t QueryBlock(const LayerLayout& layout, int32_t queries, bool expanded, int32_t head_blocks) {
  const int32_t heads = layout.heads / head_blocks;
  int64_t rows = expanded ? kExpandedRows : kAbsorbedRows;
  if (!expanded) rows = std::min(rows, kAbsorbedSums / std::max(1, LongestLatentValue(layout)));
  const int32_t most = static_cast<int32_t>(std::clamp<int64_t>(rows / heads, 1, queries));
  return CeilDiv(queries, CeilDiv(queries, most));
}

int32_t WantedTasks(const LayerLayout& layout, int32_t first, int32_t queries) {
  double products = 0;  // of a query with a token
  for (int32_t g = 0; g < layout.kv_heads; ++g) {
    products += layout.rope_dim + layout.key_length(g) + layout.value_length(g);
  }
  products *= static_cast<double>(layout.heads) / layout.kv_heads;
  const double tasks = products * queries * (first + queries) / kTaskMultiplyAdds;
  return static_cast<int32_t>(std::clamp(tasks, double{kFewestTasks}, double{kMostTasks}));
}

}  // namespace

int32_t LongestValue(const LayerLayout& layout, const ExpandedParams* expanded) {
  if (expanded != nullptr && !expanded->v_up.empty()) {
    return static_cast<int32_t>(expanded->v_up.rows / layout.kv_heads);
  }
  return LongestLatentValue(layout);
}

int64_t TaskScratch::Carve(const LayerLayout& layout, const ExpandedParams* expanded, int64_t rows,
                           int64_t levels, uint8_t* base, TaskScratch* scratch) {
  int64_t at = 0;
  auto take = [&](auto** pointer, int64_t count) {
    *pointer = base == nullptr
                   ? nullptr
                   : reinterpret_cast<std::remove_reference_t<decltype(*pointer)>>(base + at);
    at += RoundUp<int64_t>(count * static_cast<int64_t>(sizeof(**pointer)), 64);
  };
  *scratch = {};
  scratch->sums_stride = RoundUp<int64_t>(LongestValue(layout, expanded), 16);
  take(&scratch->rope_queries, rows);
  take(&scratch->other_queries, rows);
  scratch->packed_rope_stride = LongestPackedQuery(layout.rope_dim);
  scratch->packed_other_stride = LongestPackedQuery(
      std::max(LongestKey(layout), expanded == nullptr ? 0 : expanded->nope_dim));
  take(&scratch->packed_rope, rows * scratch->packed_rope_stride);
  take(&scratch->packed_other, rows * scratch->packed_other_stride);
  take(&scratch->scores, rows * kTileTokens);
  take(&scratch->sums, levels * rows * scratch->sums_stride);
  take(&scratch->maxima, levels * rows);
  take(&scratch->totals, levels * rows);
  take(&scratch->blends, rows);
  if (expanded == nullptr) return at;
  scratch->latents_stride =
      RoundUp<int64_t>(std::max(LongestKey(layout), LongestLatentValue(layout)), 16);
  scratch->keys_stride = RoundUp<int64_t>(expanded->nope_dim, 16);
  scratch->values_stride = RoundUp<int64_t>(LongestValue(layout, expanded), 16);
  take(&scratch->latents, kTileTokens * scratch->latents_stride);
  take(&scratch->latent_rows, kTileTokens);
  take(&scratch->keys, kTileTokens * scratch->keys_stride);
  take(&scratch->values, kTileTokens * scratch->values_stride);
  return at;
}

AttentionPlan PlanAttention(const LayerLayout& layout, int32_t first, int32_t queries,
                            const ExpandedParams* expanded) {
  AttentionPlan plan;
  plan.expanded = expanded != nullptr;
  if (plan.expanded && !expanded->v_up.empty()) plan.value_length = LongestValue(layout, expanded);
  plan.head_blocks = plan.expanded || HeadsAreSeparate(layout) ? layout.kv_heads : 1;
  plan.query_block = QueryBlock(layout, queries, plan.expanded, plan.head_blocks);
  const int32_t blocks = plan.head_blocks * CeilDiv(queries, plan.query_block);
  const int32_t wanted = WantedTasks(layout, first, queries);
  if (blocks < wanted / 2) {
    plan.context_splits = std::min(CeilDiv(wanted, blocks), CeilDiv(first + queries, kLeastSplit));
  }
  plan.tasks = blocks * plan.context_splits;
  if (plan.context_splits > 1) {
    plan.merge_rows = queries * layout.heads;
    plan.partial_floats = kPartialHeader + RoundUp<int64_t>(LongestValue(layout, expanded), 16);
    plan.partial_bytes = int64_t{plan.context_splits} * plan.merge_rows * plan.partial_floats *
                         static_cast<int64_t>(sizeof(float));
  }
  TaskScratch counted;
  const int64_t rows = int64_t{plan.query_block} * (layout.heads / plan.head_blocks);
  const int64_t levels = MostSplitLevels(plan.context_splits);
  plan.scratch_bytes = std::max(
      TaskScratch::Carve(layout, expanded, rows, levels, nullptr, &counted),
      RoundUp<int64_t>(levels * plan.partial_floats * static_cast<int64_t>(sizeof(float)), 64));
  return plan;
}

bool ExpandedIsCheaper(const LayerLayout& layout, int32_t first, int32_t queries, int32_t nope_dim,
                       int32_t value_dim, int32_t query_block) {
  const double heads_per_kv = static_cast<double>(layout.heads) / layout.kv_heads;
  const double block =
      query_block > 0 ? query_block : QueryBlock(layout, queries, true, layout.kv_heads);
  // Tokens that a query sees, and that a query block up-projects, on average.
  const double seen = first + 0.5 * queries;
  const double blocks = queries / block;
  const double projected = first + 0.5 * (queries + block);
  double absorbed = 0.0;
  double expanded = 0.0;
  // A part costs queries * seen * width in scores or sums; then B applied to the queries, or to
  // tokens.
  auto count = [&](double rank, double width, bool has_up) {
    const double rows = queries * heads_per_kv;
    absorbed += rows * seen * rank + (has_up ? rows * rank * width : 0.0);
    expanded +=
        has_up ? rows * seen * width + blocks * projected * rank * width : rows * seen * rank;
  };
  auto readers = [](const std::vector<int32_t>& map, int32_t segment) {
    return std::count(map.begin(), map.end(), segment);
  };
  for (int32_t g = 0; g < layout.kv_heads; ++g) {
    const int32_t key = layout.key_segment[static_cast<size_t>(g)];
    const int32_t value = layout.value_segment[static_cast<size_t>(g)];
    // A slice of a head's own, as long as its keys or values, holds them as they are.
    if (key >= 0) {
      count(layout.key_length(g), nope_dim,
            layout.key_length(g) != nope_dim || readers(layout.key_segment, key) > 1);
    }
    count(layout.value_length(g), value_dim,
          layout.value_length(g) != value_dim || readers(layout.value_segment, value) > 1);
  }
  return expanded < absorbed;
}

}  // namespace mla
