// The tile kernels of packed rows, written once over a vector type V like those of
// tile_kernels_simd.h. V::Int is kLanes 32-bit integers, the 4 bytes of as many neighbouring
// tokens' shares of a block.
#ifndef MLA_KERNELS_ATTENTION_PACKED_KERNELS_SIMD_H_
#define MLA_KERNELS_ATTENTION_PACKED_KERNELS_SIMD_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/attention/packed_query.h"
#include "kernels/attention/tile_kernels_simd.h"

namespace mla {
namespace {

static_assert(kTileTokens == kPageTokens);

// Whether elements are counted from a group's minimum on; else from the zero field.
template <int kFields>
inline constexpr bool kHasMinimum = kFields > 1;

template <class Call>
inline void WithFields(const RowFormat& format, const Call& call) {
  if (format.type == CacheType::kInt8) {
    call(Constant<1>());
  } else if (format.type == CacheType::kInt4) {
    call(Constant<2>());
  } else {
    call(Constant<4>());
  }
}

// --- queries ---

// Of one group of n elements: `padded` digits, their scale and sums.
template <class V, int kDigits>
inline void QuantizeQueryGroup(const float* query, int32_t n, int32_t padded, int32_t zero_field,
                               int32_t* zeros, float* scale, float* sum, int8_t* bytes) {
  constexpr float kMost = kDigits == 2 ? 4095.0f : 127.0f;
  typename V::Reg most = V::Zero(), finite = V::Zero();
  alignas(64) float values[kMostGroup] = {};
  int32_t i = 0;
  auto take = [&](typename V::Reg x) {
    most = V::Max(most, V::Max(x, V::Mul(x, V::Set1(-1.0f))));
    finite = V::MulAdd(x, V::Zero(), finite);
    V::Store(x, values + i);
  };
  for (; i + V::kLanes <= n; i += V::kLanes) take(V::Load(query + i));
  if (i < n) take(V::LoadFirst(query + i, n - i));
  const float largest = V::Largest(most);
  const typename V::Reg inverse = V::Set1(largest > 0.0f ? kMost / largest : 0.0f);
  alignas(64) int16_t digits[kMostGroup] = {};
  for (i = 0; i < padded; i += V::kLanes) {
    V::StoreShorts(V::Mul(V::Load(values + i), inverse), digits + i);
  }
  int32_t total = 0;
  for (i = 0; i < padded; ++i) total += digits[i];
  *scale = largest / kMost + V::Sum(finite);  // NaN where an element is not finite
  *sum = *scale * static_cast<float>(total);
  if constexpr (kDigits == 1) {
    for (i = 0; i < padded; ++i) bytes[i] = static_cast<int8_t>(digits[i]);
    zeros[0] = -zero_field * total;
  } else {
    int32_t high_total = 0;
    for (i = 0; i < padded; ++i) {
      const int16_t high = static_cast<int16_t>(digits[i] >> 6);
      high_total += high;
      bytes[i] = static_cast<int8_t>(high);
      bytes[padded + i] = static_cast<int8_t>(digits[i] & 63);
    }
    zeros[0] = -zero_field * high_total;
    zeros[1] = -zero_field * (total - 64 * high_total);
  }
}

template <class V, int kDigits>
inline void QuantizeQueryDigits(const RowFormat& format, const float* query, uint8_t* out) {
  const PackedQuery places(format);
  const int32_t zero_field = ZeroField(format.type);
  const int32_t elements = format.blocks() * format.block_elements();
  int32_t* zeros = reinterpret_cast<int32_t*>(out);
  float* scales = reinterpret_cast<float*>(out + places.scales);
  float* sums = reinterpret_cast<float*>(out + places.sums);
  int8_t* bytes = reinterpret_cast<int8_t*>(out + places.bytes);
  for (int32_t begin = 0; begin < format.length; begin += format.group) {
    const int32_t left = format.length - begin, room = elements - begin;
    const int32_t n = left < format.group ? left : format.group;
    const int32_t padded = room < format.group ? room : format.group;
    QuantizeQueryGroup<V, kDigits>(query + begin, n, padded, zero_field, zeros, scales++, sums++,
                                   bytes);
    zeros += kDigits;
    bytes += kDigits * padded;
  }
}

template <class V>
void QuantizeQuery(const RowFormat& format, const float* query, uint8_t* out) {
  WithFields(format, [&](auto fields) {
    QuantizeQueryDigits<V, QueryDigits(decltype(fields)::value)>(format, query, out);
  });
}

// --- scores: kRows queries by kVectors vectors of tokens ---

template <class V, int kFields, int kRows, int kVectors>
inline void ScorePackedBlock(const PackedRows& rows, const PackedQuery& places, int32_t token,
                             const uint8_t* queries, int64_t query_stride, bool add, float* scores,
                             int64_t scores_stride) {
  using Reg = typename V::Reg;
  using Int = typename V::Int;
  constexpr int kDigits = QueryDigits(kFields);
  const RowFormat& format = rows.format;
  const int32_t group_blocks = format.group / (4 * kFields);
  const int32_t blocks = format.blocks();
  const uint8_t* numbers = reinterpret_cast<const uint8_t*>(rows.scales + token);
  Reg sums[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) sums[m][v] = V::Zero();
  }
  int32_t b = 0;
  for (int32_t g = 0; b < blocks; ++g) {
    Int dots[kRows][kVectors][kDigits];
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const int32_t* zeros = reinterpret_cast<const int32_t*>(queries + m * query_stride);
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        MLA_UNROLLED for (int d = 0; d < kDigits; ++d) {
          dots[m][v][d] = V::SetInt(zeros[g * kDigits + d]);
        }
      }
    }
    const int32_t end = b + group_blocks < blocks ? b + group_blocks : blocks;
    const int32_t digit_bytes = (end - b) * (4 * kFields);
    const uint8_t* bytes = queries + places.bytes + b * (4 * kFields * kDigits);
    for (; b < end; ++b, bytes += 4 * kFields) {
      const uint8_t* data = rows.data + b * kBlockStride + token * kBlockBytes;
      Int block[kVectors];
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        block[v] = V::LoadInts(data + v * V::kLanes * kBlockBytes);
      }
      MLA_UNROLLED for (int f = 0; f < kFields; ++f) {
        Int field[kVectors];
        MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
          field[v] = V::template Field<kFields>(block[v], f);
        }
        MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
          MLA_UNROLLED for (int d = 0; d < kDigits; ++d) {
            const Int digits = V::BroadcastInt(bytes + m * query_stride + d * digit_bytes + f * 4);
            MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
              dots[m][v][d] = V::DotAdd(dots[m][v][d], field[v], digits);
            }
          }
        }
      }
    }
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      const uint8_t* at = numbers + v * V::kLanes * 2;
      const Reg scale = V::LoadHalf(at);
      Reg minimum = V::Zero();
      if constexpr (kHasMinimum<kFields>) minimum = V::LoadHalf(at + kPageTokens * 2);
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
        const uint8_t* query = queries + m * query_stride;
        Int dot = dots[m][v][0];
        if constexpr (kDigits == 2) dot = V::TwoDigits(dot, dots[m][v][1]);
        const Reg unit =
            V::Mul(scale, V::Set1(reinterpret_cast<const float*>(query + places.scales)[g]));
        sums[m][v] = V::MulAdd(unit, V::ToFloat(dot), sums[m][v]);
        if constexpr (kHasMinimum<kFields>) {
          const float sum = reinterpret_cast<const float*>(query + places.sums)[g];
          sums[m][v] = V::MulAdd(minimum, V::Set1(sum), sums[m][v]);
        }
      }
    }
    numbers += (kHasMinimum<kFields> ? 2 : 1) * kPageTokens * 2;
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      float* to = scores + m * scores_stride + token + v * V::kLanes;
      V::Store(add ? V::Add(V::Load(to), sums[m][v]) : sums[m][v], to);
    }
  }
}

