// Weighted sums of packed rows, written once over a vector type V (packed_scores_simd.h).
//
// A group of the tile's elements is expanded once to whole numbers, in strips of 16 elements, and
// used by all rows of weights. Steps of a few tokens side by side make 32-bit lanes, one an
// element: pairs of tokens in 16 bits, which meet weights of 15 bits, or, of int4 and int2, four
// tokens in bytes (kBytes), which meet weights of 8 bits in less than half of the time.
//
// A weight of 8 bits is floor(weight * scale / unit + dither), the dither running through (0, 1)
// from token to token (Roberts, Picture coding using pseudo-random noise, 1962): a great many
// tokens of little weight each thus keep their share, of which rounding would leave nothing. What
// remains of the error is far below that of the elements' own levels: on 4,096 tokens of text a
// conversion's KL divergence from its f16 cache was 0.0054 with 8 bits and 0.0055 with 15.
#ifndef MLA_KERNELS_ATTENTION_PACKED_SUMS_SIMD_H_
#define MLA_KERNELS_ATTENTION_PACKED_SUMS_SIMD_H_

#include <stdint.h>

#include "kernels/attention/packed_scores_simd.h"
#include "kernels/attention/tile_kernels_simd.h"

namespace mla {
namespace {

inline constexpr int32_t kStripElements = 16;
inline constexpr int32_t kStepBytes = 64;  // of a strip

// Tokens of a step.
template <bool kBytes>
inline constexpr int32_t kStepTokens = kBytes ? 4 : 2;
template <bool kBytes>
inline constexpr int32_t kStripBytes = kTileTokens / kStepTokens<kBytes>* kStepBytes;

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

// Elements [16 strip, 16 strip + 16) of all tokens less the middle field or what is not left of it,
// step by step: [16][tokens of a step], or a pair of tokens as V::StorePairs has it.
template <class V, int kFields, bool kBytes>
inline void ExpandStrip(const PackedRows& rows, int32_t strip, uint8_t* steps) {
  const int32_t blocks = rows.format.blocks();
  const int32_t first = strip * (4 / kFields);
  for (int32_t t = 0; t < rows.count; t += V::kLanes) {
    typename V::Int quads[4];
    MLA_UNROLLED for (int b = 0; b < 4 / kFields; ++b) {
      const bool inside = first + b < blocks;
      const int64_t at = (first + b) * kBlockStride + t * kBlockBytes;
      const uint8_t* data = rows.data + at;
      if (inside && rows.ahead != nullptr) __builtin_prefetch(rows.ahead + at, 0, 2);
      const typename V::Int block = inside ? V::LoadInts(data) : V::SetInt(0);
      MLA_UNROLLED for (int f = 0; f < kFields; ++f) {
        quads[b * kFields + f] =
            V::template LessEachByte<kMiddleField<kFields> - kMiddleInDots<V, kFields, kBytes>>(
                V::template Field<kFields>(block, f));
      }
    }
    uint8_t* to = steps + t / kStepTokens<kBytes> * kStepBytes;
    if constexpr (kBytes) {
      V::StoreQuads(quads[0], quads[1], quads[2], quads[3], to);
    } else {
      V::StorePairs(quads[0], quads[1], quads[2], quads[3], reinterpret_cast<int16_t*>(to));
    }
  }
}

// A group's numbers of all tokens as floats: zero from `count` to the end of its vector.
template <class V>
inline void ExpandNumbers(const uint16_t* numbers, int32_t count, float* out) {
  const uint8_t* from = reinterpret_cast<const uint8_t*>(numbers);
  int32_t t = 0;
  for (; t + V::kLanes <= count; t += V::kLanes) V::Store(V::LoadHalf(from + 2 * t), out + t);
  if (t < count) V::Store(V::LoadHalfFirst(from + 2 * t, count - t), out + t);
}

// Zero, or NaN where there is one among the first `count` values and the rest of their last vector.
template <class V>
inline float NotFinite(const float* values, int32_t count) {
  typename V::Reg sum = V::Zero();
  for (int32_t t = 0; t < count; t += V::kLanes) {
    sum = V::MulAdd(V::Load(values + t), V::Zero(), sum);
  }
  return V::Sum(sum);
}

// What a row's sums of a group are made of.
struct GroupWeights {
  alignas(4) uint8_t rounded[2 * kTileTokens];  // weight * scale in units of `unit`, step by step
  int32_t total;  // of bytes that the sums' start needs (kMiddleInDots)
  float unit;
  float middle;  // sum of weight * middle
};

// The largest weight * scale of each of kRows rows, four at most, and their sums of weight *
// middle.
template <class V, bool kMiddles, int kRows>
inline void MeasureFourRows(const float* weights, int64_t weights_stride, const float* scales,
                            const float* middles, int32_t count, float (&largest)[4],
                            float (&sums)[4]) {
  using Reg = typename V::Reg;
  Reg most[4], middle_sums[4];
  MLA_UNROLLED for (int m = 0; m < 4; ++m) most[m] = middle_sums[m] = V::Zero();
  for (int32_t t = 0; t < count; t += V::kLanes) {
    const Reg scale = V::Load(scales + t);
    const Reg middle = kMiddles ? V::Load(middles + t) : V::Zero();
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Reg weight = V::Load(weights + m * weights_stride + t);
      most[m] = V::Max(most[m], V::Mul(weight, scale));
      if constexpr (kMiddles) middle_sums[m] = V::MulAdd(weight, middle, middle_sums[m]);
    }
  }
  V::Largest4(most[0], most[1], most[2], most[3], largest);
  V::Sum4(middle_sums[0], middle_sums[1], middle_sums[2], middle_sums[3], false, sums);
}

// A row's weight * scale in units of `unit`.
template <class V, bool kBytes>
inline void RoundWeights(const float* weights, const float* scales, float largest, int32_t count,
                         GroupWeights* out) {
  using Reg = typename V::Reg;
  out->unit = largest * (1.0f / kMostWeight<kBytes>);
  const Reg by = V::Set1(kMostWeight<kBytes> / (largest > 1e-30f ? largest : 1e-30f));
  const auto product = [&](int32_t t) { return V::Mul(V::Load(weights + t), V::Load(scales + t)); };
  int32_t t = 0;
  if constexpr (kBytes) {
    [[maybe_unused]] typename V::Int total = V::SetInt(0);
    const auto whole = [&](int32_t at) {
      const typename V::Int bytes = V::Truncate(V::MulAdd(product(at), by, V::Load(kDither + at)));
      if constexpr (!V::kMixedDots) total = V::AddInts(total, bytes);
      return bytes;
    };
    for (; t + 4 * V::kLanes <= count; t += 4 * V::kLanes) {
      V::Store4Bytes(whole(t), whole(t + V::kLanes), whole(t + 2 * V::kLanes),
                     whole(t + 3 * V::kLanes), out->rounded + t);
    }
    for (; t < count; t += V::kLanes) V::StoreBytes(whole(t), out->rounded + t);
    if constexpr (!V::kMixedDots) out->total = V::SumInts(total);
  } else {
    for (; t < count; t += V::kLanes) {
      V::StoreShorts(V::Mul(product(t), by), reinterpret_cast<int16_t*>(out->rounded) + t);
    }
  }
}

// Of kRows rows. Steps follow what each sees alone: tokens without weight, of another query of its
// chunk or outside its window, change nothing.
template <class V, bool kBytes, bool kMiddles, int kRows>
inline void PrepareWeights(const float* weights, int64_t weights_stride, const float* scales,
                           const float* middles, int32_t count, GroupWeights* out) {
  constexpr int kFour = kRows < 4 ? kRows : 4;
  float largest[4], sums[4];
  MeasureFourRows<V, kMiddles, kFour>(weights, weights_stride, scales, middles, count, largest,
                                      sums);
  MLA_UNROLLED for (int m = 0; m < kFour; ++m) {
    RoundWeights<V, kBytes>(weights + m * weights_stride, scales, largest[m], count, out + m);
    out[m].middle = sums[m];
  }
  if constexpr (kRows > 4) {
    PrepareWeights<V, kBytes, kMiddles, kRows - 4>(weights + 4 * weights_stride, weights_stride,
                                                   scales, middles, count, out + 4);
  }
}

// sums += steps [i, i + kSteps), whose words of weights are one load. kVectors of all strips.
template <class V, bool kBytes, int kRows, int kVectors, int kSteps>
[[gnu::always_inline]] inline void AddSteps(const uint8_t* steps, int32_t i,
                                            const GroupWeights* weights,
                                            typename V::Int (&sums)[kRows][kVectors]) {
  using Int = typename V::Int;
  constexpr int kStripVectors = kStripElements / V::kLanes;
  Int words[kRows];
  MLA_UNROLLED for (int w = 0; w < kSteps; ++w) {
    Int values[kVectors];
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      values[v] = V::LoadInts(steps + v / kStripVectors * kStripBytes<kBytes> +
                              (i + w) * kStepBytes + v % kStripVectors * 4 * V::kLanes);
    }
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      if (w == 0) {
        const uint8_t* from = weights[m].rounded + 4 * i;
        words[m] = kSteps == 1 ? V::BroadcastInt(from) : V::LoadInts(from);
      }
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        if constexpr (!kBytes) {
          sums[m][v] = V::PairAdd(sums[m][v], values[v], words[m], w);
        } else if constexpr (V::kMixedDots) {
          sums[m][v] = V::DotAdd(sums[m][v], words[m], values[v], w);
        } else {
          sums[m][v] = V::UnsignedDotAdd(sums[m][v], values[v], words[m], w);
        }
      }
    }
  }
}

