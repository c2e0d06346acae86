// The search for a scale with which elements, as multiples of it from a grid, have the least
// squared error. A grid is a function: the nearest of its numbers to a float; NaN gives its lowest.
#ifndef MLA_TENSOR_SCALE_FIT_H_
#define MLA_TENSOR_SCALE_FIT_H_

#include <algorithm>
#include <cmath>

namespace mla {

// Nearest integer (ties to even) for |x| < 2^22, as a float; unlike std::nearbyint the compiler
// vectorizes it.
inline float Round(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: no fraction bits are left
  return (x + kShift) - kShift;
}

// Nearest integer in [lo, hi]; NaN gives lo.
inline float RoundClamped(float x, float lo, float hi) {
  x = x > lo ? x : lo;
  return Round(x < hi ? x : hi);
}

template <int kCount, typename Grid>
float GridError(const float* x, float scale, const Grid& grid) {
  const float inverse = scale != 0 ? 1 / scale : 0;
  float error = 0;
  for (int i = 0; i < kCount; ++i) {
    const float e = scale * grid(x[i] * inverse) - x[i];
    error += e * e;
  }
  return error;
}

// Tries to have the element of largest magnitude near the grid's lowest number, -`longest`, which
// is its largest in magnitude too, in steps of `step`; for each one's rounding the least-squares
// scale. It may be negative.
template <int kCount, typename Grid>
float FitScale(const float* x, const Grid& grid, float longest, float step) {
  float extreme = 0;
  for (int i = 0; i < kCount; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (extreme == 0) return 0;
  float best = 0, best_error = INFINITY;
  for (int k = -10; k <= 10; ++k) {
    const float inverse = -(longest + step * static_cast<float>(k)) / extreme;
    float qx = 0, q2 = 0;
    for (int i = 0; i < kCount; ++i) {
      const float q = grid(x[i] * inverse);
      qx += q * x[i];
      q2 += q * q;
    }
    if (!(q2 > 0)) continue;
    const float scale = qx / q2;
    const float error = GridError<kCount>(x, scale, grid);
    if (error < best_error) {
      best_error = error;
      best = scale;
    }
  }
  return best;
}

// The same for kBlocks runs of elements; returns the scale of largest magnitude.
template <int kBlocks, int kCount, typename Grid>
float FitScales(const float* x, const Grid& grid, float longest, float step, float* scales) {
  float extreme = 0;
  for (int i = 0; i < kBlocks; ++i) {
    scales[i] = FitScale<kCount>(x + i * kCount, grid, longest, step);
    if (std::fabs(scales[i]) > std::fabs(extreme)) extreme = scales[i];
  }
  return extreme;
}

// The scale as a multiple of d in [lo, hi]: rounded, or a neighbour where that is better.
template <int kCount, typename Grid>
float FitMultiple(const float* x, float scale, float d, float lo, float hi, const Grid& grid) {
  const float base = RoundClamped(scale / d, lo, hi);
  float best = base, best_error = INFINITY;
  for (int k = -1; k <= 1; ++k) {
    const float multiple = std::clamp(base + static_cast<float>(k), lo, hi);
    const float error = GridError<kCount>(x, d * multiple, grid);
    if (error < best_error) {
      best_error = error;
      best = multiple;
    }
  }
  return best;
}

}  // namespace mla
#endif  // MLA_TENSOR_SCALE_FIT_H_
