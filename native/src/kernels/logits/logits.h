// What choosing a token asks of a vocabulary's logits: their largest, whether all are numbers, ln Σ
// exp, and where those are that are large.
#ifndef MLA_KERNELS_LOGITS_LOGITS_H_
#define MLA_KERNELS_LOGITS_LOGITS_H_

#include <cstdint>

#include "kernels/isa.h"

namespace mla {

struct LogitScan {
  // The largest, -infinity where there is no other, and the first that is it; meaningless with a
  // bad one.
  float best;
  int64_t best_at;
  int64_t bad;  // the first that is NaN or +infinity, or -1
};
LogitScan ScanLogits(const float* logits, int64_t n);

// Of the runs of kLogitRun logits, the last of which may be shorter: where the first one begins,
// from `begin` on, a run's beginning, that has a logit of `least` or more; n or more where there is
// none.
inline constexpr int64_t kLogitRun = 64;
int64_t FindRun(const float* logits, int64_t n, int64_t begin, float least);

// Σ exp((logits[i] - best) * scale); best is their largest and finite, scale positive and finite.
double SumExp(const float* logits, int64_t n, float best, float scale);

// ln Σ exp(logits[i]), absolute error below 1e-6.
double LogSumExp(const float* logits, int64_t n, float best);

struct LogitKernels {
  LogitScan (*scan)(const float* logits, int64_t n);
  int64_t (*find_run)(const float* logits, int64_t n, int64_t begin, float least);
  double (*sum_exp)(const float* logits, int64_t n, float best, float scale);
};
// Never null for a supported ISA.
const LogitKernels& GetLogitKernels(Isa isa);

}  // namespace mla
#endif  // MLA_KERNELS_LOGITS_LOGITS_H_
