#include "runtime/log_sum_exp.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mla {
namespace {

// Independent sums and maxima: so many that compilers vectorize the loop over them and do not
// unroll it to scalars.
constexpr int kLanes = 64;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

LogitScan ScanLogits(const float* logits, int64_t n) {
  float best[kLanes];
  int32_t bad[kLanes] = {};
  std::fill_n(best, kLanes, -kInfinity);
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const float x = logits[i + j];
      best[j] = x > best[j] ? x : best[j];
      bad[j] |= x < kInfinity ? 0 : 1;
    }
  }
  for (int64_t i = whole; i < n; ++i) {
    best[0] = std::max(best[0], logits[i]);
    bad[0] |= logits[i] < kInfinity ? 0 : 1;
  }
  LogitScan scan{*std::max_element(best, best + kLanes), -1};
  if (std::find(bad, bad + kLanes, 1) != bad + kLanes) {
    scan.bad = std::find_if(logits, logits + n, [](float x) { return !(x < kInfinity); }) - logits;
  }
  return scan;
}

double SumExp(const float* logits, int64_t n, float best, float scale) {
  double total = 0;
  // Short runs in float, their sums in double: the error does not grow with the vocabulary.
  constexpr int64_t kRun = 16 * kLanes;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = std::min(n, begin + kRun);
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

double LogSumExp(const float* logits, int64_t n, float best) {
  return best + std::log(SumExp(logits, n, best, 1));
}

}  // namespace mla