// kRows rows by kStrips strips.
template <class V, int kFields, bool kBytes, int kRows, int kStrips>
inline void SumStrips(const uint8_t* steps, int32_t count, const GroupWeights* weights,
                      const float* carries, int32_t left, float* out, int64_t out_stride) {
  using Int = typename V::Int;
  using Reg = typename V::Reg;
  constexpr int kVectors = kStrips * kStripElements / V::kLanes;
  constexpr int kMiddle = kMiddleInDots<V, kFields, kBytes>;
  Int sums[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    const Int start = V::SetInt(kMiddle == 0 ? 0 : -kMiddle * weights[m].total);
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) sums[m][v] = start;
  }
  const int32_t step_count = (count + kStepTokens<kBytes> - 1) / kStepTokens<kBytes>;
  int32_t i = 0;
  for (; i + V::kWords <= step_count; i += V::kWords) {
    AddSteps<V, kBytes, kRows, kVectors, V::kWords>(steps, i, weights, sums);
  }
  if constexpr (V::kWords > 1) {
    for (; i < step_count; ++i) {
      AddSteps<V, kBytes, kRows, kVectors, 1>(steps, i, weights, sums);
    }
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    const Reg unit = V::Set1(weights[m].unit), middle = V::Set1(weights[m].middle);
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      const int32_t element = v * V::kLanes;
      float* to = out + m * out_stride + element;
      const Reg part = V::MulAdd(unit, V::ToFloat(sums[m][v]), middle);
      if (element + V::kLanes <= left) {
        V::Store(carries == nullptr ? part : V::MulAdd(V::Load(to), V::Set1(carries[m]), part), to);
      } else if (element < left) {
        const int32_t n = left - element;
        V::StoreFirst(
            carries == nullptr ? part : V::MulAdd(V::LoadFirst(to, n), V::Set1(carries[m]), part),
            to, n);
      }
    }
  }
}

