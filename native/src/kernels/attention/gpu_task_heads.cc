#include "kernels/attention/gpu_task_heads.h"

#include <algorithm>

#include "kernels/attention/rounding.h"

namespace mla {
namespace {

// KV heads of the same segments, in their order.
std::vector<std::vector<int32_t>> Clusters(const LayerLayout& layout) {
  std::vector<std::vector<int32_t>> clusters;
  for (int32_t g = 0; g < layout.kv_heads; ++g) {
    const size_t head = static_cast<size_t>(g);
    auto it = std::find_if(clusters.begin(), clusters.end(), [&](const auto& cluster) {
      const size_t other = static_cast<size_t>(cluster[0]);
      return layout.key_segment[other] == layout.key_segment[head] &&
             layout.value_segment[other] == layout.value_segment[head];
    });
    if (it == clusters.end()) it = clusters.insert(it, std::vector<int32_t>());
    it->push_back(g);
  }
  return clusters;
}

int32_t ColumnsPerKv(const LayerLayout& layout, int32_t queries) {
  return layout.heads / layout.kv_heads * queries;
}

}  // namespace

int32_t MostSharedColumns(const LayerLayout& layout, int32_t queries) {
  size_t most = 0;
  for (const auto& cluster : Clusters(layout)) most = std::max(most, cluster.size());
  return static_cast<int32_t>(most) * ColumnsPerKv(layout, queries);
}

std::vector<GpuTaskHeads> SplitHeads(const LayerLayout& layout, int32_t queries, int32_t columns,
                                     int32_t value_length) {
  std::vector<GpuTaskHeads> tasks;
  const auto add = [&](GpuTaskHeads task) {
    const int32_t length = layout.value_length(task.kv_heads[0]);
    for (int32_t begin = 0; begin < length; begin += value_length) {
      task.value_begin = begin;
      task.value_length = std::min(value_length, length - begin);
      tasks.push_back(task);
    }
  };
  const int32_t each = ColumnsPerKv(layout, queries);
  for (const auto& cluster : Clusters(layout)) {
    if (each > columns) {
      for (const int32_t g : cluster) {
        for (int32_t begin = 0; begin < each; begin += columns) {
          add({{g}, begin, std::min(columns, each - begin)});
        }
      }
      continue;
    }
    // Rotary rows go with their heads, so that no task has heads in part.
    const int32_t count = static_cast<int32_t>(cluster.size()), together = columns / each;
    for (int32_t begin = 0; begin < count; begin += together) {
      const int32_t end = std::min(count, begin + together);
      add({{cluster.begin() + begin, cluster.begin() + end}, 0, (end - begin) * each});
    }
  }
  return tasks;
}

GpuColumn ColumnOf(const LayerLayout& layout, int32_t queries, const GpuTaskHeads& task,
                   int32_t c) {
  const int32_t heads_per_kv = layout.heads / layout.kv_heads;
  const int32_t column = task.first_column + c, each = heads_per_kv * queries;
  const int32_t kv = column / each, in_kv = column % each;
  const bool one_rope = layout.rope_groups == 1;
  // Behind the last column: in the order of rotary groups still.
  if (c >= task.columns) {
    return {-1, 0, one_rope ? 0 : static_cast<int32_t>(task.kv_heads.size()) - 1, 0};
  }
  const int32_t head = task.kv_heads[static_cast<size_t>(kv)] * heads_per_kv + in_kv / queries;
  return {head, in_kv % queries, one_rope ? 0 : kv, kv};
}

std::vector<int32_t> JoinTables(const LayerLayout& layout,
                                const std::vector<std::vector<int32_t>>& tasks) {
  const size_t header = RoundUp<size_t>(tasks.size() + 2 * static_cast<size_t>(layout.heads), 4);
  const int32_t heads_per_kv = layout.heads / layout.kv_heads;
  std::vector<int32_t> tables;
  size_t at = header;
  for (const auto& task : tasks) {
    tables.push_back(static_cast<int32_t>(at));
    at = RoundUp<size_t>(at + task.size(), 4);
  }
  for (int32_t h = 0; h < layout.heads; ++h) {
    tables.push_back(layout.value_length(h / heads_per_kv));
  }
  for (int32_t h = 0; h < layout.heads; ++h) {
    tables.push_back(layout.key_length(h / heads_per_kv));
  }
  tables.resize(header);
  for (const auto& task : tasks) {
    tables.insert(tables.end(), task.begin(), task.end());
    tables.resize(RoundUp<size_t>(tables.size(), 4));
  }
  return tables;
}

}  // namespace mla
