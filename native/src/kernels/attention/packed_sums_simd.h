// Weighted sums of packed rows, written once over a vector type V (packed_scores_simd.h).
//
// A group of the tile's elements becomes whole numbers in strips of 16 elements. Steps of a few
// tokens side by side make 32-bit lanes, one an element: pairs of tokens in 16 bits, which meet
// weights of 15 bits, or, of int4 and int2, four tokens in bytes (kBytes), which meet weights of 8
// bits in less than half of the time. What is lost of a weight then is far below the elements' own
// levels: on 4,096 tokens of text a conversion's KL divergence from its f16 cache was 0.0054 with 8
// bits and 0.0055 with 15.
//
// Strips are expanded once and used by all rows of weights; where there are few and registers
// enough (V::kExpandsInRegisters), as they come.
#ifndef MLA_KERNELS_ATTENTION_PACKED_SUMS_SIMD_H_
#define MLA_KERNELS_ATTENTION_PACKED_SUMS_SIMD_H_

#include <stdint.h>

#include "kernels/attention/packed_weights_simd.h"
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

// Elements [16 strip, 16 strip + 16) of kLanes tokens from `token` on, less the middle field or
// what is not left of it: four blocks of 4 bytes.
template <class V, int kFields, bool kBytes>
[[gnu::always_inline]] inline void LoadStrip(const PackedRows& rows, int32_t strip, int32_t token,
                                             typename V::Int (&out)[4]) {
  const int32_t blocks = (rows.format.length + 4 * kFields - 1) / (4 * kFields);
  const int32_t first = strip * (4 / kFields);
  MLA_UNROLLED for (int b = 0; b < 4 / kFields; ++b) {
    const bool inside = first + b < blocks;
    const int64_t at = (first + b) * kBlockStride + token * kBlockBytes;
    if (inside && rows.ahead != nullptr) __builtin_prefetch(rows.ahead + at, 0, 2);
    const typename V::Int block = inside ? V::LoadInts(rows.data + at) : V::SetInt(0);
    MLA_UNROLLED for (int f = 0; f < kFields; ++f) {
      out[b * kFields + f] =
          V::template LessEachByte<kMiddleField<kFields> - kMiddleInDots<V, kFields, kBytes>>(
              V::template Field<kFields>(block, f));
    }
  }
}

// A strip of all tokens, step by step: [16][tokens of a step], or a pair of tokens as V::StorePairs
// has it.
template <class V, int kFields, bool kBytes>
inline void ExpandStrip(const PackedRows& rows, int32_t strip, uint8_t* steps) {
  for (int32_t t = 0; t < rows.count; t += V::kLanes) {
    typename V::Int quads[4];
    LoadStrip<V, kFields, kBytes>(rows, strip, t, quads);
    uint8_t* to = steps + t / kStepTokens<kBytes> * kStepBytes;
    if constexpr (kBytes) {
      V::StoreQuads(quads[0], quads[1], quads[2], quads[3], to);
    } else {
      V::StorePairs(quads[0], quads[1], quads[2], quads[3], reinterpret_cast<int16_t*>(to));
    }
  }
}

// sums += steps [i, i + kSteps), whose words of weights are one load. kVectors of all strips.
template <class V, bool kBytes, int kRows, int kVectors, int kSteps>
[[gnu::always_inline]] inline void AddSteps(const uint8_t* steps, int32_t i,
                                            const GroupWeights* weights,
                                            typename V::Sums (&sums)[kRows][kVectors]) {
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

// Where sums of a group's elements belong: before * out + tile * (unit * sum + middle).
struct SumsPlace {
  const Blend* blends;  // null: out = unit * sum + middle
  int32_t length;       // elements
  float* out;
  int64_t stride;
};

template <class V, int kRows, int kVectors>
[[gnu::always_inline]] inline void DeliverSums(const typename V::Sums (&sums)[kRows][kVectors],
                                               const GroupWeights* weights,
                                               const SumsPlace& place) {
  using Reg = typename V::Reg;
  const auto part = [&](int m, Reg sum) {
    const float tile = place.blends == nullptr ? 1.0f : place.blends[m].tile;
    return V::MulAdd(V::Set1(tile * weights[m].unit), sum, V::Set1(tile * weights[m].middle));
  };
  if (place.length >= kVectors * V::kLanes && place.blends != nullptr) {
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const Reg before = V::Set1(place.blends[m].before);
      float* to = place.out + m * place.stride;
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        const Reg added = part(m, V::ToFloat(sums[m][v]));
        V::Store(V::MulAdd(V::Load(to + v * V::kLanes), before, added), to + v * V::kLanes);
      }
    }
    return;
  }
  alignas(64) float floats[kRows][kVectors * V::kLanes];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      V::Store(V::ToFloat(sums[m][v]), &floats[m][v * V::kLanes]);
    }
  }
  for (int m = 0; m < kRows; ++m) {
    float* to = place.out + m * place.stride;
    for (int32_t e = 0; e < place.length && e < kVectors * V::kLanes; e += V::kLanes) {
      const int32_t n = place.length - e;
      Reg sum = part(m, V::Load(&floats[m][e]));
      if (place.blends != nullptr) {
        const Reg old = n < V::kLanes ? V::LoadFirst(to + e, n) : V::Load(to + e);
        sum = V::MulAdd(old, V::Set1(place.blends[m].before), sum);
      }
      if (n < V::kLanes) {
        V::StoreFirst(sum, to + e, n);
      } else {
        V::Store(sum, to + e);
      }
    }
  }
}

