// Weights of a tile's tokens as whole numbers of units, by which sums of packed rows are taken, for
// packed_sums_simd.h.
//
// A weight of 8 bits is floor(weight * scale / unit + dither), the unit 1/255 of the row's largest
// weight * scale, and the dither running through (0, 1) from token to token (Roberts, Picture
// coding using pseudo-random noise, 1962): a great many tokens of little weight each thus keep
// their share, of which rounding would leave nothing. A unit of the largest scale alone needs no
// measuring, but in 15 bits it was up to eight times coarser, which a session's rewind showed, and
// in 8 showed in tests.
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
  void Read(const PackedRows& rows, int32_t index) {
    count = rows.count;
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

  // What a step of weights is of which the largest is given: NaN where a scale is not finite.
  float Unit(float largest_weight) const {
    return largest_weight * (1.0f / kMostWeight<kBytes>)+0.0f * total;
  }
  // Such steps in 1.
  static float UnitsIn(float largest_weight) {
    return kMostWeight<kBytes> / (largest_weight > 1e-30f ? largest_weight : 1e-30f);
  }

  int32_t count;  // tokens
  alignas(64) float scales[kTileTokens];
  alignas(64) float middles[kHasMinimum<kFields> ? kTileTokens : 1];
  float largest, total;  // of the scales
};

// What a row's sums of a group are made of.
struct GroupWeights {
  alignas(64) uint8_t rounded[2 * kTileTokens];  // weight * scale in units, step by step
  int32_t total;  // of bytes that the sums' start needs (kMiddleInDots)
  float unit;
  float units_in_one;
  float middle;  // sum of weight * middle
};

// Units of kRows rows, four at most: of their largest weight * scale.
template <class V, int kRows, class Numbers>
inline void MeasureFourRows(const float* weights, int64_t stride, const Numbers& numbers,
                            GroupWeights* out) {
  typename V::Reg most[4];
  MLA_UNROLLED for (int m = 0; m < 4; ++m) most[m] = V::Zero();
  for (int32_t t = 0; t < numbers.count; t += V::kLanes) {
    const typename V::Reg scale = V::Load(numbers.scales + t);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      most[m] = V::Max(most[m], V::Mul(V::Load(weights + m * stride + t), scale));
    }
  }
  alignas(16) float largest[4];
  V::Largest4(most[0], most[1], most[2], most[3], largest);
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    out[m].units_in_one = numbers.UnitsIn(largest[m]);
    out[m].unit = numbers.Unit(largest[m]);
  }
}

// Weights of kRows rows, four at most, in the units that were measured, and their sums of weight *
// middle.
template <class V, int kFields, bool kBytes, int kRows>
inline void RoundFourRows(const float* weights, int64_t stride,
                          const GroupNumbers<V, kFields, kBytes>& numbers, GroupWeights* out) {
  using Reg = typename V::Reg;
  Reg middles[4];
  [[maybe_unused]] typename V::Int totals[4];
  MLA_UNROLLED for (int m = 0; m < 4; ++m) {
    middles[m] = V::Zero();
    totals[m] = V::SetInt(0);
  }
  // A vector's numbers, read once for all rows: what is stored meanwhile is bytes, which to a
  // compiler could be these.
  struct Column {
    Reg scale, middle, dither;
  };
  const auto column = [&](int32_t t) {
    return Column{V::Load(numbers.scales + t),
                  kHasMinimum<kFields> ? V::Load(numbers.middles + t) : V::Zero(),
                  kBytes ? V::Load(kDither + t) : V::Zero()};
  };
  const auto product = [&](int m, int32_t t, const Column& at) {
    const Reg weight = V::Load(weights + m * stride + t);
    if constexpr (kHasMinimum<kFields>) middles[m] = V::MulAdd(weight, at.middle, middles[m]);
    return V::Mul(weight, at.scale);
  };
  const auto bytes = [&](int m, int32_t t, const Column& at) {
    const auto rounded =
        V::Truncate(V::MulAdd(product(m, t, at), V::Set1(out[m].units_in_one), at.dither));
    if constexpr (!V::kMixedDots) totals[m] = V::AddInts(totals[m], rounded);
    return rounded;
  };
  const int32_t count = numbers.count;
  int32_t t = 0;
  if constexpr (kBytes) {
    for (; t + 4 * V::kLanes <= count; t += 4 * V::kLanes) {
      constexpr int32_t kNext = V::kLanes;
      const Column columns[4] = {column(t), column(t + kNext), column(t + 2 * kNext),
                                 column(t + 3 * kNext)};
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
        // In this order, as of a tile's end.
        const auto a = bytes(m, t, columns[0]), b = bytes(m, t + kNext, columns[1]);
        const auto c = bytes(m, t + 2 * kNext, columns[2]);
        const auto d = bytes(m, t + 3 * kNext, columns[3]);
        V::Store4Bytes(a, b, c, d, out[m].rounded + t);
      }
    }
  }
  for (; t < count; t += V::kLanes) {
    const Column at = column(t);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      if constexpr (kBytes) {
        V::StoreBytes(bytes(m, t, at), out[m].rounded + t);
      } else {
        V::StoreShorts(V::Mul(product(m, t, at), V::Set1(out[m].units_in_one)),
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

// call(first row, Constant<rows>()) over kRows rows, four at most and equally many at a time.
template <int kRows, int kFirst = 0, class Call>
inline void ForEachFourRows(const Call& call) {
  constexpr int kBlocks = (kRows + 3) / 4, kSome = kRows / kBlocks;
  call(kFirst, Constant<kSome>());
  if constexpr (kBlocks > 1) ForEachFourRows<kRows - kSome, kFirst + kSome>(call);
}

// Of kRows rows. Units follow what each sees alone: tokens without weight, of another query of its
// chunk or outside its window, change nothing. All are measured before any is rounded, which would
// wait for it.
template <class V, int kRows, class Numbers>
inline void MeasureWeights(const float* weights, int64_t stride, const Numbers& numbers,
                           GroupWeights* out) {
  ForEachFourRows<kRows>([&](int first, auto some) {
    MeasureFourRows<V, decltype(some)::value>(weights + first * stride, stride, numbers,
                                              out + first);
  });
}

template <class V, int kFields, bool kBytes, int kRows>
inline void RoundWeights(const float* weights, int64_t stride,
                         const GroupNumbers<V, kFields, kBytes>& numbers, GroupWeights* out) {
  ForEachFourRows<kRows>([&](int first, auto some) {
    RoundFourRows<V, kFields, kBytes, decltype(some)::value>(weights + first * stride, stride,
                                                             numbers, out + first);
  });
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_WEIGHTS_SIMD_H_
