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

// --- readers: kLanes (or the first n) elements of a row as floats, from element i on ---

template <class V>
struct Float32Reader {
  static typename V::Reg Load(const uint8_t* row, int32_t i) {
    return V::Load(reinterpret_cast<const float*>(row) + i);
  }
  static typename V::Reg LoadFirst(const uint8_t* row, int32_t i, int32_t n) {
    return V::LoadFirst(reinterpret_cast<const float*>(row) + i, n);
  }
};

template <class V>
struct Float16Reader {
  static typename V::Reg Load(const uint8_t* row, int32_t i) { return V::LoadHalf(row + 2 * i); }
  static typename V::Reg LoadFirst(const uint8_t* row, int32_t i, int32_t n) {
    if (i + n < V::kLanes) return V::LoadHalfFirst(row + 2 * i, n);
    return V::LoadHalfLast(row + 2 * (i + n), n);
  }
};

template <class V>
struct Bfloat16Reader {
  static typename V::Reg Load(const uint8_t* row, int32_t i) { return V::LoadBfloat(row + 2 * i); }
  static typename V::Reg LoadFirst(const uint8_t* row, int32_t i, int32_t n) {
    return V::LoadBfloatFirst(row + 2 * i, n);
  }
};

template <class V, class Call>
void WithReader(const RowFormat& format, const Call& call) {
  switch (format.type) {
    case CacheType::kF32:
      return call(Float32Reader<V>());
    case CacheType::kBf16:
      return call(Bfloat16Reader<V>());
    default:
      return call(Float16Reader<V>());
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

inline void PrefetchLines(const uint8_t* data, int64_t bytes) {
  for (int64_t o = 0; o < bytes; o += 64) __builtin_prefetch(data + o, 0, 2);
}

// --- scores: kRows query rows by kTokens packed rows, the vectors running along the elements ---

// All elements of tokens [token, token + kTokens).
template <class V, int kRows, int kTokens, class Reader>
inline void ScoreBlock(Reader, const PackedRows& rows, int32_t token, const float* const* queries,
                       bool add, float* scores, int64_t scores_stride) {
  using Reg = typename V::Reg;
  const int32_t length = rows.format.length;
  const uint8_t* data[kTokens];
  MLA_UNROLLED for (int t = 0; t < kTokens; ++t) data[t] =
      rows.data + (token + t) * rows.format.stride;
  Reg sums[kRows][kTokens];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int t = 0; t < kTokens; ++t) sums[m][t] = V::Zero();
  }
  int32_t i = 0;
  for (; i + V::kLanes <= length; i += V::kLanes) {
    Reg query[kRows];
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) query[m] = V::Load(queries[m] + i);
    MLA_UNROLLED for (int t = 0; t < kTokens; ++t) {
      const Reg key = Reader::Load(data[t], i);
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) sums[m][t] =
          V::MulAdd(query[m], key, sums[m][t]);
    }
  }
  if (i < length) {
    Reg query[kRows];
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) query[m] =
        V::LoadFirst(queries[m] + i, length - i);
    MLA_UNROLLED for (int t = 0; t < kTokens; ++t) {
      const Reg key = Reader::LoadFirst(data[t], i, length - i);
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) sums[m][t] =
          V::MulAdd(query[m], key, sums[m][t]);
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
inline void ScoreAll(Reader reader, const PackedRows& rows, const float* const* queries, int32_t n,
                     bool add, float* scores, int64_t scores_stride) {
  InRowBlocks<V::kScoreRows>(n, [&](int32_t first, auto block) {
    constexpr int kRows = decltype(block)::value;
    float* to = scores + first * scores_stride;
    const uint8_t* ahead = first == 0 ? rows.ahead : nullptr;
    int32_t t = 0;
    for (; t + 4 <= rows.count; t += 4) {
      if (ahead != nullptr) PrefetchLines(ahead + t * rows.format.stride, 4 * rows.format.stride);
      ScoreBlock<V, kRows, 4>(reader, rows, t, queries + first, add, to, scores_stride);
    }
    for (; t < rows.count; ++t) {
      ScoreBlock<V, kRows, 1>(reader, rows, t, queries + first, add, to, scores_stride);
    }
  });
}