// kRows rows by kStrips expanded strips. Never inlined: beside what a caller keeps in registers
// there would be too few for the sums.
template <class V, int kFields, bool kBytes, int kRows, int kStrips>
[[gnu::noinline]] void SumStrips(const uint8_t* steps, int32_t count, const GroupWeights* weights,
                                 const SumsPlace& place) {
  constexpr int kVectors = kStrips * kStripElements / V::kLanes;
  constexpr int kMiddle = kMiddleInDots<V, kFields, kBytes>;
  typename V::Sums sums[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    const auto start = V::SetSums(kMiddle == 0 ? 0 : -kMiddle * weights[m].total);
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
  DeliverSums<V>(sums, weights, place);
}

// kRows rows by kStrips strips from `strip` on, expanded in registers. Weights beyond the last
// token are zeros to the end of its vector.
template <class V, int kFields, int kRows, int kStrips>
[[gnu::noinline]] void SumPackedStrips(const PackedRows& rows, int32_t strip,
                                       const GroupWeights* weights, const SumsPlace& place) {
  constexpr int kStripVectors = kStripElements / V::kLanes;
  constexpr int kVectors = kStrips * kStripVectors;
  typename V::Sums sums[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) sums[m][v] = V::SetSums(0);
  }
  for (int32_t t = 0; t < rows.count; t += V::kLanes) {
    typename V::Int quads[kStrips][4];
    MLA_UNROLLED for (int s = 0; s < kStrips; ++s) {
      LoadStrip<V, kFields, true>(rows, strip + s, t, quads[s]);
      V::ToQuads(quads[s]);
    }
    MLA_UNROLLED for (int q = 0; q < 4 / kStripVectors; ++q) {
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
        const auto word = V::BroadcastInt(weights[m].rounded + t + 4 * q);
        MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
          const auto values = quads[v / kStripVectors][q * kStripVectors + v % kStripVectors];
          sums[m][v] = V::DotAdd(sums[m][v], word, values, 0);
        }
      }
    }
  }
  DeliverSums<V>(sums, weights, place);
}

