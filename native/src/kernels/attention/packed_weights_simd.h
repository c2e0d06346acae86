// Weights of a tile's tokens as whole numbers of units, by which sums of packed rows are taken, for
// packed_sums_simd.h.
//
// A weight of 8 bits is floor(weight * scale / unit + dither), the unit 1/255 of the group's
// largest scale, since weights are at most 1, and the dither running through (0, 1) from token to
// token (Roberts, Picture coding using pseudo-random noise, 1962): a great many tokens of little
// weight each thus keep their share, of which rounding would leave nothing.
#ifndef MLA_KERNELS_ATTENTION_PACKED_WEIGHTS_SIMD_H_
#define MLA_KERNELS_ATTENTION_PACKED_WEIGHTS_SIMD_H_

#include <stdint.h>

#include "kernels/attention/packed_scores_simd.h"
#include "kernels/attention/tile_kernels_simd.h"

namespace mla {
namespace {

template <bool kBytes>
inline constexpr float kMostWeight = kBytes ? 255.0f : 32767.0f;

// (2 i + 1) / 128, i counted with its six bits reversed: any few neighbours lie evenly in (0, 1).
alignas(64) inline constexpr float kDither[kTileTokens] = {
    1 / 128.0f,  65 / 128.0f,  33 / 128.0f, 97 / 128.0f,  17 / 128.0f, 81 / 128.0f,
    49 / 128.0f, 113 / 128.0f, 9 / 128.0f,  73 / 128.0f,  41 / 128.0f, 105 / 128.0f,
    25 / 128.0f, 89 / 128.0f,  57 / 128.0f, 121 / 128.0f, 5 / 128.0f,  69 / 128.0f,
    37 / 128.0f, 101 / 128.0f, 21 / 128.0f, 85 / 128.0f,  53 / 128.0f, 117 / 128.0f,
    13 / 128.0f, 77 / 128.0f,  45 / 128.0f, 109 / 128.0f, 29 / 128.0f, 93 / 128.0f,
    61 / 128.0f, 125 / 128.0f, 3 / 128.0f,  67 / 128.0f,  35 / 128.0f, 99 / 128.0f,
    19 / 128.0f, 83 / 128.0f,  51 / 128.0f, 115 / 128.0f, 11 / 128.0f, 75 / 128.0f,
    43 / 128.0f, 107 / 128.0f, 27 / 128.0f, 91 / 128.0f,  59 / 128.0f, 123 / 128.0f,
    7 / 128.0f,  71 / 128.0f,  39 / 128.0f, 103 / 128.0f, 23 / 128.0f, 87 / 128.0f,
    55 / 128.0f, 119 / 128.0f, 15 / 128.0f, 79 / 128.0f,  47 / 128.0f, 111 / 128.0f,
    31 / 128.0f, 95 / 128.0f,  63 / 128.0f, 127 / 128.0f,
};

// The field that elements are counted from in sums: the zero, or the middle of the levels, so that
// what is lost of a weight meets small numbers of both signs.
template <int kFields>
inline constexpr int kMiddleField = kFields == 1   ? 128
                                    : kFields == 2 ? 8
                                                   : 2;

// What of it is left to the sums' start: all, where bytes are multiplied by bytes of the same sign.
template <class V, int kFields, bool kBytes>
inline constexpr int kMiddleInDots = kBytes && !V::kMixedDots ? kMiddleField<kFields> : 0;

// A group's numbers of all tokens as floats: zero from `count` to the end of its vector.
template <class V>
inline void ExpandNumbers(const uint16_t* numbers, int32_t count, float* out) {
  const uint8_t* from = reinterpret_cast<const uint8_t*>(numbers);
  int32_t t = 0;
  for (; t + V::kLanes <= count; t += V::kLanes) V::Store(V::LoadHalf(from + 2 * t), out + t);
  if (t < count) V::Store(V::LoadHalfFirst(from + 2 * t, count - t), out + t);
}

// A group's scales of the tile's tokens, and what the middle field stands for: zeros from the last
// token to the end of its vector.
template <class V, int kFields, bool kBytes>
struct GroupNumbers {
  GroupNumbers(const PackedRows& rows, int32_t index) : count(rows.count) {
    const uint16_t* numbers =
        rows.scales + int64_t{index} * rows.format.scales_per_group * kPageTokens;
    if (rows.ahead != nullptr) {
      const int64_t at = reinterpret_cast<const uint8_t*>(numbers) - rows.data;
      PrefetchLines(rows.ahead + at, rows.format.scales_per_group * kPageTokens * 2);
    }
    ExpandNumbers<V>(numbers, count, scales);
    if constexpr (kHasMinimum<kFields>) ExpandNumbers<V>(numbers + kPageTokens, count, middles);
    typename V::Reg sum = V::Zero(), most = V::Zero();
    for (int32_t t = 0; t < count; t += V::kLanes) {
      const typename V::Reg scale = V::Load(scales + t);
      sum = V::Add(sum, scale);
      most = V::Max(most, scale);
      if constexpr (kHasMinimum<kFields>) {
        V::Store(V::MulAdd(scale, V::Set1(kMiddleField<kFields>), V::Load(middles + t)),
                 middles + t);
      }
    }
    largest = V::Largest(most);
    total = V::Sum(sum);
  }

