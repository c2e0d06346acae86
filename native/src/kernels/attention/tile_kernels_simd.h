// The tile kernels, written once over a vector type V (kLanes floats) that each instruction set's
// file defines. The file includes this header and exports the table; everything here is in an
// unnamed namespace, so that no function compiled for one instruction set can be linked into
// another's callers.
#ifndef MLA_KERNELS_ATTENTION_TILE_KERNELS_SIMD_H_
#define MLA_KERNELS_ATTENTION_TILE_KERNELS_SIMD_H_

#include <math.h>
#include <stdint.h>

#include "kernels/attention/tile_kernels.h"

// Loops over a block's registers: unrolled before the compiler decides what stays in memory.
#if defined(__clang__)
#define MLA_UNROLLED _Pragma("unroll")
#else
#define MLA_UNROLLED _Pragma("GCC unroll 16")
#endif

namespace mla {
namespace {

// --- readers: kLanes (or the first n) elements of a packed row as floats, from element i on,
// without their scale ---

template <class V>
struct Float32Reader {
  static constexpr bool kScaled = false;
  static typename V::Reg Load(const uint8_t* row, int32_t i) {
    return V::Load(reinterpret_cast<const float*>(row) + i);
  }
  static typename V::Reg LoadFirst(const uint8_t* row, int32_t i, int32_t n) {
    return V::LoadFirst(reinterpret_cast<const float*>(row) + i, n);
  }
};

template <class V>
struct Float16Reader {
  static constexpr bool kScaled = false;
  static typename V::Reg Load(const uint8_t* row, int32_t i) { return V::LoadHalf(row + 2 * i); }
  static typename V::Reg LoadFirst(const uint8_t* row, int32_t i, int32_t n) {
    return V::LoadHalfFirst(row + 2 * i, n);
  }
};

template <class V>
struct Int8Reader {
  static constexpr bool kScaled = true;
  static typename V::Reg Load(const uint8_t* row, int32_t i) { return V::LoadInt8(row + i); }
  static typename V::Reg LoadFirst(const uint8_t* row, int32_t i, int32_t n) {
    return V::LoadInt8First(row + i, n);
  }
};

template <class V, class Call>
void WithReader(const RowFormat& format, const Call& call) {
  if (format.type == CacheType::kF32) {
    call(Float32Reader<V>());
  } else if (format.type == CacheType::kF16) {
    call(Float16Reader<V>());
  } else {
    call(Int8Reader<V>());
  }
}

// Groups are powers of two and multiples of every kLanes: an aligned vector has one scale.
inline int GroupShift(const RowFormat& format) { return format.group == 64 ? 6 : 5; }

// The scales of groups [first, first + groups) of all rows as floats, scales[group][kPageTokens].
template <class V>
inline void ExpandScales(const PackedRows& rows, int32_t first, int32_t groups, float* scales) {
  for (int32_t g = 0; g < groups; ++g, scales += kPageTokens) {
    const uint8_t* from =
        reinterpret_cast<const uint8_t*>(rows.scales + int64_t{first + g} * kPageTokens);
    int32_t t = 0;
    for (; t + V::kLanes <= rows.count; t += V::kLanes)
      V::Store(V::LoadHalf(from + 2 * t), scales + t);
    if (t < rows.count) V::Store(V::LoadHalfFirst(from + 2 * t, rows.count - t), scales + t);
  }
}

template <int kValue>
struct Constant {
  static constexpr int value = kValue;
};

// call(first, Constant<rows>()) over n rows in even blocks of at most kMost rows, so that no block
// is left thin.
template <int kMost, int kRows = kMost, class Call>
inline void CallWithRows(int32_t rows, int32_t first, const Call& call) {
  if (rows == kRows) {
    call(first, Constant<kRows>());
  } else if constexpr (kRows > 1) {
    CallWithRows<kMost, kRows - 1>(rows, first, call);
  }
}

template <int kMost, class Call>
inline void InRowBlocks(int32_t n, const Call& call) {
  const int32_t blocks = (n + kMost - 1) / kMost;
  int32_t first = 0;
  for (int32_t b = 0; b < blocks; ++b) {
    const int32_t rows = (n - first) / (blocks - b);
    CallWithRows<kMost>(rows, first, call);
    first += rows;
  }
}

// --- scores: kRows query rows by kTokens packed rows, the vectors running along the elements ---

// Elements [begin, end) of tokens [token, token + kTokens). scales: those of element `begin`'s
// group on, of all tokens.
template <class V, int kRows, int kTokens, class Reader>
inline void ScoreBlock(Reader, const PackedRows& rows, int32_t begin, int32_t end,
                       const float* scales, int32_t token, const float* const* queries, bool add,
                       float* scores, int64_t scores_stride) {
  using Reg = typename V::Reg;
  const int shift = GroupShift(rows.format);
  const uint8_t* data[kTokens];
  MLA_UNROLLED for (int t = 0; t < kTokens; ++t) data[t] =
      rows.data + (token + t) * rows.format.stride;
  auto scaled = [&](Reg key, int32_t i, int t) {
    if constexpr (!Reader::kScaled) return key;
    return V::Mul(key, V::Set1(scales[((i - begin) >> shift) * kPageTokens + token + t]));
  };
  Reg sums[kRows][kTokens];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int t = 0; t < kTokens; ++t) sums[m][t] = V::Zero();
  }
  int32_t i = begin;
  for (; i + V::kLanes <= end; i += V::kLanes) {
    Reg keys[kTokens];
    MLA_UNROLLED for (int t = 0; t < kTokens; ++t) keys[t] = scaled(Reader::Load(data[t], i), i, t);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Reg query = V::Load(queries[m] + i);
      MLA_UNROLLED for (int t = 0; t < kTokens; ++t) sums[m][t] =
          V::MulAdd(query, keys[t], sums[m][t]);
    }
  }
  if (i < end) {
    Reg keys[kTokens];
    MLA_UNROLLED for (int t = 0; t < kTokens; ++t) keys[t] =
        scaled(Reader::LoadFirst(data[t], i, end - i), i, t);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Reg query = V::LoadFirst(queries[m] + i, end - i);
      MLA_UNROLLED for (int t = 0; t < kTokens; ++t) sums[m][t] =
          V::MulAdd(query, keys[t], sums[m][t]);
    }
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    float* to = scores + m * scores_stride + token;
    if constexpr (kTokens == 4) {
      V::Sum4(sums[m][0], sums[m][1], sums[m][2], sums[m][3], add, to);
    } else {
      to[0] = V::Sum(sums[m][0]) + (add ? to[0] : 0.0f);
    }
  }
}

