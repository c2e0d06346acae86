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

// The largest of a run, and whether any is bad, besides `any`.
float ScanRun(const float* logits, int64_t n, int32_t* any) {
  float best[kLanes];
  int32_t bad[kLanes] = {};
  for (float& lane : best) lane = -kInfinity;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const float x = logits[i + j];
      best[j] = x > best[j] ? x : best[j];
      bad[j] |= x < kInfinity ? 0 : 1;
    }
  }
  for (; i < n; ++i) {
    best[0] = logits[i] > best[0] ? logits[i] : best[0];
    bad[0] |= logits[i] < kInfinity ? 0 : 1;
  }
  float largest = -kInfinity;
  for (int j = 0; j < kLanes; ++j) {
    largest = best[j] > largest ? best[j] : largest;
    *any |= bad[j];
  }
  return largest;
}

LogitScan Scan(const float* logits, int64_t n) {
  // Only in a run whose largest is the largest so far is it looked for.
  constexpr int64_t kRun = 64 * kLanes;
  LogitScan scan{-kInfinity, 0, -1};
  int32_t any = 0;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const float largest = ScanRun(logits + begin, n - begin < kRun ? n - begin : kRun, &any);
    if (largest > scan.best) {
      scan.best = largest;
      scan.best_at = begin;
    }
  }
  if (any != 0) {
    for (scan.bad = 0; logits[scan.bad] < kInfinity;) ++scan.bad;
    return scan;
  }
  while (scan.best_at < n && logits[scan.best_at] != scan.best) ++scan.best_at;
  return scan;
}

int64_t FindRunOf(const float* logits, int64_t n, int64_t begin, float least) {
  static_assert(kLanes == kLogitRun, "a run is what the loop over lanes sees");
  for (; begin + kLanes <= n; begin += kLanes) {
    int32_t any = 0;
    for (int j = 0; j < kLanes; ++j) any |= logits[begin + j] >= least ? 1 : 0;
    if (any != 0) return begin;
  }
  for (int64_t i = begin; i < n; ++i) {
    if (logits[i] >= least) return begin;
  }
  return n;
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