  // A few tokens' scales dwarf the others': the bits that are left beside those would be too few.
  // The first token of a text is such a one.
  bool IsUneven() const {
    constexpr float kMost = 8.0f;
    return largest * static_cast<float>(count) > kMost * total;
  }

  // The largest scale of the tokens that a row sees: those with weight.
  float LargestSeen(const float* weights) const {
    typename V::Reg most = V::Zero();
    for (int32_t t = 0; t < count; t += V::kLanes) {
      most = V::Max(most, V::WherePositive(V::Load(weights + t), V::Load(scales + t)));
    }
    return V::Largest(most);
  }

  // What a step of weights is of which the largest is given: NaN where a scale is not finite.
  float Unit(float largest_weight) const {
    return largest_weight * (1.0f / kMostWeight<kBytes>)+0.0f * total;
  }
  // Such steps in 1.
  static float UnitsIn(float largest_weight) {
    return kMostWeight<kBytes> / (largest_weight > 1e-30f ? largest_weight : 1e-30f);
  }

  // Scales as multiples of that; zeros where all are.
  void InUnits(float largest_scale, float* out) const {
    const typename V::Reg by = V::Set1(UnitsIn(largest_scale));
    for (int32_t t = 0; t < count; t += V::kLanes) {
      V::Store(V::Mul(V::Load(scales + t), by), out + t);
    }
  }

  const int32_t count;  // tokens
  alignas(64) float scales[kTileTokens];
  alignas(64) float middles[kHasMinimum<kFields> ? kTileTokens : 1];
  float largest, total;  // of the scales
};

// What a row's sums of a group are made of.
struct GroupWeights {
  alignas(4) uint8_t rounded[2 * kTileTokens];  // weight * scale in units, step by step
  int32_t total;  // of bytes that the sums' start needs (kMiddleInDots)
  float unit;
  float middle;  // sum of weight * middle
};

// A vector of weights rounded, in 8 bits, with their dither.
template <class V>
inline typename V::Int RoundedBytes(typename V::Reg weights, const float* scales, int32_t token) {
  return V::Truncate(V::MulAdd(weights, V::Load(scales + token), V::Load(kDither + token)));
}

// Weights of kRows rows, four at most, rounded, and their sums of weight * middle. In 8 bits scales
// are in units; in 15 a row's weight * scale is multiplied by its `by`.
template <class V, int kFields, bool kBytes, int kRows>
inline void RoundFourRows(const float* weights, int64_t weights_stride,
                          const GroupNumbers<V, kFields, kBytes>& numbers, const float* scales,
                          [[maybe_unused]] const float* by, GroupWeights* out) {
  using Reg = typename V::Reg;
  Reg middles[4];
  [[maybe_unused]] typename V::Int totals[4];
  MLA_UNROLLED for (int m = 0; m < 4; ++m) {
    middles[m] = V::Zero();
    totals[m] = V::SetInt(0);
  }
  const auto take = [&](int m, int32_t t) {
    const Reg weight = V::Load(weights + m * weights_stride + t);
    if constexpr (kHasMinimum<kFields>) {
      middles[m] = V::MulAdd(weight, V::Load(numbers.middles + t), middles[m]);
    }
    return weight;
  };
  const auto bytes = [&](int m, int32_t t) {
    const typename V::Int rounded = RoundedBytes<V>(take(m, t), scales, t);
    if constexpr (!V::kMixedDots) totals[m] = V::AddInts(totals[m], rounded);
    return rounded;
  };
  const int32_t count = numbers.count;
  int32_t t = 0;
  if constexpr (kBytes) {
    for (; t + 4 * V::kLanes <= count; t += 4 * V::kLanes) {
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
        // In this order, as of a tile's end.
        const auto a = bytes(m, t), b = bytes(m, t + V::kLanes);
        const auto c = bytes(m, t + 2 * V::kLanes), d = bytes(m, t + 3 * V::kLanes);
        V::Store4Bytes(a, b, c, d, out[m].rounded + t);
      }
    }
  }
  for (; t < count; t += V::kLanes) {
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      if constexpr (kBytes) {
        V::StoreBytes(bytes(m, t), out[m].rounded + t);
      } else {
        V::StoreShorts(V::Mul(V::Mul(take(m, t), V::Load(scales + t)), V::Set1(by[m])),
                       reinterpret_cast<int16_t*>(out[m].rounded) + t);
      }
    }
  }
  float sums[4] = {};
  if constexpr (kHasMinimum<kFields>) {
    V::Sum4(middles[0], middles[1], middles[2], middles[3], false, sums);
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    out[m].middle = sums[m];
    if constexpr (kBytes && !V::kMixedDots) out[m].total = V::SumInts(totals[m]);
  }
}

