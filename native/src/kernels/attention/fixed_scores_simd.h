// Scores of float rows that many queries meet, in 16-bit fixed point: an instruction multiplies
// twice as many of those as of floats. Written once over a vector type V (packed_scores_simd.h).
//
// Of a stretch of a row, or of a query, a unit is 1/32767 of its Euclidean norm: sums of products
// then stay below 2^30 (Cauchy and Schwarz), and of a vector with few large elements, which a
// common bound on elements would leave few bits, none are lost. A score is thus off by about
// |q| |k| 2^-17.
#ifndef MLA_KERNELS_ATTENTION_FIXED_SCORES_SIMD_H_
#define MLA_KERNELS_ATTENTION_FIXED_SCORES_SIMD_H_

#include <math.h>
#include <stdint.h>

#include "kernels/attention/fixed_query.h"
#include "kernels/attention/packed_scores_simd.h"
#include "kernels/attention/tile_kernels_simd.h"

namespace mla {
namespace {

// kCount vectors, four at most, of up to kStretch elements as whole numbers of units of their own.
// load(i, element) is a register of vector i, zeros beyond its end. Writes whole blocks of 2
// kLanes.
template <class V, int kCount, class LoadElements>
inline void FixVectors(const LoadElements& load, int32_t length, int16_t (*out)[kStretch],
                       float* units) {
  using Reg = typename V::Reg;
  constexpr int32_t kBlock = 2 * V::kLanes;
  Reg squares[4];
  MLA_UNROLLED for (int i = 0; i < 4; ++i) squares[i] = V::Zero();
  for (int32_t e = 0; e < length; e += V::kLanes) {
    MLA_UNROLLED for (int i = 0; i < kCount; ++i) {
      const Reg x = load(i, e);
      squares[i] = V::MulAdd(x, x, squares[i]);
    }
  }
  float norms[4];
  V::Sum4(squares[0], squares[1], squares[2], squares[3], false, norms);
  Reg inverses[kCount];
  MLA_UNROLLED for (int i = 0; i < kCount; ++i) {
    constexpr float kMost = 32767.0f, kSmallest = 1e-30f;
    const float norm = sqrtf(norms[i]);
    units[i] = norm * (1.0f / kMost) + 0.0f * norms[i];  // NaN where an element is not finite
    inverses[i] = V::Set1(norm > kSmallest ? kMost / norm : 0.0f);
  }
  int32_t e = 0;
  for (; e < length; e += V::kLanes) {
    MLA_UNROLLED for (int i = 0; i < kCount; ++i) {
      V::StoreShorts(V::Mul(load(i, e), inverses[i]), out[i] + e);
    }
  }
  if (e % kBlock != 0) {
    MLA_UNROLLED for (int i = 0; i < kCount; ++i) V::StoreShorts(V::Zero(), out[i] + e);
  }
}

template <class V>
void FixQuery(const float* query, int32_t length, uint8_t* out) {
  const FixedQuery places(length);
  for (int32_t s = 0; s < places.stretches; ++s) {
    const float* from = query + s * kStretch;
    const int32_t left = length - s * kStretch;
    const int32_t some = left < kStretch ? left : kStretch;
    alignas(64) int16_t numbers[1][kStretch] = {};
    float unit;
    FixVectors<V, 1>(
        [&](int, int32_t e) {
          return some - e < V::kLanes ? V::LoadFirst(from + e, some - e) : V::Load(from + e);
        },
        some, numbers, &unit);
    memcpy(out + s * 4, &unit, 4);
    memcpy(out + places.numbers + s * kStretch * 2, numbers, sizeof numbers);
  }
}

// A stretch of a tile's rows: pairs of neighbouring elements, tokens side by side.
template <class V>
struct FixedKeys {
  alignas(64) int16_t pairs[kStretch / 2][kTileTokens][2];
  alignas(64) float units[kTileTokens];  // of the tokens; zero beyond the last