// rows[t] as floats.
template <class V, class Reader>
inline void Decode(Reader, const PackedRows& rows, float* out, int64_t out_stride) {
  const int32_t length = rows.format.length;
  for (int32_t t = 0; t < rows.count; ++t) {
    const uint8_t* row = rows.data + t * rows.format.stride;
    float* to = out + t * out_stride;
    int32_t i = 0;
    for (; i + V::kLanes <= length; i += V::kLanes) V::Store(Reader::Load(row, i), to + i);
    if (i < length) V::StoreFirst(Reader::LoadFirst(row, i, length - i), to + i, length - i);
  }
}

// The first n elements (V::kLanes at most) of as many rows from `token` on, transposed: vector i
// holds their elements i. Rows beyond the last count as zeros.
template <class V, class Reader>
inline void LoadTransposed(const PackedRows& rows, int32_t token, int32_t element, int32_t n,
                           typename V::Reg (&out)[V::kLanes]) {
  MLA_UNROLLED for (int t = 0; t < V::kLanes; ++t) {
    const uint8_t* row = rows.data + (token + t) * rows.format.stride;
    if (token + t >= rows.count) {
      out[t] = V::Zero();
    } else {
      out[t] = n == V::kLanes ? Reader::Load(row, element) : Reader::LoadFirst(row, element, n);
    }
  }
  V::Transpose(out);
}

// Elements of a tile that are transposed at a time: as many as the first-level cache holds beside
// some queries.
inline constexpr int32_t kElementsAtOnce = 64;

// Elements [element, element + n) of tokens [token, token + kTileTokens) to
// out[n][kTileTokens]: those side by side that one vector of scores adds up.
template <class V, class Reader>
inline void TransposeTile(const PackedRows& rows, int32_t token, int32_t element, int32_t n,
                          float* out) {
  for (int32_t t = 0; t < kTileTokens && token + t < rows.count; t += V::kLanes) {
    if (element == 0 && rows.ahead != nullptr) {
      PrefetchLines(rows.ahead + (token + t) * rows.format.stride, V::kLanes * rows.format.stride);
    }
    for (int32_t e = 0; e < n; e += V::kLanes) {
      const int32_t some = n - e < V::kLanes ? n - e : V::kLanes;
      typename V::Reg vectors[V::kLanes];
      LoadTransposed<V, Reader>(rows, token + t, element + e, some, vectors);
      float* to = out + e * kTileTokens + t;
      for (int32_t i = 0; i < some; ++i) V::Store(vectors[i], to + i * kTileTokens);
    }
  }
}

// scores of kRows queries with kVectors vectors of tokens, over n elements of transposed keys. The
// last of `tokens` may end within a vector.
template <class V, int kRows, int kVectors>
inline void ScoreColumns(const float* keys, int32_t n, const float* const* queries, int32_t element,
                         bool add, int32_t tokens, float* scores, int64_t scores_stride) {
  using Reg = typename V::Reg;
  const int32_t last = tokens - (kVectors - 1) * V::kLanes;  // of the last vector
  Reg sums[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      const float* from = scores + m * scores_stride + v * V::kLanes;
      if (!add) {
        sums[m][v] = V::Zero();
      } else if (v + 1 < kVectors || last >= V::kLanes) {
        sums[m][v] = V::Load(from);
      } else {
        sums[m][v] = V::LoadFirst(from, last);
      }
    }
  }
  for (int32_t e = 0; e < n; ++e, keys += kTileTokens) {
    Reg key[kVectors];
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) key[v] = V::Load(keys + v * V::kLanes);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Reg query = V::Set1(queries[m][element + e]);
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        sums[m][v] = V::MulAdd(query, key[v], sums[m][v]);
      }
    }
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      float* to = scores + m * scores_stride + v * V::kLanes;
      if (v + 1 < kVectors || last >= V::kLanes) {
        V::Store(sums[m][v], to);
      } else {
        V::StoreFirst(sums[m][v], to, last);
      }
    }
  }
}

