// What tests of decoders share: tokens, models, and how far logits are from the formula's or from
// others.
#ifndef MLA_GRAPH_DECODER_TESTING_H_
#define MLA_GRAPH_DECODER_TESTING_H_

#include <atomic>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "graph/tiny_model_testing.h"

namespace mla {

inline const std::atomic<bool> kGoOn = false;

inline std::vector<int32_t> Tokens(int n, int vocabulary, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  for (int32_t& token : tokens)
    token = static_cast<int32_t>(random() % static_cast<uint32_t>(vocabulary));
  return tokens;
}

// The largest; NaN where there is one.
inline double Difference(const std::vector<std::vector<double>>& expected,
                         const std::vector<float>& actual) {
  const size_t vocabulary = expected[0].size();
  double worst = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double diff = std::abs(expected[i / vocabulary][i % vocabulary] - actual[i]);
    if (!(diff <= worst)) worst = diff;  // keeps a NaN
  }
  return worst;
}

inline double Largest(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(double{a[i]} - b[i]);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

inline TinyShape Plain(const std::string& family) {
  TinyShape shape;
  shape.family = family;
  shape.biases = family == "qwen2";
  shape.norms = family == "qwen3";
  return shape;
}

}  // namespace mla
#endif  // MLA_GRAPH_DECODER_TESTING_H_
