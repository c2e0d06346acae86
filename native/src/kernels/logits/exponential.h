// The exponential of numbers up to 0, for plain loops that compilers vectorize. Always inlined, so
// that every instruction set's file can include it.
#ifndef MLA_KERNELS_LOGITS_EXPONENTIAL_H_
#define MLA_KERNELS_LOGITS_EXPONENTIAL_H_

#include <stdint.h>

namespace mla {

// Below this the exponential counts as 0.
constexpr float kLeastExponent = -88.0f;

// exp(x) for kLeastExponent <= x <= 0, relative error below 3e-7; 0 below -87.6, where a float runs
// out of exponents.
[[gnu::always_inline]] inline float ExpBounded(float x) {
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
  return p * __builtin_bit_cast(float, (static_cast<int32_t>(n) + 127) << 23);
}

// For any x <= 0.
[[gnu::always_inline]] inline float ExpNonPositive(float x) {
  return ExpBounded(x < kLeastExponent ? kLeastExponent : x);
}

}  // namespace mla
#endif  // MLA_KERNELS_LOGITS_EXPONENTIAL_H_