  template <class Reader>
  FixedKeys(Reader, const PackedRows& rows, int32_t element, int32_t length) {
    alignas(64) int16_t numbers[kTileTokens][kStretch];
    const auto load = [&](int32_t t, int32_t e) {
      const uint8_t* row = rows.data + t * rows.format.stride;
      return length - e < V::kLanes ? Reader::LoadFirst(row, element + e, length - e)
                                    : Reader::Load(row, element + e);
    };
    int32_t t = 0;
    for (; t + 4 <= rows.count; t += 4) {
      if (element == 0 && rows.ahead != nullptr) {
        PrefetchLines(rows.ahead + t * rows.format.stride, 4 * rows.format.stride);
      }
      FixVectors<V, 4>([&](int i, int32_t e) { return load(t + i, e); }, length, numbers + t,
                       units + t);
    }
    for (; t < rows.count; ++t) {
      FixVectors<V, 1>([&](int, int32_t e) { return load(t, e); }, length, numbers + t, units + t);
    }
    for (; t < kTileTokens; ++t) {
      units[t] = 0.0f;
      memset(numbers[t], 0, sizeof numbers[t]);
    }
    for (t = 0; t < kTileTokens; t += V::kLanes) {
      for (int32_t pair = 0; pair < (length + 1) / 2; pair += V::kLanes) {
        typename V::Reg words[V::kLanes];
        MLA_UNROLLED for (int i = 0; i < V::kLanes; ++i) {
          words[i] = V::LoadWords(numbers[t + i] + 2 * pair);
        }
        V::Transpose(words);
        MLA_UNROLLED for (int i = 0; i < V::kLanes; ++i) {
          V::StoreWords(words[i], pairs[pair + i][t]);
        }
      }
    }
  }
};

// scores of kRows queries with kVectors vectors of tokens, of one stretch.
template <class V, int kRows, int kVectors>
inline void ScoreFixedColumns(const FixedKeys<V>& keys, int32_t token, int32_t pairs,
                              const uint8_t* units, const uint8_t* numbers, int64_t query_stride,
                              bool add, float* scores, int64_t scores_stride) {
  using Reg = typename V::Reg;
  typename V::Sums dots[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) dots[m][v] = V::SetSums(0);
  }
  for (int32_t pair = 0; pair < pairs; ++pair) {
    typename V::Int key[kVectors];
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      key[v] =
          V::LoadInts(reinterpret_cast<const uint8_t*>(keys.pairs[pair][token + v * V::kLanes]));
    }
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const auto word = V::BroadcastInt(numbers + m * query_stride + 4 * pair);
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        dots[m][v] = V::PairAdd(dots[m][v], key[v], word, 0);
      }
    }
  }
  MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
    const Reg unit = V::Load(keys.units + token + v * V::kLanes);
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      float query_unit;
      memcpy(&query_unit, units + m * query_stride, sizeof query_unit);
      const Reg both = V::Mul(unit, V::Set1(query_unit));
      float* to = scores + m * scores_stride + token + v * V::kLanes;
      const Reg dot = V::ToFloat(dots[m][v]);
      V::Store(add ? V::MulAdd(both, dot, V::Load(to)) : V::Mul(both, dot), to);
    }
  }
}

template <class V>
void ScoreFixed(const PackedRows& rows, const uint8_t* queries, int64_t query_stride, int32_t n,
                bool add, float* scores, int64_t scores_stride) {
  const FixedQuery places(rows.format.length);
  WithReader<V>(rows.format, [&](auto reader) {
    for (int32_t s = 0; s < places.stretches; ++s) {
      const int32_t left = rows.format.length - s * kStretch;
      const int32_t length = left < kStretch ? left : kStretch;
      const FixedKeys<V> keys(reader, rows, s * kStretch, length);
      InRowBlocks<V::kSumRows>(n, [&](int32_t first, auto block) {
        constexpr int kRows = decltype(block)::value;
        constexpr int kVectors = V::kSumVectors;
        const uint8_t* some = queries + first * query_stride;
        for (int32_t t = 0; t < rows.count; t += kVectors * V::kLanes) {
          ScoreFixedColumns<V, kRows, kVectors>(
              keys, t, (length + 1) / 2, some + s * 4, some + places.numbers + s * kStretch * 2,
              query_stride, add || s > 0, scores + first * scores_stride, scores_stride);
        }
      });
    }
  });
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_FIXED_SCORES_SIMD_H_