template <class V>
void ScorePacked(const PackedRows& rows, const uint8_t* queries, int64_t query_stride, int32_t n,
                 bool add, float* scores, int64_t scores_stride) {
  const PackedQuery places(rows.format);
  WithFields(rows.format, [&](auto fields) {
    constexpr int kFields = decltype(fields)::value;
    constexpr int kMostRows = V::kDots / QueryDigits(kFields);
    InRowBlocks<kMostRows>(n, [&](int32_t first, auto block) {
      constexpr int kRows = decltype(block)::value;
      // Few rows take more tokens, so that as many sums are under way.
      constexpr int kRoom = kMostRows / kRows;
      constexpr int kVectors = kRoom >= 4 ? 4 : kRoom >= 2 ? 2 : 1;
      static_assert(kTileTokens % (kVectors * V::kLanes) == 0);
      for (int32_t t = 0; t < rows.count; t += kVectors * V::kLanes) {
        ScorePackedBlock<V, kFields, kRows, kVectors>(
            rows, places, t, queries + first * query_stride, query_stride, add,
            scores + first * scores_stride, scores_stride);
      }
    });
  });
}

// --- weighted sums: strips of 16 elements of the tile, expanded once to pairs of tokens, by rows
// of weights rounded to 15 bits ---

inline constexpr int32_t kStripElements = 16;
inline constexpr int32_t kStripShorts = kTileTokens * kStripElements;

