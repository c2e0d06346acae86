#include "graph/head_matmul.h"

#include <algorithm>

#include "graph/matmul_batch.h"
#include "kernels/matmul/matmul.h"

namespace mla {
namespace {

// What a KV head's matrix multiplies is a grid, [n tokens][group of heads]. A job is the longer
// side of it: the rows of one head where there are many tokens, of one token where there are few.
// Rows of a job lie at a fixed stride.
struct Jobs {
  int64_t each;  // jobs of a KV head
  int64_t rows;  // of activations in a job
  bool by_token;

  Jobs(int64_t group, int64_t n)
      : each(std::min(group, n)), rows(std::max(group, n)), by_token(n < group) {}
};

}  // namespace

void HeadMatmul(const HeadMatmulParams& p, Team& team, int member) {
  const Jobs jobs(p.group, p.n);
  const int64_t rows = p.w.rows / p.kv_heads;
  const int64_t x_row = jobs.by_token ? p.x_head_stride : p.x_stride;
  const int64_t x_job = jobs.by_token ? p.x_stride : p.x_head_stride;
  const int64_t y_row = jobs.by_token ? p.y_head_stride : p.y_stride;
  const int64_t y_job = jobs.by_token ? p.y_stride : p.y_head_stride;
  // Whoever has some rows of a matrix multiplies them with all jobs, so that memory gives them
  // once; where that is too little to share out, with some of the jobs.
  const int64_t units = MatmulBatch::Units(rows);
  const int64_t together = p.kv_heads * units < 4 * team.size() ? 1 : jobs.each;
  const int64_t parts = jobs.each / together;
  const int64_t total = p.kv_heads * parts * units;
  team.EachFromOwn(member, total, 1, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t part = begin / units;
      const int64_t from = begin - part * units;
      const int64_t to = std::min(units, from + end - begin);
      const int64_t g = part / parts;
      const Matrix w = {p.w.type, p.w.row(g * rows), rows, p.w.cols};
      for (int64_t j = part * together; j < (part + 1) * together; ++j) {
        const int64_t k = j - g * jobs.each;
        const float* x = p.x + g * p.group * p.x_head_stride + k * x_job;
        float* y = p.y + g * p.group * p.y_head_stride + k * y_job;
        const MatmulParams params = {w, x, jobs.rows, y, y_row, nullptr, false, x_row};
        Matmul(params, from * kMatmulRowGrain, std::min(to * kMatmulRowGrain, rows));
      }
      begin += to - from;
    }
  });
}

}  // namespace mla
