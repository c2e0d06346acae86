// Which heads go to one task: see gpu_plan.h.
#ifndef MLA_KERNELS_ATTENTION_GPU_TASK_HEADS_H_
#define MLA_KERNELS_ATTENTION_GPU_TASK_HEADS_H_

#include <cstdint>
#include <vector>

#include "cache/layout.h"
#include "kernels/attention/gpu_tables.h"

namespace mla {

// KV heads of one key and one value segment. A KV head's columns are its heads' pairs with each
// query, queries inside.
struct GpuTaskHeads {
  std::vector<int32_t> kv_heads;
  int32_t first_column = 0;  // of all of the KV heads' columns
  int32_t columns = 0;
  int32_t value_begin = 0, value_length = 0;
};

// Columns of the most heads that share their segments.
int32_t MostSharedColumns(const LayerLayout& layout, int32_t queries);

// Tasks of at most so many columns, and elements of a value.
std::vector<GpuTaskHeads> SplitHeads(const LayerLayout& layout, int32_t queries, int32_t columns,
                                     int32_t value_length);

// What column `c` of a task is.
GpuColumn ColumnOf(const LayerLayout& layout, int32_t queries, const GpuTaskHeads& task, int32_t c);

// The integers that a plan's tables begin with: where each task's begin, each head's value length
// and key length; then the tasks', at 16-byte boundaries.
std::vector<int32_t> JoinTables(const LayerLayout& layout,
                                const std::vector<std::vector<int32_t>>& tasks);

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_TASK_HEADS_H_