// The largest weight * scale of kRows rows, four at most.
template <class V, int kFields, bool kBytes, int kRows>
inline void MeasureFourRows(const float* weights, int64_t weights_stride,
                            const GroupNumbers<V, kFields, kBytes>& numbers, float (&largest)[4]) {
  typename V::Reg most[4];
  MLA_UNROLLED for (int m = 0; m < 4; ++m) most[m] = V::Zero();
  for (int32_t t = 0; t < numbers.count; t += V::kLanes) {
    const typename V::Reg scale = V::Load(numbers.scales + t);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      most[m] = V::Max(most[m], V::Mul(V::Load(weights + m * weights_stride + t), scale));
    }
  }
  V::Largest4(most[0], most[1], most[2], most[3], largest);
}

// call(first row, Constant<rows>()) over kRows rows, four at most and equally many at a time.
template <int kRows, int kFirst = 0, class Call>
inline void ForEachFourRows(const Call& call) {
  constexpr int kBlocks = (kRows + 3) / 4, kSome = kRows / kBlocks;
  call(kFirst, Constant<kSome>());
  if constexpr (kBlocks > 1) ForEachFourRows<kRows - kSome, kFirst + kSome>(call);
}

// Of kRows rows. Steps follow what each sees alone: tokens without weight, of another query of its
// chunk or outside its window, change nothing. In 8 bits the unit is of the largest scale, which
// all rows of a whole tile share; in 15, whose place is where precision counts, of the largest
// weight * scale.
template <class V, int kFields, bool kBytes, int kRows>
inline void RoundWeights(const float* weights, int64_t stride, bool whole,
                         const GroupNumbers<V, kFields, kBytes>& numbers, GroupWeights* out) {
  if constexpr (!kBytes) {
    ForEachFourRows<kRows>([&](int first, auto some) {
      constexpr int kSome = decltype(some)::value;
      const float* from = weights + first * stride;
      float largest[4], by[4];
      MeasureFourRows<V, kFields, kBytes, kSome>(from, stride, numbers, largest);
      for (int m = 0; m < kSome; ++m) {
        by[m] = numbers.UnitsIn(largest[m]);
        out[first + m].unit = numbers.Unit(largest[m]);
      }
      RoundFourRows<V, kFields, kBytes, kSome>(from, stride, numbers, numbers.scales, by,
                                               out + first);
    });
    return;
  }
  alignas(64) float scales[kTileTokens];
  if (whole) {
    numbers.InUnits(numbers.largest, scales);
    for (int m = 0; m < kRows; ++m) out[m].unit = numbers.Unit(numbers.largest);
    ForEachFourRows<kRows>([&](int first, auto some) {
      RoundFourRows<V, kFields, kBytes, decltype(some)::value>(
          weights + first * stride, stride, numbers, scales, nullptr, out + first);
    });
    return;
  }
  for (int m = 0; m < kRows; ++m) {
    const float* row = weights + m * stride;
    const float largest = numbers.LargestSeen(row);
    numbers.InUnits(largest, scales);
    out[m].unit = numbers.Unit(largest);
    RoundFourRows<V, kFields, kBytes, 1>(row, stride, numbers, scales, nullptr, out + m);
  }
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_WEIGHTS_SIMD_H_