// Query rows outside, tokens inside: the block's queries stay in the first-level cache while the
// tile streams by.
template <class V, class Reader>
void ScoreElements(Reader reader, const PackedRows& rows, int32_t begin, int32_t end,
                   const float* scales, const float* const* queries, int32_t n, bool add,
                   float* scores, int64_t scores_stride) {
  InRowBlocks<V::kScoreRows>(n, [&](int32_t first, auto block) {
    constexpr int kRows = decltype(block)::value;
    float* to = scores + first * scores_stride;
    int32_t t = 0;
    for (; t + 4 <= rows.count; t += 4) {
      ScoreBlock<V, kRows, 4>(reader, rows, begin, end, scales, t, queries + first, add, to,
                              scores_stride);
    }
    for (; t < rows.count; ++t) {
      ScoreBlock<V, kRows, 1>(reader, rows, begin, end, scales, t, queries + first, add, to,
                              scores_stride);
    }
  });
}

template <class V>
void Score(const PackedRows& rows, const float* const* queries, int32_t n, bool add, float* scores,
           int64_t scores_stride) {
  WithReader<V>(rows.format, [&](auto reader) {
    const int32_t length = rows.format.length;
    if constexpr (!decltype(reader)::kScaled) {
      ScoreElements<V>(reader, rows, 0, length, nullptr, queries, n, add, scores, scores_stride);
    } else {
      constexpr int32_t kGroups = 32;  // whose scales are held at once
      alignas(64) float scales[kGroups * kPageTokens];
      const int32_t chunk = kGroups * rows.format.group;
      for (int32_t begin = 0; begin < length; begin += chunk) {
        const int32_t end = length < begin + chunk ? length : begin + chunk;
        const int32_t groups = (end - begin + rows.format.group - 1) / rows.format.group;
        ExpandScales<V>(rows, begin / rows.format.group, groups, scales);
        ScoreElements<V>(reader, rows, begin, end, scales, queries, n, add || begin > 0, scores,
                         scores_stride);
      }
    }
  });
}

// --- weights ---