// A group of the tile's elements, expanded.
template <class V, int kFields, bool kBytes>
struct Group {
  Group(const PackedRows& rows, int32_t index)
      : begin(index * rows.format.group),
        length(rows.format.length - begin < rows.format.group ? rows.format.length - begin
                                                              : rows.format.group) {
    for (int32_t s = 0; s < strips(); ++s) {
      ExpandStrip<V, kFields, kBytes>(rows, begin / kStripElements + s,
                                      steps + s * kStripBytes<kBytes>);
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

  void Decode(const GroupNumbers<V, kFields, kBytes>& numbers, float* out,
              int64_t out_stride) const {
    for (int32_t t = 0; t < numbers.count; ++t) {
      const float middle = kHasMinimum<kFields> ? numbers.middles[t] : 0.0f;
      for (int32_t s = 0; s < strips(); ++s) {
        const int32_t left = length - s * kStripElements;
        const uint8_t* from =
            steps + s * kStripBytes<kBytes> + t / kStepTokens<kBytes> * kStepBytes;
        float* to = out + t * out_stride + s * kStripElements;
        for (int32_t e = 0; e < (left < kStripElements ? left : kStripElements); ++e) {
          to[e] = numbers.scales[t] * Element(from, t % kStepTokens<kBytes>, e) + middle;
        }
      }
    }
  }

  const int32_t begin;  // the first element
  const int32_t length;
  alignas(64) uint8_t steps[kMostGroup / kStripElements * kStripBytes<kBytes>];
};

// sum(strip, SumsPlace of its first element, Constant<strips>()) over a group's strips, as many at
// a time as kRows rows leave registers for.
template <class V, int kRows, class Sum>
inline void ForEachStrips(const SumsPlace& group, const Sum& sum) {
  constexpr int kVectors = kStripElements / V::kLanes;
  constexpr int kStrips = 2 * kRows * kVectors <= V::kPackedSums ? 2 : 1;
  SumsPlace place = group;
  int32_t strip = 0;
  const auto next = [&](auto strips) {
    sum(strip, place, strips);
    constexpr int32_t kElements = decltype(strips)::value * kStripElements;
    strip += decltype(strips)::value;
    place.length -= kElements;
    place.out += kElements;
  };
  while (place.length > (kStrips - 1) * kStripElements) next(Constant<kStrips>());
  if constexpr (kStrips > 1) {
    if (place.length > 0) next(Constant<1>());
  }
}

// What AccumulateFields is given, for one group after the other.
struct SumsTask {
  const PackedRows& rows;
  const float* weights;
  int64_t weights_stride;
  const Blend* blends;  // null: out is overwritten
  int32_t n;            // rows of weights
  float* out;
  int64_t out_stride;

  int32_t groups() const { return rows.format.groups(); }
  int32_t begin(int32_t group) const { return group * rows.format.group; }
  // Of weights' rows from `first` on.
  SumsPlace Place(int32_t group, int32_t first) const {
    const int32_t left = rows.format.length - begin(group);
    return {blends == nullptr ? nullptr : blends + first,
            left < rows.format.group ? left : rows.format.group,
            out + first * out_stride + begin(group), out_stride};
  }
};

// The sums of a group in floats.
template <class V, int kFields, bool kBytes>
void AccumulateUneven(const SumsTask& task, int32_t index,
                      const GroupNumbers<V, kFields, kBytes>& numbers) {
  const Group<V, kFields, kBytes> group(task.rows, index);
  alignas(64) float values[kTileTokens * kMostGroup];
  group.Decode(numbers, values, kMostGroup);
  const RowFormat format{CacheType::kF32, group.length, 0, 0, 4 * kMostGroup};
  AccumulateFloats<V>({format, reinterpret_cast<const uint8_t*>(values), nullptr, numbers.count},
                      task.weights, task.weights_stride, task.blends, task.n,
                      task.out + group.begin, task.out_stride);
}

// Few rows, strips expanded as they come. Scales of the next group are read, and its weights
// measured, ahead of a group's sums: what waits for that is far behind it.
template <class V, int kFields, int kRows>
[[gnu::noinline]] void AccumulateFewRows(const SumsTask& task) {
  struct {
    GroupNumbers<V, kFields, true> numbers;
    GroupWeights weights[kRows];
  } both[2];
  const auto measure = [&](int32_t g) {
    auto& group = both[g % 2];
    group.numbers.Read(task.rows, g);
    MeasureWeights<V, kRows>(task.weights, task.weights_stride, group.numbers, group.weights);
  };
  measure(0);
  for (int32_t g = 0; g < task.groups(); ++g) {
    auto& group = both[g % 2];
    const bool uneven = group.numbers.IsUneven();
    if (!uneven) {
      RoundWeights<V, kFields, true, kRows>(task.weights, task.weights_stride, group.numbers,
                                            group.weights);
    }
    if (g + 1 < task.groups()) measure(g + 1);
    if (uneven) {
      AccumulateUneven(task, g, group.numbers);
      continue;
    }
    const int32_t first_strip = task.begin(g) / kStripElements;
    ForEachStrips<V, kRows>(task.Place(g, 0),
                            [&](int32_t strip, const SumsPlace& place, auto strips) {
                              SumPackedStrips<V, kFields, kRows, decltype(strips)::value>(
                                  task.rows, first_strip + strip, group.weights, place);
                            });
  }
}

// Many rows: a group of the tile is expanded once for all.
template <class V, int kFields, bool kBytes>
void AccumulateManyRows(const SumsTask& task) {
  for (int32_t g = 0; g < task.groups(); ++g) {
    GroupNumbers<V, kFields, kBytes> numbers;
    numbers.Read(task.rows, g);
    if (numbers.IsUneven()) {
      AccumulateUneven(task, g, numbers);
      continue;
    }
    const Group<V, kFields, kBytes> tile(task.rows, g);
    InRowBlocks<V::kPackedRows>(task.n, [&](int32_t first, auto block) {
      constexpr int kRows = decltype(block)::value;
      const float* weights = task.weights + first * task.weights_stride;
      GroupWeights group[kRows];
      MeasureWeights<V, kRows>(weights, task.weights_stride, numbers, group);
      RoundWeights<V, kFields, kBytes, kRows>(weights, task.weights_stride, numbers, group);
      ForEachStrips<V, kRows>(
          task.Place(g, first), [&](int32_t strip, const SumsPlace& place, auto strips) {
            SumStrips<V, kFields, kBytes, kRows, decltype(strips)::value>(
                tile.steps + strip * kStripBytes<kBytes>, task.rows.count, group, place);
          });
    });
  }
}

template <class V, int kFields, bool kBytes>
void AccumulateFields(const SumsTask& task) {
  if constexpr (kBytes && V::kExpandsInRegisters) {
    if (task.n <= V::kPackedRows) {
      CallWithRows<V::kPackedRows>(task.n, 0, [&](int32_t, auto rows) {
        AccumulateFewRows<V, kFields, decltype(rows)::value>(task);
      });
      return;
    }
  }
  AccumulateManyRows<V, kFields, kBytes>(task);
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_SUMS_SIMD_H_
