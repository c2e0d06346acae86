// Plain loops that compilers vectorize, for every instruction set's file of this folder. In an
// unnamed namespace, and without the standard library's templates: what is compiled for one
// instruction set must not be linked into another's callers.
#ifndef MLA_KERNELS_LOGITS_LOOPS_H_
#define MLA_KERNELS_LOGITS_LOOPS_H_

#include <stdint.h>

#include "kernels/logits/exponential.h"
#include "kernels/logits/logits.h"

namespace mla {
namespace {

// Independent sums and maxima: so many that compilers vectorize the loop over them and do not
// unroll it to scalars.
constexpr int kLanes = 64;
constexpr float kInfinity = __builtin_inff();

LogitScan Scan(const float* logits, int64_t n) {
  float best[kLanes];
  int32_t bad[kLanes] = {};
  for (float& lane : best) lane = -kInfinity;
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const float x = logits[i + j];
      best[j] = x > best[j] ? x : best[j];
      bad[j] |= x < kInfinity ? 0 : 1;
    }
  }
  for (int64_t i = whole; i < n; ++i) {
    best[0] = logits[i] > best[0] ? logits[i] : best[0];
    bad[0] |= logits[i] < kInfinity ? 0 : 1;
  }
  LogitScan scan{-kInfinity, -1};
  int32_t any = 0;
  for (int j = 0; j < kLanes; ++j) {
    scan.best = best[j] > scan.best ? best[j] : scan.best;
    any |= bad[j];
  }
  for (int64_t i = 0; any != 0 && scan.bad < 0; ++i) {
    if (!(logits[i] < kInfinity)) scan.bad = i;
  }
  return scan;
}

double SumOfExp(const float* logits, int64_t n, float best, float scale) {
  double total = 0;
  // Short runs in float, their sums in double: the error does not grow with the vocabulary.
  constexpr int64_t kRun = 16 * kLanes;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = n - begin < kRun ? n : begin + kRun;
    float sum[kLanes] = {};
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      float x[kLanes];
      // Apart from the exponential: together, GCC turns the bound into a branch and vectorizes
      // neither.
      for (int j = 0; j < kLanes; ++j) {
        const float exponent = (logits[i + j] - best) * scale;
        x[j] = exponent < kLeastExponent ? kLeastExponent : exponent;
      }
      for (int j = 0; j < kLanes; ++j) sum[j] += ExpBounded(x[j]);
    }
    for (; i < end; ++i) sum[0] += ExpNonPositive((logits[i] - best) * scale);
    for (float lane : sum) total += lane;
  }
  return total;
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_LOGITS_LOOPS_H_