// A group of the tile's elements, expanded.
template <class V, int kFields, bool kBytes>
struct Group {
  Group(const PackedRows& rows, int32_t index)
      : begin(index * rows.format.group),
        length(rows.format.length - begin < rows.format.group ? rows.format.length - begin
                                                              : rows.format.group),
        count(rows.count) {
    for (int32_t s = 0; s < strips(); ++s) {
      ExpandStrip<V, kFields, kBytes>(rows, begin / kStripElements + s,
                                      steps + s * kStripBytes<kBytes>);
    }
    const uint16_t* numbers =
        rows.scales + int64_t{index} * rows.format.scales_per_group * kPageTokens;
    if (rows.ahead != nullptr) {
      const int64_t at = reinterpret_cast<const uint8_t*>(numbers) - rows.data;
      PrefetchLines(rows.ahead + at, rows.format.scales_per_group * kPageTokens * 2);
    }
    ExpandNumbers<V>(numbers, count, scales);
    if constexpr (kHasMinimum<kFields>) {
      ExpandNumbers<V>(numbers + kPageTokens, count, middles);
      for (int32_t t = 0; t < count; t += V::kLanes) {
        V::Store(
            V::MulAdd(V::Load(scales + t), V::Set1(kMiddleField<kFields>), V::Load(middles + t)),
            middles + t);
      }
    }
  }

  int32_t strips() const { return (length + kStripElements - 1) / kStripElements; }

  // Element e of token t of a step.
  static float Element(const uint8_t* step, int32_t t, int32_t e) {
    if constexpr (kBytes) {
      const int32_t value = static_cast<int8_t>(step[kStepTokens<true> * e + t]);
      return static_cast<float>(value - kMiddleInDots<V, kFields, true>);
    }
    return static_cast<float>(reinterpret_cast<const int16_t*>(step)[V::PlaceInPair(t, e)]);
  }