// Many queries: keys are transposed once for all, so that no score is summed across lanes.
template <class V, class Reader>
inline void ScoreMany(Reader, const PackedRows& rows, const float* const* queries, int32_t n,
                      bool add, float* scores, int64_t scores_stride) {
  alignas(64) float keys[kElementsAtOnce * kTileTokens];
  const int32_t length = rows.format.length;
  for (int32_t token = 0; token < rows.count; token += kTileTokens) {
    const int32_t tokens = rows.count - token < kTileTokens ? rows.count - token : kTileTokens;
    for (int32_t element = 0; element < length; element += kElementsAtOnce) {
      const int32_t left = length - element;
      const int32_t some = left < kElementsAtOnce ? left : kElementsAtOnce;
      TransposeTile<V, Reader>(rows, token, element, some, keys);
      InRowBlocks<V::kSumRows>(n, [&](int32_t first, auto block) {
        constexpr int kRows = decltype(block)::value;
        const auto columns = [&](int32_t t, auto vectors) {
          ScoreColumns<V, kRows, decltype(vectors)::value>(
              keys + t, some, queries + first, element, add || element > 0, tokens - t,
              scores + first * scores_stride + token + t, scores_stride);
        };
        constexpr int32_t kTogether = V::kSumVectors * V::kLanes;
        int32_t t = 0;
        for (; t + kTogether <= tokens; t += kTogether) columns(t, Constant<V::kSumVectors>());
        for (; t < tokens; t += V::kLanes) columns(t, Constant<1>());
      });
    }
  }
}

template <class V>
void Score(const PackedRows& rows, const float* const* queries, int32_t n, bool add, float* scores,
           int64_t scores_stride) {
  constexpr int32_t kMany = 2 * V::kSumRows;      // that pay for transposing
  constexpr int32_t kLong = 4 * kElementsAtOnce;  // where summing across lanes takes little time
  WithReader<V>(rows.format, [&](auto reader) {
    if (n > kMany && rows.format.length <= kLong) {
      ScoreMany<V>(reader, rows, queries, n, add, scores, scores_stride);
    } else {
      ScoreAll<V>(reader, rows, queries, n, add, scores, scores_stride);
    }
  });
}

// --- weights ---

// 2^x for x <= 0, relative error below 2e-7; below the smallest normal number it stays there.
template <class V>
inline typename V::Reg PowerOfTwo(typename V::Reg x) {
  using Reg = typename V::Reg;
  x = V::Max(V::Set1(-126.0f), x);  // in this order a NaN stays
  const Reg n = V::Round(x);
  const Reg r = V::Sub(x, n);
  // |r| <= 1/2: 1 + r q(r), q of the least greatest relative error of all of its degree.
  Reg q = V::Set1(0.0013264727f);
  q = V::MulAdd(q, r, V::Set1(0.0096715130f));
  q = V::MulAdd(q, r, V::Set1(0.055507336f));
  q = V::MulAdd(q, r, V::Set1(0.24022242f));
  q = V::MulAdd(q, r, V::Set1(0.69314700f));
  return V::TimesPowerOfTwo(V::MulAdd(q, r, V::Set1(1.0f)), n);
}

inline constexpr float kLog2E = 1.44269504f;

// The softmax of kLanes rows, or of the first n, goes on with tiles' maxima and sums of weights
// relative to them.
template <class V>
inline void BlendRows(const float* tile_maxima, const float* tile_sums, int32_t n, float* maxima,
                      float* sums, Blend* blends) {
  using Reg = typename V::Reg;
  const auto load = [n](const float* p) { return n < V::kLanes ? V::LoadFirst(p, n) : V::Load(p); };
  const auto store = [n](Reg x, float* p) {
    n < V::kLanes ? V::StoreFirst(x, p, n) : V::Store(x, p);
  };
  const Reg maximum = load(maxima), tile_maximum = load(tile_maxima);
  const Reg after = V::Max(maximum, tile_maximum);
  const Reg before = PowerOfTwo<V>(V::Sub(maximum, after));
  const Reg tile = PowerOfTwo<V>(V::Sub(tile_maximum, after));
  store(after, maxima);
  store(V::MulAdd(before, load(sums), V::Mul(tile, load(tile_sums))), sums);
  alignas(64) float befores[V::kLanes], tiles[V::kLanes];
  V::Store(before, befores);
  V::Store(tile, tiles);
  for (int32_t m = 0; m < (n < V::kLanes ? n : V::kLanes); ++m) blends[m] = {befores[m], tiles[m]};
}