// Elements [16 strip, 16 strip + 16) of all tokens less the zero field, [tokens / 2][16][2].
template <class V, int kFields>
inline void ExpandStrip(const PackedRows& rows, int32_t strip, int16_t* pairs) {
  constexpr int kZeroField = kHasMinimum<kFields> ? 0 : 128;
  const int32_t blocks = rows.format.blocks();
  const int32_t first = strip * (4 / kFields);
  for (int32_t t = 0; t < rows.count; t += V::kLanes, pairs += V::kLanes * kStripElements) {
    typename V::Int quads[4];
    MLA_UNROLLED for (int b = 0; b < 4 / kFields; ++b) {
      const bool inside = first + b < blocks;
      const uint8_t* data = rows.data + (first + b) * kBlockStride + t * kBlockBytes;
      const typename V::Int block = inside ? V::LoadInts(data) : V::SetInt(0);
      MLA_UNROLLED for (int f = 0; f < kFields; ++f) {
        quads[b * kFields + f] =
            V::template LessEachByte<kZeroField>(V::template Field<kFields>(block, f));
      }
    }
    V::StorePairs(quads[0], quads[1], quads[2], quads[3], pairs);
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

// The following read the first `count` values and the rest of their last vector.

template <class V>
inline float LargestMagnitude(const float* values, int32_t count) {
  typename V::Reg largest = V::Zero();
  for (int32_t t = 0; t < count; t += V::kLanes) {
    const typename V::Reg x = V::Load(values + t);
    largest = V::Max(largest, V::Max(x, V::Mul(x, V::Set1(-1.0f))));
  }
  return V::Largest(largest);
}

// Zero, or NaN where there is one among the values.
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
  int16_t rounded[kTileTokens];  // weight * scale in units of `unit`
  float unit;
  float minimum;  // sum of weight * minimum
};

// The rows' sums of weight * minimum.
template <class V, int kRows>
inline void DotTiles(const float* weights, int64_t weights_stride, const float* minima,
                     int32_t count, GroupWeights* out) {
  constexpr int kPadded = (kRows + 3) / 4 * 4;
  typename V::Reg sums[kPadded];
  MLA_UNROLLED for (int m = 0; m < kPadded; ++m) sums[m] = V::Zero();
  for (int32_t t = 0; t < count; t += V::kLanes) {
    const typename V::Reg minimum = V::Load(minima + t);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      sums[m] = V::MulAdd(V::Load(weights + m * weights_stride + t), minimum, sums[m]);
    }
  }
  float totals[kPadded];
  MLA_UNROLLED for (int m = 0; m < kPadded; m += 4) {
    V::Sum4(sums[m], sums[m + 1], sums[m + 2], sums[m + 3], false, totals + m);
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) out[m].minimum = totals[m];
}

