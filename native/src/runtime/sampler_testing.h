// What a sampler's choices are compared with.
#ifndef MLA_RUNTIME_SAMPLER_TESTING_H_
#define MLA_RUNTIME_SAMPLER_TESTING_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "runtime/sampler.h"

namespace mla {

inline std::vector<float> RandomLogits(int32_t n, uint32_t seed, float spread = 3) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = normal(generator);
  return logits;
}

// The documented order of operations in plain double arithmetic and full sorts: token ->
// probability.
inline std::vector<double> Distribution(const SamplerOptions& o, const std::vector<float>& logits,
                                        const std::vector<int32_t>& recent) {
  std::vector<double> l(logits.begin(), logits.end());
  for (const LogitBias& bias : o.bias) l[bias.token] += bias.value;
  const size_t window = o.repetition_window < 0
                            ? recent.size()
                            : std::min<size_t>(recent.size(), o.repetition_window);
  for (int32_t t : std::set<int32_t>(recent.end() - window, recent.end())) {
    l[t] = l[t] > 0 ? l[t] / o.repetition_penalty : l[t] * o.repetition_penalty;
  }
  std::vector<int32_t> order(l.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return l[a] > l[b]; });
  while (!order.empty() && std::isinf(l[order.back()])) order.pop_back();
  if (o.top_k > 0 && order.size() > static_cast<size_t>(o.top_k)) order.resize(o.top_k);
  const double best = l[order[0]];
  if (o.top_p > 0 && o.top_p < 1) {
    double total = 0;
    for (int32_t t : order) total += std::exp(l[t] - best);
    double mass = 0;
    size_t keep = 0;
    while (keep < order.size() && mass < o.top_p * total) mass += std::exp(l[order[keep++]] - best);
    order.resize(std::max<size_t>(keep, 1));
  }
  std::vector<double> p(l.size(), 0);
  double total = 0;
  for (int32_t t : order) {
    if (std::exp(l[t] - best) < o.min_p) continue;
    p[t] = std::exp((l[t] - best) / o.temperature);
    total += p[t];
  }
  for (double& value : p) value /= total;
  return p;
}

}  // namespace mla
#endif  // MLA_RUNTIME_SAMPLER_TESTING_H_
