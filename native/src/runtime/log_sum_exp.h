// ln Σ exp over a vocabulary, and the exponential that it is made of: plain loops that compilers
// vectorize.
#ifndef MLA_RUNTIME_LOG_SUM_EXP_H_
#define MLA_RUNTIME_LOG_SUM_EXP_H_

#include <bit>
#include <cstdint>

namespace mla {

// Below this the exponential counts as 0.
constexpr float kLeastExponent = -88.0f;

// exp(x) for kLeastExponent <= x <= 0, relative error below 3e-7; 0 below -87.6, where a float runs
// out of exponents.
inline float ExpBounded(float x) {
  // x = n ln 2 + r, |r| <= ln(2) / 2; adding 1.5 * 2^23 rounds to the nearest integer.
  constexpr float kRound = 12582912.0f;
  const float n = (x * 1.44269504f + kRound) - kRound;
  // ln 2 in two parts, of which the first times n is exact.
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  // The Taylor polynomial of degree 7 is off by less than 6e-9 there.
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// For any x <= 0.
inline float ExpNonPositive(float x) { return ExpBounded(x < kLeastExponent ? kLeastExponent : x); }

struct LogitScan {
  float best;   // the largest, -infinity where there is no other; meaningless with a bad one
  int64_t bad;  // the first that is NaN or +infinity, or -1
};
LogitScan ScanLogits(const float* logits, int64_t n);

// Σ exp((logits[i] - best) * scale); best is their largest and finite, scale positive and finite.
double SumExp(const float* logits, int64_t n, float best, float scale);

// ln Σ exp(logits[i]), absolute error below 1e-6.
double LogSumExp(const float* logits, int64_t n, float best);

}  // namespace mla
#endif  // MLA_RUNTIME_LOG_SUM_EXP_H_