// kRows rows, four at most, of kVectors vectors of scores, or where that is 0 of `some`: their
// largest as logarithms of weights to base 2. Writes four.
template <class V, int kRows, int kVectors>
inline void MeasureRows(const float* scores, int32_t some, float scale, float* tile_maxima) {
  const int32_t vectors = kVectors > 0 ? kVectors : some;
  typename V::Reg largest[4];
  MLA_UNROLLED for (int m = 0; m < 4; ++m) largest[m] = V::Zero();
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) largest[m] = V::Load(scores + m * kTileTokens);
  for (int32_t v = 1; v < vectors; ++v) {
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      largest[m] = V::Max(largest[m], V::Load(scores + m * kTileTokens + v * V::kLanes));
    }
  }
  alignas(16) float maxima[4];
  V::Largest4(largest[0], largest[1], largest[2], largest[3], maxima);
  MLA_UNROLLED for (int m = 0; m < 4; ++m) tile_maxima[m] = maxima[m] * (scale * kLog2E);
}

// Their weights and the sums of them. The same results whoever else reads the tile.
template <class V, int kRows, int kVectors>
inline void WeighRows(float* scores, [[maybe_unused]] int32_t some, float scale,
                      const float* tile_maxima, float* tile_sums) {
  using Reg = typename V::Reg;
  Reg totals[4];
  MLA_UNROLLED for (int m = 0; m < 4; ++m) totals[m] = V::Zero();
  const Reg scales = V::Set1(scale * kLog2E);
  const auto weigh = [&](int32_t v, auto together) {
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Reg shift = V::Set1(-tile_maxima[m]);
      MLA_UNROLLED for (int i = 0; i < decltype(together)::value; ++i) {
        float* at = scores + m * kTileTokens + (v + i) * V::kLanes;
        const Reg e = PowerOfTwo<V>(V::MulAdd(V::Load(at), scales, shift));
        V::Store(e, at);
        totals[m] = V::Add(totals[m], e);
      }
    }
  };
  if constexpr (kVectors > 0) {
    constexpr int kTogether = kVectors < 4 ? kVectors : 4;  // more would be too much code
    for (int32_t v = 0; v < kVectors; v += kTogether) weigh(v, Constant<kTogether>());
  } else {
    for (int32_t v = 0; v < some; ++v) weigh(v, Constant<1>());
  }
  V::Sum4(totals[0], totals[1], totals[2], totals[3], false, tile_sums);
}

// kVectors: of a row of scores up to its last token, or 0.
template <class V, int kVectors>
inline void WeighSeen(float* scores, int32_t n, int32_t begin, int32_t end, int32_t count,
                      float scale, float* maxima, float* sums, Blend* blends) {
  constexpr int32_t kMost = 16;
  float tile_maxima[kMost + 3], tile_sums[kMost + 3];
  const int32_t vectors = (count + V::kLanes - 1) / V::kLanes, whole = vectors * V::kLanes;
  const bool masked = begin > 0 || end < whole;
  for (int32_t first = 0; first < n; first += kMost) {
    const int32_t some = n - first < kMost ? n - first : kMost;
    float* rows = scores + first * kTileTokens;
    const auto fill = [&](float value) {
      for (int32_t m = 0; m < some; ++m) {
        float* row = rows + m * kTileTokens;
        for (int32_t t = 0; t < begin; ++t) row[t] = value;
        for (int32_t t = end; t < whole; ++t) row[t] = value;
      }
    };
    if (masked) fill(-INFINITY);
    // All are measured before any is weighed, which would wait for it.
    InRowBlocks<4>(some, [&](int32_t m, auto block) {
      MeasureRows<V, decltype(block)::value, kVectors>(rows + m * kTileTokens, vectors, scale,
                                                       tile_maxima + m);
    });
    InRowBlocks<4>(some, [&](int32_t m, auto block) {
      WeighRows<V, decltype(block)::value, kVectors>(rows + m * kTileTokens, vectors, scale,
                                                     tile_maxima + m, tile_sums + m);
    });
    // PowerOfTwo(-infinity) is too little for the sums to see, but no zero.
    if (masked) fill(0.0f);
    for (int32_t m = 0; m < some; m += V::kLanes) {
      BlendRows<V>(tile_maxima + m, tile_sums + m, some - m, maxima + first + m, sums + first + m,
                   blends + first + m);
    }
  }
}

template <class V>
void WeighAlike(float* scores, int32_t n, int32_t begin, int32_t end, int32_t count, float scale,
                float* maxima, float* sums, Blend* blends) {
  if (begin == 0 && end == kTileTokens) {
    WeighSeen<V, kTileTokens / V::kLanes>(scores, n, 0, kTileTokens, kTileTokens, scale, maxima,
                                          sums, blends);
  } else {
    WeighSeen<V, 0>(scores, n, begin, end, count, scale, maxima, sums, blends);
  }
}

