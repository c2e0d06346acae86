// Weighted sums of float rows that many rows of weights meet, in 16-bit fixed point like
// fixed_scores_simd.h.
//
// A token's unit is 1/16383 of its row's largest magnitude. A row's weights times those units are
// whole numbers, of which the largest is below 2^15 and their sum below 2^17, so that sums of
// products stay below 2^31. They follow what a row sees alone: tokens without weight, of another
// query of its chunk or outside its window, change nothing, unless one of them sends the tile to
// floats (IsUneven).
#ifndef MLA_KERNELS_ATTENTION_FIXED_SUMS_SIMD_H_
#define MLA_KERNELS_ATTENTION_FIXED_SUMS_SIMD_H_

#include <stdint.h>

#include "kernels/attention/fixed_query.h"
#include "kernels/attention/packed_scores_simd.h"
#include "kernels/attention/tile_kernels_simd.h"

namespace mla {
namespace {

// The units of a tile's tokens.
template <class V>
struct FixedUnits {
  template <class Reader>
  FixedUnits(Reader, const PackedRows& rows) : count(rows.count) {
    using Reg = typename V::Reg;
    const int32_t length = rows.format.length;
    for (int32_t t = 0; t < kTileTokens; t += 4) {
      Reg most[4], finite[4];
      MLA_UNROLLED for (int i = 0; i < 4; ++i) {
        most[i] = finite[i] = V::Zero();
        if (t + i >= count) continue;
        const uint8_t* row = rows.data + (t + i) * rows.format.stride;
        if (rows.ahead != nullptr) {
          PrefetchLines(rows.ahead + (t + i) * rows.format.stride, rows.format.stride);
        }
        for (int32_t e = 0; e < length; e += V::kLanes) {
          const Reg x =
              length - e < V::kLanes ? Reader::LoadFirst(row, e, length - e) : Reader::Load(row, e);
          most[i] = V::Max(most[i], V::Max(x, V::Mul(x, V::Set1(-1.0f))));
          finite[i] = V::MulAdd(x, V::Zero(), finite[i]);
        }
      }
      float largest[4], nothing[4];
      V::Largest4(most[0], most[1], most[2], most[3], largest);
      V::Sum4(finite[0], finite[1], finite[2], finite[3], false, nothing);
      for (int i = 0; i < 4; ++i) {
        constexpr float kMost = 16383.0f, kSmallest = 1e-30f;
        units[t + i] = largest[i] * (1.0f / kMost) + nothing[i];  // NaN where one is not finite
        inverses[t + i] = largest[i] > kSmallest ? kMost / largest[i] : 0.0f;
      }
    }
  }

  // A few tokens' units dwarf the others': the bits that are left beside those would be too few.
  // The first token of a text is such a one.
  bool IsUneven() const {
    constexpr float kMost = 8.0f;
    float largest = 0.0f, total = 0.0f;
    for (int32_t t = 0; t < count; ++t) {
      largest = units[t] > largest ? units[t] : largest;
      total += units[t];
    }
    return largest * static_cast<float>(count) > kMost * total;
  }

  const int32_t count;  // tokens
  alignas(64) float units[kTileTokens];
  alignas(64) float inverses[kTileTokens];  // zeros beyond the last token
};

// A row's weights of a tile.
struct FixedWeights {
  alignas(64) int16_t numbers[kTileTokens];
  float unit;
};

// Of kRows rows, four at most.
template <class V, int kRows>
inline void FixWeights(const float* weights, int64_t stride, const FixedUnits<V>& units,
                       FixedWeights* out) {
  using Reg = typename V::Reg;
  Reg totals[4], most[4];
  MLA_UNROLLED for (int m = 0; m < 4; ++m) totals[m] = most[m] = V::Zero();
  for (int32_t t = 0; t < units.count; t += V::kLanes) {
    const Reg unit = V::Load(units.units + t);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Reg weight = V::Mul(V::Load(weights + m * stride + t), unit);
      totals[m] = V::Add(totals[m], weight);
      most[m] = V::Max(most[m], weight);
    }
  }
  float sums[4], largest[4];
  V::Sum4(totals[0], totals[1], totals[2], totals[3], false, sums);
  V::Largest4(most[0], most[1], most[2], most[3], largest);
  Reg by[kRows];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    // Of the sum less the halves that rounding may add.
    constexpr float kMost = 32767.0f, kMostSum = (1 << 17) - kTileTokens, kSmallest = 1e-30f;
    const float by_sum = sums[m] * (kMost / kMostSum);
    const float bound = largest[m] > by_sum ? largest[m] : by_sum;
    by[m] = V::Set1(bound > kSmallest ? kMost / bound : 0.0f);
    out[m].unit = bound * (1.0f / kMost) + 0.0f * sums[m];  // NaN where one is not finite
  }
  for (int32_t t = 0; t < units.count; t += V::kLanes) {
    const Reg unit = V::Load(units.units + t);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Reg weight = V::Mul(V::Load(weights + m * stride + t), unit);
      V::StoreShorts(V::Mul(weight, by[m]), out[m].numbers + t);
    }
  }
}