// exp(x) for x <= 0, relative error below 3e-7; below the smallest normal number it stays there.
template <class V>
inline typename V::Reg ExpOfNegative(typename V::Reg x) {
  using Reg = typename V::Reg;
  x = V::Max(V::Set1(-87.0f), x);  // in this order a NaN stays
  const Reg n = V::Round(V::Mul(x, V::Set1(1.44269504f)));
  Reg r =
      V::MulAdd(n, V::Set1(-0.693359375f), x);  // ln 2 in two parts, the first exact in few bits
  r = V::MulAdd(n, V::Set1(2.12194440e-4f), r);
  Reg e =
      V::Set1(1.0f / 5040.0f);  // |r| <= ln(2) / 2: the series to r^7 is exact to float precision
  e = V::MulAdd(e, r, V::Set1(1.0f / 720.0f));
  e = V::MulAdd(e, r, V::Set1(1.0f / 120.0f));
  e = V::MulAdd(e, r, V::Set1(1.0f / 24.0f));
  e = V::MulAdd(e, r, V::Set1(1.0f / 6.0f));
  e = V::MulAdd(e, r, V::Set1(0.5f));
  e = V::MulAdd(e, r, V::Set1(1.0f));
  e = V::MulAdd(e, r, V::Set1(1.0f));
  return V::TimesPowerOfTwo(e, n);
}

template <class V>
float Weigh(float* scores, int32_t begin, int32_t end, int32_t count, float scale,
            const float* factors, float* maximum, float* sum) {
  using Reg = typename V::Reg;
  if (begin >= end) {
    for (int32_t t = 0; t < count; ++t) scores[t] = 0.0f;
    return 1.0f;
  }
  const int32_t whole = (count + V::kLanes - 1) / V::kLanes * V::kLanes;
  const Reg scales = V::Set1(scale);
  Reg largest = V::Set1(-INFINITY);
  for (int32_t t = 0; t < whole; t += V::kLanes) {
    Reg x = V::Mul(V::Load(scores + t), scales);
    if (factors != nullptr) {
      x = V::Mul(
          x, t + V::kLanes <= count ? V::Load(factors + t) : V::LoadFirst(factors + t, count - t));
    }
    V::Store(x, scores + t);
    largest = V::Max(largest, x);
  }
  const bool masked = begin > 0 || end < whole;
  if (masked) {
    for (int32_t t = 0; t < begin; ++t) scores[t] = -INFINITY;
    for (int32_t t = end; t < whole; ++t) scores[t] = -INFINITY;
    largest = V::Load(scores);
    for (int32_t t = V::kLanes; t < whole; t += V::kLanes)
      largest = V::Max(largest, V::Load(scores + t));
  }
  const float before = *maximum;
  const float tile_maximum = V::Largest(largest);
  const float after = before > tile_maximum ? before : tile_maximum;

  const Reg shift = V::Set1(-after);
  Reg total = V::Zero();
  for (int32_t t = 0; t < whole; t += V::kLanes) {
    const Reg e = ExpOfNegative<V>(V::Add(V::Load(scores + t), shift));
    V::Store(e, scores + t);
    total = V::Add(total, e);
  }
  if (masked) {
    for (int32_t t = 0; t < begin; ++t) scores[t] = 0.0f;
    for (int32_t t = end; t < whole; ++t) scores[t] = 0.0f;
    total = V::Load(scores);
    for (int32_t t = V::kLanes; t < whole; t += V::kLanes)
      total = V::Add(total, V::Load(scores + t));
  }
  const float part = V::Sum(total);
  const float carry = before == after ? 1.0f : expf(before - after);
  *maximum = after;
  *sum = *sum * carry + part;
  return carry;
}

// --- weighted sums: kRows output rows by kVectors vectors of elements, over all rows of the tile
// ---

template <class V, int kRows, int kVectors, bool kPartial, class Reader>
inline void AccumulateBlock(Reader, const PackedRows& rows, int32_t element, const float* weights,
                            int64_t weights_stride, const float* carries, float* out,
                            int64_t out_stride) {
  static_assert(!kPartial || kVectors == 1);
  using Reg = typename V::Reg;
  const int32_t left = rows.format.length - element;
  Reg sums[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    float* from = out + m * out_stride + element;
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      if (carries == nullptr) {
        sums[m][v] = V::Zero();
      } else {
        const Reg old = kPartial ? V::LoadFirst(from, left) : V::Load(from + v * V::kLanes);
        sums[m][v] = V::Mul(old, V::Set1(carries[m]));
      }
    }
  }
  const uint8_t* row = rows.data;
  for (int32_t t = 0; t < rows.count; ++t, row += rows.format.stride) {
    Reg values[kVectors];
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      values[v] = kPartial ? Reader::LoadFirst(row, element, left)
                           : Reader::Load(row, element + v * V::kLanes);
    }
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Reg weight = V::Set1(weights[m * weights_stride + t]);
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) sums[m][v] =
          V::MulAdd(weight, values[v], sums[m][v]);
    }
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    float* to = out + m * out_stride + element;
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      if constexpr (kPartial) {
        V::StoreFirst(sums[m][v], to, left);
      } else {
        V::Store(sums[m][v], to + v * V::kLanes);
      }
    }
  }
}

