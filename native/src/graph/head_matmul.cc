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

int64_t Align(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

int64_t HeadMatmulBytes(int64_t kv_heads, int64_t group, int64_t n, int64_t cols) {
  const Jobs jobs(group, n);
  const int64_t one =
      std::max(ActivationBytes(FormFor(Type::kF32, Activations::kFine), jobs.rows, cols),
               ActivationBytes(FormFor(Type::kF16, Activations::kFine), jobs.rows, cols));
  return kv_heads * jobs.each * Align(one);
}

void HeadMatmul(const HeadMatmulParams& p, Team& team) {
  const Jobs jobs(p.group, p.n);
  const ActivationForm form = FormFor(p.w.type, Activations::kFine);
  const int64_t rows = p.w.rows / p.kv_heads;
  const int64_t area = Align(ActivationBytes(form, jobs.rows, p.w.cols));
  const int64_t x_row = jobs.by_token ? p.x_head_stride : p.x_stride;
  const int64_t x_job = jobs.by_token ? p.x_stride : p.x_head_stride;
  const int64_t y_row = jobs.by_token ? p.y_head_stride : p.y_stride;
  const int64_t y_job = jobs.by_token ? p.y_stride : p.y_head_stride;
  team.Each(p.kv_heads * jobs.each, 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      const int64_t g = j / jobs.each, k = j % jobs.each;
      PrepareActivations(form, p.x + g * p.group * p.x_head_stride + k * x_job, x_row, jobs.rows,
                         p.w.cols, p.prepared + j * area, 0, jobs.rows);
    }
  });
  // Whoever has some rows of a matrix multiplies them with all jobs, so that memory gives them
  // once; where that is too little to share out, with some of the jobs.
  const int64_t units = MatmulBatch::Units(rows);
  const int64_t together = p.kv_heads * units < 4 * team.size() ? 1 : jobs.each;
  const int64_t parts = jobs.each / together;
  const int64_t total = p.kv_heads * parts * units;
  team.EachGuided(total, 1, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t part = begin / units;
      const int64_t from = begin - part * units;
      const int64_t to = std::min(units, from + end - begin);
      const int64_t g = part / parts;
      const Matrix w = {p.w.type, p.w.row(g * rows), rows, p.w.cols};
      for (int64_t j = part * together; j < (part + 1) * together; ++j) {
        float* y = p.y + g * p.group * p.y_head_stride + (j - g * jobs.each) * y_job;
        const MatmulParams params = {w, p.prepared + j * area, jobs.rows, y, y_row, nullptr, false};
        Matmul(params, from * kMatmulRowGrain, std::min(to * kMatmulRowGrain, rows));
      }
      begin += to - from;
    }
  });
}

}  // namespace mla