// A stretch of a tile's elements: pairs of neighbouring tokens, elements side by side.
template <class V>
struct FixedValues {
  alignas(64) int16_t pairs[kTileTokens / 2][kStretch][2];

  template <class Reader>
  FixedValues(Reader, const PackedRows& rows, const FixedUnits<V>& units, int32_t element,
              int32_t length) {
    for (int32_t t = 0; t < rows.count; t += 2) {
      const uint8_t* row = rows.data + t * rows.format.stride;
      const bool both = t + 1 < rows.count;
      const uint8_t* next = both ? row + rows.format.stride : row;
      const auto even = V::Set1(units.inverses[t]);
      const auto odd = V::Set1(both ? units.inverses[t + 1] : 0.0f);
      int32_t e = 0;
      for (; e + V::kLanes <= length; e += V::kLanes) {
        V::StoreWords(V::Interleave(V::Mul(Reader::Load(row, element + e), even),
                                    V::Mul(Reader::Load(next, element + e), odd)),
                      pairs[t / 2][e]);
      }
      if (e < length) {
        V::StoreWords(V::Interleave(V::Mul(Reader::LoadFirst(row, element + e, length - e), even),
                                    V::Mul(Reader::LoadFirst(next, element + e, length - e), odd)),
                      pairs[t / 2][e]);
      }
    }
  }
};

// kRows rows by kVectors vectors of a stretch's elements from `element` on, of which `left` are
// wanted.
template <class V, int kRows, int kVectors>
inline void SumFixedColumns(const FixedValues<V>& values, int32_t element, int32_t left,
                            int32_t count, const FixedWeights* weights, const Blend* blends,
                            float* out, int64_t out_stride) {
  using Reg = typename V::Reg;
  typename V::Sums sums[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) sums[m][v] = V::SetSums(0);
  }
  for (int32_t pair = 0; 2 * pair < count; ++pair) {
    typename V::Int value[kVectors];
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      value[v] = V::LoadInts(
          reinterpret_cast<const uint8_t*>(values.pairs[pair][element + v * V::kLanes]));
    }
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const auto word =
          V::BroadcastInt(reinterpret_cast<const uint8_t*>(weights[m].numbers + 2 * pair));
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        sums[m][v] = V::PairAdd(sums[m][v], value[v], word, 0);
      }
    }
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    const Reg scale = V::Set1(blends[m].tile * weights[m].unit);
    const Reg before = V::Set1(blends[m].before);
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      float* to = out + m * out_stride + v * V::kLanes;
      const int32_t some = left - v * V::kLanes;
      const Reg added = V::Mul(scale, V::ToFloat(sums[m][v]));
      if (some >= V::kLanes) {
        V::Store(V::MulAdd(V::Load(to), before, added), to);
      } else {
        V::StoreFirst(V::MulAdd(V::LoadFirst(to, some), before, added), to, some);
      }
    }
  }
}

template <class V>
void AccumulateFixed(const PackedRows& rows, const float* weights, int64_t weights_stride,
                     const Blend* blends, int32_t n, float* out, int64_t out_stride) {
  constexpr int32_t kTogether = 256;  // rows of weights that a stretch serves
  WithReader<V>(rows.format, [&](auto reader) {
    const FixedUnits<V> units(reader, rows);
    if (units.IsUneven()) {
      AccumulateFloats<V>(rows, weights, weights_stride, blends, n, out, out_stride);
      return;
    }
    for (int32_t begin = 0; begin < n; begin += kTogether) {
      const int32_t some = n - begin < kTogether ? n - begin : kTogether;
      FixedWeights numbers[kTogether];
      InRowBlocks<4>(some, [&](int32_t first, auto block) {
        FixWeights<V, decltype(block)::value>(weights + (begin + first) * weights_stride,
                                              weights_stride, units, numbers + first);
      });
      for (int32_t element = 0; element < rows.format.length; element += kStretch) {
        const int32_t left = rows.format.length - element;
        const int32_t length = left < kStretch ? left : kStretch;
        const FixedValues<V> values(reader, rows, units, element, length);
        InRowBlocks<V::kSumRows>(some, [&](int32_t first, auto block) {
          constexpr int kRows = decltype(block)::value;
          float* to = out + (begin + first) * out_stride + element;
          const auto columns = [&](int32_t e, auto vectors) {
            SumFixedColumns<V, kRows, decltype(vectors)::value>(
                values, e, length - e, rows.count, numbers + first, blends + begin + first, to + e,
                out_stride);
          };
          constexpr int32_t kWide = V::kSumVectors * V::kLanes;
          int32_t e = 0;
          for (; e + kWide <= length; e += kWide) columns(e, Constant<V::kSumVectors>());
          for (; e < length; e += V::kLanes) columns(e, Constant<1>());
        });
      }
    }
  });
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_FIXED_SUMS_SIMD_H_
