// One small matrix a KV head, applied to the rows of its query heads: the absorbed projections.
#ifndef MLA_GRAPH_HEAD_MATMUL_H_
#define MLA_GRAPH_HEAD_MATMUL_H_

#include <cstdint>

#include "runtime/thread_pool.h"
#include "tensor/types.h"

namespace mla {

// y[t, h] = w[g(h)] x[t, h] for t in [0, n), with g(h) = h / group.
struct HeadMatmulParams {
  Matrix w;  // [kv_heads * rows, cols], plain floats
  int64_t kv_heads;
  int64_t group;  // query heads a KV head
  int64_t n;
  const float* x;  // [n][heads][cols]
  int64_t x_stride, x_head_stride;
  float* y;  // [n][heads][rows]
  int64_t y_stride, y_head_stride;
};

// Called by every member; ends with the team's barrier.
void HeadMatmul(const HeadMatmulParams& params, Team& team, int member);

}  // namespace mla
#endif  // MLA_GRAPH_HEAD_MATMUL_H_
