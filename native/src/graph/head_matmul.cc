#include "graph/head_matmul.h"

#include <algorithm>

#include "graph/matmul_batch.h"
#include "kernels/matmul/matmul.h"

namespace mla {
namespace {

// A prompt multiplies the n rows of one head at a time; a single token has only one such row, and
// multiplies the rows of all heads that share a matrix instead. Either way a job is one matrix
// times some rows of a fixed stride.
struct Jobs {
  int64_t count, rows_each;
  bool by_group;

  explicit Jobs(const HeadMatmulParams& p)
      : count(p.n == 1 ? p.kv_heads : p.kv_heads * p.group),
        rows_each(p.n == 1 ? p.group : p.n),
        by_group(p.n == 1) {}
};

int64_t Align(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

int64_t HeadMatmulBytes(int64_t heads, int64_t n, int64_t cols) {
  const int64_t one = std::max(ActivationBytes(FormFor(Type::kF32, Activations::kFine), n, cols),
                               ActivationBytes(FormFor(Type::kF16, Activations::kFine), n, cols));
  return heads * Align(one);
}

void HeadMatmul(const HeadMatmulParams& p, Team& team) {
  const Jobs jobs(p);
  const ActivationForm form = FormFor(p.w.type, Activations::kFine);
  const int64_t rows = p.w.rows / p.kv_heads;
  const int64_t area = Align(ActivationBytes(form, jobs.rows_each, p.w.cols));
  const int64_t x_row = jobs.by_group ? p.x_head_stride : p.x_stride;
  const int64_t y_row = jobs.by_group ? p.y_head_stride : p.y_stride;
  team.Each(jobs.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      const int64_t head = jobs.by_group ? j * p.group : j;
      PrepareActivations(form, p.x + head * p.x_head_stride, x_row, jobs.rows_each, p.w.cols,
                         p.prepared + j * area, 0, jobs.rows_each);
    }
  });
  const int64_t units = MatmulBatch::Units(rows);
  const int64_t total = jobs.count * units;
  team.Each(total, MatmulBatch::Grain(total, team.size()), [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t j = begin / units;
      const int64_t from = begin - j * units;
      const int64_t to = std::min(units, from + end - begin);
      const int64_t head = jobs.by_group ? j * p.group : j;
      const int64_t kv = jobs.by_group ? j : j / p.group;
      const Matrix w = {p.w.type, p.w.row(kv * rows), rows, p.w.cols};
      const MatmulParams params = {
          w,    p.prepared + j * area, jobs.rows_each, p.y + head * p.y_head_stride, y_row, nullptr,
          false};
      Matmul(params, from * kMatmulRowGrain, std::min(to * kMatmulRowGrain, rows));
      begin += to - from;
    }
  });
}

}  // namespace mla