// kRows rows by kStrips strips.
template <class V, int kRows, int kStrips>
inline void SumStrips(const int16_t* pairs, int32_t count, const GroupWeights* weights,
                      const float* carries, int32_t left, float* out, int64_t out_stride) {
  using Int = typename V::Int;
  using Reg = typename V::Reg;
  constexpr int kVectors = kStripElements / V::kLanes;
  Int sums[kRows][kStrips][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int s = 0; s < kStrips; ++s) {
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) sums[m][s][v] = V::SetInt(0);
    }
  }
  for (int32_t t = 0; t < count; t += 2) {
    Int values[kStrips][kVectors];
    MLA_UNROLLED for (int s = 0; s < kStrips; ++s) {
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        values[s][v] = V::LoadInts(reinterpret_cast<const uint8_t*>(
            pairs + s * kStripShorts + t * kStripElements + v * 2 * V::kLanes));
      }
    }
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Int weight = V::BroadcastInt(reinterpret_cast<const uint8_t*>(weights[m].rounded + t));
      MLA_UNROLLED for (int s = 0; s < kStrips; ++s) {
        MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
          sums[m][s][v] = V::PairAdd(sums[m][s][v], values[s][v], weight);
        }
      }
    }
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    const Reg unit = V::Set1(weights[m].unit), minimum = V::Set1(weights[m].minimum);
    MLA_UNROLLED for (int s = 0; s < kStrips; ++s) {
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        const int32_t element = s * kStripElements + v * V::kLanes;
        float* to = out + m * out_stride + element;
        const Reg part = V::MulAdd(unit, V::ToFloat(sums[m][s][v]), minimum);
        if (element + V::kLanes <= left) {
          V::Store(carries == nullptr ? part : V::MulAdd(V::Load(to), V::Set1(carries[m]), part),
                   to);
        } else if (element < left) {
          const int32_t n = left - element;
          V::StoreFirst(
              carries == nullptr ? part : V::MulAdd(V::LoadFirst(to, n), V::Set1(carries[m]), part),
              to, n);
        }
      }
    }
  }
}

// A group of the tile's elements, expanded.
template <class V, int kFields>
struct Group {
  Group(const PackedRows& rows, int32_t index)
      : begin(index * rows.format.group),
        length(rows.format.length - begin < rows.format.group ? rows.format.length - begin
                                                              : rows.format.group),
        count(rows.count) {
    for (int32_t s = 0; s < strips(); ++s) {
      ExpandStrip<V, kFields>(rows, begin / kStripElements + s, pairs + s * kStripShorts);
    }
    const uint16_t* numbers =
        rows.scales + int64_t{index} * rows.format.scales_per_group * kPageTokens;
    ExpandNumbers<V>(numbers, count, scales);
    if constexpr (kHasMinimum<kFields>) ExpandNumbers<V>(numbers + kPageTokens, count, minima);
  }

  int32_t strips() const { return (length + kStripElements - 1) / kStripElements; }

  void Decode(float* out, int64_t out_stride) const {
    for (int32_t t = 0; t < count; ++t) {
      const float minimum = kHasMinimum<kFields> ? minima[t] : 0.0f;
      for (int32_t s = 0; s < strips(); ++s) {
        const int32_t left = length - s * kStripElements;
        const int16_t* from = pairs + s * kStripShorts + t / 2 * (2 * kStripElements) + t % 2;
        float* to = out + t * out_stride + s * kStripElements;
        for (int32_t e = 0; e < (left < kStripElements ? left : kStripElements); ++e) {
          to[e] = scales[t] * static_cast<float>(from[2 * e]) + minimum;
        }
      }
    }
  }

  // A few tokens' scales dwarf the others': 15 bits for all of them would leave those too few. The
  // first token of a text is such a one.
  bool IsUneven(float largest) const {
    constexpr float kMost = 8.0f;
    typename V::Reg sum = V::Zero();
    for (int32_t t = 0; t < count; t += V::kLanes) {
      const typename V::Reg x = V::Load(scales + t);
      sum = V::Add(sum, V::Max(x, V::Mul(x, V::Set1(-1.0f))));
    }
    return largest * static_cast<float>(count) > kMost * V::Sum(sum);
  }

  const int32_t begin;  // the first element
  const int32_t length;
  const int32_t count;  // tokens
  alignas(64) int16_t pairs[kMostGroup / kStripElements * kStripShorts];
  alignas(64) float scales[kTileTokens];
  alignas(64) float minima[kHasMinimum<kFields> ? kTileTokens : 1];
};

// The sums of a group in floats.
template <class V, int kFields>
void AccumulateUneven(const Group<V, kFields>& group, const float* weights, int64_t weights_stride,
                      const float* carries, int32_t n, float* out, int64_t out_stride) {
  alignas(64) float values[kTileTokens * kMostGroup];
  group.Decode(values, kMostGroup);
  const RowFormat format{CacheType::kF32, group.length, 0, 0, 4 * kMostGroup};
  AccumulateFloats<V>({format, reinterpret_cast<const uint8_t*>(values), nullptr, group.count},
                      weights, weights_stride, carries, n, out, out_stride);
}

