// Several matrices times the same activations, their rows shared out among a team as one piece of
// work.
#ifndef MLA_GRAPH_MATMUL_BATCH_H_
#define MLA_GRAPH_MATMUL_BATCH_H_

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>

#include "graph/prepared_input.h"
#include "graph/weights.h"
#include "kernels/matmul/matmul.h"
#include "runtime/thread_pool.h"

namespace mla {

// Lives on the stack of every team member; all members add the same jobs. Allocates nothing.
class MatmulBatch {
 public:
  static constexpr int kMaxJobs = 8;

  // y [n, rows] with its stride; accumulate adds to y.
  void Add(const Linear& linear, const PreparedInput& input, int64_t n, float* y, int64_t y_stride,
           bool accumulate = false) {
    assert(count_ < kMaxJobs);
    jobs_[static_cast<size_t>(count_++)] = {
        linear.w, input.For(linear.w.type), n, y, y_stride, linear.bias, accumulate};
    units_ += Units(linear.w.rows);
  }

  // Ends with the team's barrier.
  void Run(Team& team, int member) const {
    team.EachFromOwn(member, units_, count_ > 0 ? LeastUnits(jobs_[0].n) : 1,
                     [this](int64_t begin, int64_t end) { RunUnits(begin, end); });
  }

  // All of it by the calling member, without a barrier.
  void RunAlone() const { RunUnits(0, units_); }

  // Units that are worth a piece of work: a prompt's rows are multiplied by two panels at a time.
  static int64_t LeastUnits(int64_t n) { return n == 1 ? 1 : 2; }
  static int64_t Units(int64_t rows) { return (rows + kMatmulRowGrain - 1) / kMatmulRowGrain; }

 private:
  void RunUnits(int64_t begin, int64_t end) const {
    int64_t first = 0;
    for (int j = 0; j < count_ && first < end; ++j) {
      const MatmulParams& job = jobs_[static_cast<size_t>(j)];
      const int64_t last = first + Units(job.w.rows);
      const int64_t from = std::max(begin, first) - first;
      const int64_t to = std::min(end, last) - first;
      if (from < to) {
        Matmul(job, from * kMatmulRowGrain, std::min(to * kMatmulRowGrain, job.w.rows));
      }
      first = last;
    }
  }

  std::array<MatmulParams, kMaxJobs> jobs_;
  int count_ = 0;
  int64_t units_ = 0;
};

}  // namespace mla
#endif  // MLA_GRAPH_MATMUL_BATCH_H_