template <class V>
Blend Weigh(float* scores, int32_t begin, int32_t end, int32_t count, float scale,
            const float* factors, float* maximum, float* sum) {
  const int32_t whole = (count + V::kLanes - 1) / V::kLanes * V::kLanes;
  if (begin >= end) {
    for (int32_t t = 0; t < whole; ++t) scores[t] = 0.0f;
    return {1.0f, 0.0f};
  }
  if (factors != nullptr) {
    for (int32_t t = 0; t < whole; t += V::kLanes) {
      const typename V::Reg factor =
          t + V::kLanes <= count ? V::Load(factors + t) : V::LoadFirst(factors + t, count - t);
      V::Store(V::Mul(V::Load(scores + t), factor), scores + t);
    }
  }
  Blend blend;
  WeighAlike<V>(scores, 1, begin, end, count, scale, maximum, sum, &blend);
  return blend;
}

// --- weighted sums: kRows output rows by kVectors vectors of elements, over all rows of the tile
// ---

template <class V, int kRows, int kVectors, bool kPartial, class Reader>
inline void AccumulateBlock(Reader, const PackedRows& rows, int32_t element, const float* weights,
                            int64_t weights_stride, const Blend* blends, const uint8_t* ahead,
                            float* out, int64_t out_stride) {
  static_assert(!kPartial || kVectors == 1);
  using Reg = typename V::Reg;
  const int32_t left = rows.format.length - element;
  Reg sums[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) sums[m][v] = V::Zero();
  }
  const uint8_t* row = rows.data;
  for (int32_t t = 0; t < rows.count; ++t, row += rows.format.stride) {
    constexpr int32_t kFetched = 8;  // rows
    if (ahead != nullptr && t % kFetched == 0) {
      PrefetchLines(ahead + t * rows.format.stride, kFetched * rows.format.stride);
    }
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
      Reg sum = sums[m][v];
      if (blends != nullptr) {
        const Reg old = kPartial ? V::LoadFirst(to, left) : V::Load(to + v * V::kLanes);
        sum = V::MulAdd(old, V::Set1(blends[m].before), V::Mul(sum, V::Set1(blends[m].tile)));
      }
      if constexpr (kPartial) {
        V::StoreFirst(sum, to, left);
      } else {
        V::Store(sum, to + v * V::kLanes);
      }
    }
  }
}

// Columns outside, output rows inside: a column of the tile is read from beyond the first-level
// cache once.
template <class V>
void AccumulateFloats(const PackedRows& rows, const float* weights, int64_t weights_stride,
                      const Blend* blends, int32_t n, float* out, int64_t out_stride) {
  WithReader<V>(rows.format, [&](auto reader) {
    auto column = [&](int32_t element, auto vectors, auto partial) {
      InRowBlocks<V::kSumRows>(n, [&](int32_t first, auto block) {
        AccumulateBlock<V, decltype(block)::value, decltype(vectors)::value,
                        decltype(partial)::value != 0>(
            reader, rows, element, weights + first * weights_stride, weights_stride,
            blends == nullptr ? nullptr : blends + first,
            first == 0 && element == 0 ? rows.ahead : nullptr, out + first * out_stride,
            out_stride);
      });
    };
    const int32_t length = rows.format.length;
    int32_t e = 0;
    for (; e + V::kSumVectors * V::kLanes <= length; e += V::kSumVectors * V::kLanes) {
      column(e, Constant<V::kSumVectors>(), Constant<0>());
    }
    if constexpr (V::kSumVectors > 2) {
      for (; e + 2 * V::kLanes <= length; e += 2 * V::kLanes)
        column(e, Constant<2>(), Constant<0>());
    }
    for (; e + V::kLanes <= length; e += V::kLanes) column(e, Constant<1>(), Constant<0>());
    if (e < length) column(e, Constant<1>(), Constant<1>());
  });
}

template <class V>
void DecodeFloats(const PackedRows& rows, float* out, int64_t out_stride) {
  WithReader<V>(rows.format, [&](auto reader) { Decode<V>(reader, rows, out, out_stride); });
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_TILE_KERNELS_SIMD_H_