// Rows that a tile is expanded for at a time.
inline constexpr int32_t kMostSumRows = 64;

// Groups outside: a group of the tile is expanded once for all rows, at most kMostSumRows.
template <class V, int kFields>
void AccumulateFields(const PackedRows& rows, const float* weights, int64_t weights_stride,
                      const float* carries, int32_t n, float* out, int64_t out_stride) {
  constexpr float kMostWeight = 32767.0f;
  float row_most[kMostSumRows];
  for (int32_t m = 0; m < n; ++m) {
    row_most[m] = LargestMagnitude<V>(weights + m * weights_stride, rows.count);
  }
  for (int32_t g = 0; g < rows.format.groups(); ++g) {
    const Group<V, kFields> tile(rows, g);
    const float largest = LargestMagnitude<V>(tile.scales, rows.count);
    if (tile.IsUneven(largest)) {
      AccumulateUneven<V, kFields>(tile, weights, weights_stride, carries, n, out + tile.begin,
                                   out_stride);
      continue;
    }
    const float not_finite = NotFinite<V>(tile.scales, rows.count);
    InRowBlocks<V::kPairRows>(n, [&](int32_t first, auto block) {
      constexpr int kRows = decltype(block)::value;
      GroupWeights group[kRows];
      for (int m = 0; m < kRows; ++m) {
        const float* row = weights + (first + m) * weights_stride;
        const float most = row_most[first + m] * largest;
        const typename V::Reg factor = V::Set1(kMostWeight / (most > 1e-30f ? most : 1e-30f));
        for (int32_t t = 0; t < rows.count; t += V::kLanes) {
          V::StoreShorts(V::Mul(V::Mul(V::Load(row + t), V::Load(tile.scales + t)), factor),
                         group[m].rounded + t);
        }
        group[m].unit = most / kMostWeight + not_finite;
        group[m].minimum = 0.0f;
      }
      if constexpr (kHasMinimum<kFields>) {
        DotTiles<V, kRows>(weights + first * weights_stride, weights_stride, tile.minima,
                           rows.count, group);
      }
      const float* block_carries = carries == nullptr ? nullptr : carries + first;
      float* to = out + first * out_stride + tile.begin;
      constexpr int kStrips = 2 * kRows <= V::kPairRows ? 2 : 1;
      int32_t s = 0;
      for (; s + kStrips <= tile.strips(); s += kStrips) {
        SumStrips<V, kRows, kStrips>(tile.pairs + s * kStripShorts, rows.count, group,
                                     block_carries, tile.length - s * kStripElements,
                                     to + s * kStripElements, out_stride);
      }
      if constexpr (kStrips > 1) {
        if (s < tile.strips()) {
          SumStrips<V, kRows, 1>(tile.pairs + s * kStripShorts, rows.count, group, block_carries,
                                 tile.length - s * kStripElements, to + s * kStripElements,
                                 out_stride);
        }
      }
    });
  }
}

template <class V>
void Accumulate(const PackedRows& rows, const float* weights, int64_t weights_stride,
                const float* carries, int32_t n, float* out, int64_t out_stride) {
  if (!rows.format.packed()) {
    AccumulateFloats<V>(rows, weights, weights_stride, carries, n, out, out_stride);
    return;
  }
  WithFields(rows.format, [&](auto fields) {
    for (int32_t first = 0; first < n; first += kMostSumRows) {
      AccumulateFields<V, decltype(fields)::value>(
          rows, weights + first * weights_stride, weights_stride,
          carries == nullptr ? nullptr : carries + first,
          n - first < kMostSumRows ? n - first : kMostSumRows, out + first * out_stride,
          out_stride);
    }
  });
}

template <class V>
void Decode(const PackedRows& rows, float* out, int64_t out_stride) {
  if (!rows.format.packed()) {
    DecodeFloats<V>(rows, out, out_stride);
    return;
  }
  WithFields(rows.format, [&](auto fields) {
    for (int32_t g = 0; g < rows.format.groups(); ++g) {
      Group<V, decltype(fields)::value> group(rows, g);
      group.Decode(out + group.begin, out_stride);
    }
  });
}

template <class V>
constexpr AttentionTileKernels MakeAttentionTileKernels() {
  return {Score<V>, QuantizeQuery<V>, ScorePacked<V>, Weigh<V>, Accumulate<V>, Decode<V>};
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_KERNELS_SIMD_H_
