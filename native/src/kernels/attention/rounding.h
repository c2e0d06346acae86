#ifndef MLA_KERNELS_ATTENTION_ROUNDING_H_
#define MLA_KERNELS_ATTENTION_ROUNDING_H_

namespace mla {

// Of whole numbers, not negative.
template <typename T>
constexpr T CeilDiv(T a, T b) {
  return (a + b - 1) / b;
}
template <typename T>
constexpr T RoundUp(T a, T to) {
  return CeilDiv(a, to) * to;
}

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_ROUNDING_H_