  void Decode(float* out, int64_t out_stride) const {
    for (int32_t t = 0; t < count; ++t) {
      const float middle = kHasMinimum<kFields> ? middles[t] : 0.0f;
      for (int32_t s = 0; s < strips(); ++s) {
        const int32_t left = length - s * kStripElements;
        const uint8_t* from =
            steps + s * kStripBytes<kBytes> + t / kStepTokens<kBytes> * kStepBytes;
        float* to = out + t * out_stride + s * kStripElements;
        for (int32_t e = 0; e < (left < kStripElements ? left : kStripElements); ++e) {
          to[e] = scales[t] * Element(from, t % kStepTokens<kBytes>, e) + middle;
        }
      }
    }
  }

  // A few tokens' scales dwarf the others': the bits that are left beside those would be too few.
  // The first token of a text is such a one.
  bool IsUneven() const {
    constexpr float kMost = 8.0f;
    typename V::Reg sum = V::Zero(), largest = V::Zero();
    for (int32_t t = 0; t < count; t += V::kLanes) {
      const typename V::Reg scale = V::Load(scales + t);
      sum = V::Add(sum, scale);
      largest = V::Max(largest, scale);
    }
    return V::Largest(largest) * static_cast<float>(count) > kMost * V::Sum(sum);
  }

  const int32_t begin;  // the first element
  const int32_t length;
  const int32_t count;  // tokens
  alignas(64) uint8_t steps[kMostGroup / kStripElements * kStripBytes<kBytes>];
  alignas(64) float scales[kTileTokens];
  alignas(64) float middles[kHasMinimum<kFields> ? kTileTokens : 1];
};

// The sums of a group in floats.
template <class V, int kFields, bool kBytes>
void AccumulateUneven(const Group<V, kFields, kBytes>& group, const float* weights,
                      int64_t weights_stride, const float* carries, int32_t n, float* out,
                      int64_t out_stride) {
  alignas(64) float values[kTileTokens * kMostGroup];
  group.Decode(values, kMostGroup);
  const RowFormat format{CacheType::kF32, group.length, 0, 0, 4 * kMostGroup};
  AccumulateFloats<V>({format, reinterpret_cast<const uint8_t*>(values), nullptr, group.count},
                      weights, weights_stride, carries, n, out, out_stride);
}

// Groups outside: a group of the tile is expanded once for all rows.
template <class V, int kFields, bool kBytes>
void AccumulateFields(const PackedRows& rows, const float* weights, int64_t weights_stride,
                      const float* carries, int32_t n, float* out, int64_t out_stride) {
  for (int32_t g = 0; g < rows.format.groups(); ++g) {
    const Group<V, kFields, kBytes> tile(rows, g);
    if (tile.IsUneven()) {
      AccumulateUneven<V, kFields, kBytes>(tile, weights, weights_stride, carries, n,
                                           out + tile.begin, out_stride);
      continue;
    }
    const float not_finite = NotFinite<V>(tile.scales, rows.count);
    InRowBlocks<V::kPackedRows>(n, [&](int32_t first, auto block) {
      constexpr int kRows = decltype(block)::value;
      GroupWeights group[kRows];
      PrepareWeights<V, kBytes, kHasMinimum<kFields>, kRows>(weights + first * weights_stride,
                                                             weights_stride, tile.scales,
                                                             tile.middles, rows.count, group);
      for (int m = 0; m < kRows; ++m) group[m].unit += not_finite;
      const float* block_carries = carries == nullptr ? nullptr : carries + first;
      float* to = out + first * out_stride + tile.begin;
      constexpr int kVectors = kStripElements / V::kLanes;
      constexpr int kStrips = 2 * kRows * kVectors <= V::kPackedSums ? 2 : 1;
      int32_t s = 0;
      for (; s + kStrips <= tile.strips(); s += kStrips) {
        SumStrips<V, kFields, kBytes, kRows, kStrips>(
            tile.steps + s * kStripBytes<kBytes>, rows.count, group, block_carries,
            tile.length - s * kStripElements, to + s * kStripElements, out_stride);
      }
      if constexpr (kStrips > 1) {
        if (s < tile.strips()) {
          SumStrips<V, kFields, kBytes, kRows, 1>(
              tile.steps + s * kStripBytes<kBytes>, rows.count, group, block_carries,
              tile.length - s * kStripElements, to + s * kStripElements, out_stride);
        }
      }
    });
  }
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_SUMS_SIMD_H_