// One column of elements, all output rows. A column lies in one group, whose scales go into the
// weights.
template <class V, int kMostRows, int kVectors, bool kPartial, class Reader>
inline void AccumulateColumn(Reader reader, const PackedRows& rows, int32_t element,
                             const float* weights, int64_t weights_stride, const float* carries,
                             int32_t n, float* out, int64_t out_stride) {
  alignas(64) float scales[Reader::kScaled ? kPageTokens : 1];
  if constexpr (Reader::kScaled)
    ExpandScales<V>(rows, element >> GroupShift(rows.format), 1, scales);
  InRowBlocks<kMostRows>(n, [&](int32_t first, auto block) {
    constexpr int kRows = decltype(block)::value;
    const float* block_weights = weights + first * weights_stride;
    int64_t block_stride = weights_stride;
    alignas(64) float scaled[Reader::kScaled ? kRows * kPageTokens : 1];
    if constexpr (Reader::kScaled) {
      for (int m = 0; m < kRows; ++m) {
        for (int32_t t = 0; t < rows.count; t += V::kLanes) {
          V::Store(V::Mul(V::Load(block_weights + m * weights_stride + t), V::Load(scales + t)),
                   scaled + m * kPageTokens + t);
        }
      }
      block_weights = scaled;
      block_stride = kPageTokens;
    }
    AccumulateBlock<V, kRows, kVectors, kPartial>(
        reader, rows, element, block_weights, block_stride,
        carries == nullptr ? nullptr : carries + first, out + first * out_stride, out_stride);
  });
}

// Columns outside, output rows inside: a column of the tile is read from beyond the first-level
// cache once.
template <class V>
void Accumulate(const PackedRows& rows, const float* weights, int64_t weights_stride,
                const float* carries, int32_t n, float* out, int64_t out_stride) {
  WithReader<V>(rows.format, [&](auto reader) {
    constexpr bool kScaled = decltype(reader)::kScaled;
    constexpr int kMostRows = kScaled ? V::kScaledSumRows : V::kSumRows;
    constexpr int kVectors = kScaled ? V::kScaledSumVectors : V::kSumVectors;
    static_assert(!kScaled || 32 % (kVectors * V::kLanes) == 0);
    auto column = [&](int32_t element, auto vectors, auto partial) {
      AccumulateColumn<V, kMostRows, decltype(vectors)::value, decltype(partial)::value != 0>(
          reader, rows, element, weights, weights_stride, carries, n, out, out_stride);
    };
    const int32_t length = rows.format.length;
    int32_t e = 0;
    for (; e + kVectors * V::kLanes <= length; e += kVectors * V::kLanes) {
      column(e, Constant<kVectors>(), Constant<0>());
    }
    if constexpr (kVectors > 2) {
      for (; e + 2 * V::kLanes <= length; e += 2 * V::kLanes)
        column(e, Constant<2>(), Constant<0>());
    }
    for (; e + V::kLanes <= length; e += V::kLanes) column(e, Constant<1>(), Constant<0>());
    if (e < length) column(e, Constant<1>(), Constant<1>());
  });
}

template <class V>
void Decode(const PackedRows& rows, float* out, int64_t out_stride) {
  WithReader<V>(rows.format, [&](auto reader) {
    using Reader = decltype(reader);
    const int32_t length = rows.format.length;
    const int32_t step = Reader::kScaled ? rows.format.group : length;
    alignas(64) float scales[Reader::kScaled ? kPageTokens : 1];
    for (int32_t begin = 0; begin < length; begin += step) {
      if constexpr (Reader::kScaled) ExpandScales<V>(rows, begin / step, 1, scales);
      const int32_t end = length < begin + step ? length : begin + step;
      for (int32_t t = 0; t < rows.count; ++t) {
        const uint8_t* row = rows.data + t * rows.format.stride;
        const typename V::Reg scale = V::Set1(Reader::kScaled ? scales[t] : 1.0f);
        float* to = out + t * out_stride;
        int32_t i = begin;
        for (; i + V::kLanes <= end; i += V::kLanes)
          V::Store(V::Mul(Reader::Load(row, i), scale), to + i);
        if (i < end)
          V::StoreFirst(V::Mul(Reader::LoadFirst(row, i, end - i), scale), to + i, end - i);
      }
    }
  });
}

template <class V>
constexpr AttentionTileKernels MakeAttentionTileKernels() {
  return {Score<V>, Weigh<V>, Accumulate<V>, Decode<V>};
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_TILE_KERNELS_SIMD_H_
