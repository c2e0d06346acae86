// Packing in the compiler's own vectors of kLanes lanes, each a group: cache/group_arithmetic.h
// step by step, written once for every instruction set's file of this folder, which says before how
// many lanes its registers have, and adds how halves are converted (`Halves`). Compiled without
// fused products and sums (cmake/isa_flags.cmake), and with nothing of group_arithmetic.h that the
// linker could give to others.
#ifndef MLA_KERNELS_ENCODE_LANES_SIMD_H_
#define MLA_KERNELS_ENCODE_LANES_SIMD_H_

#include <stdint.h>
#include <string.h>

#include "kernels/encode/encode.h"

namespace mla {
namespace {

static_assert(kEncodedTokens % kLanes == 0);
typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef uint16_t HalfBits __attribute__((vector_size(2 * kLanes)));

constexpr float kLargestHalf = 65504.0f;
constexpr uint16_t kNotANumber = 0x7e00;

inline Floats All(float x) { return Floats{} + x; }
inline Floats Least(Floats a, Floats b) { return b < a ? b : a; }
inline Floats Most(Floats a, Floats b) { return a < b ? b : a; }
inline Floats Nearest(Floats x) {
  const Floats big = All(0x1.8p23f);
  return (x + big) - big;
}
inline Floats InverseOf(Floats x) {
  const Ints zero = x == All(0.0f);
  return zero ? All(0.0f) : All(1.0f) / (zero ? All(1.0f) : x);
}

// A group a lane, of one length or, kRagged, each of its own.
template <bool kRagged>
struct LaneGroups {
  alignas(64) Floats values[kMostGroup];
  int32_t n = 0;  // of the longest
  Ints lengths = {};
  Ints finite;

  // from(lane): its values, length(lane) of them.
  template <class From, class Length>
  LaneGroups(int32_t lanes, const From& from, const Length& length) {
    int32_t each[kLanes] = {};
    for (int32_t t = 0; t < lanes; ++t) {
      each[t] = length(t);
      n = n < each[t] ? each[t] : n;
    }
    memcpy(&lengths, each, sizeof(lengths));
    alignas(64) float by_element[kMostGroup][kLanes];
    memset(by_element, 0, sizeof(by_element[0]) * static_cast<size_t>(n));
    for (int32_t t = 0; t < lanes; ++t) {
      const float* x = from(t);
      for (int32_t i = 0; i < each[t]; ++i) by_element[i][t] = x[i];
    }
    memcpy(values, by_element, sizeof(by_element[0]) * static_cast<size_t>(n));
    Floats all = {};
    for (int32_t i = 0; i < n; ++i) all += values[i] - values[i];
    finite = all == All(0.0f);
  }

  Ints Has(int32_t i) const { return kRagged ? lengths > i : Ints{} == 0; }
  Floats Count() const {
    return kRagged ? __builtin_convertvector(lengths, Floats) : All(static_cast<float>(n));
  }
};

struct LaneScales {
  HalfBits scale, minimum;
};

// Bits of halves, and what they are.
template <class Halves>
inline Floats Rounded(Floats x, HalfBits* bits) {
  const Floats most = All(kLargestHalf);
  x = x < -most ? -most : most < x ? most : x;
  Halves::To(x, bits);
  return Halves::From(*bits);
}

template <class Halves, bool kRagged>
inline LaneScales PackInt8(const LaneGroups<kRagged>& group, Ints* fields) {
  Floats largest = {};
  for (int32_t i = 0; i < group.n; ++i) {
    const Floats x = group.values[i];
    largest = Most(largest, x < All(0.0f) ? -x : x);
  }
  LaneScales out = {};
  const Floats inverse = InverseOf(Rounded<Halves>(largest / All(127.0f), &out.scale));
  for (int32_t i = 0; i < group.n; ++i) {
    const Floats x = group.values[i] * inverse;
    const Floats most = All(127.0f);
    const Floats level = Nearest(x < -most ? -most : most < x ? most : x);
    const Ints counts = group.finite & group.Has(i);
    fields[i] = counts ? __builtin_convertvector(level, Ints) + 128 : Ints{};
  }
  return out;
}

inline Floats Level(Floats x, Floats from, Floats inverse, Floats most_level) {
  return Nearest(Least(Most((x - from) * inverse, All(0.0f)), most_level));
}

template <class Halves, bool kRagged>
inline LaneScales PackRange(const LaneGroups<kRagged>& group, bool four_bits, Ints* fields) {
  static constexpr float kShares4[] = {1.0f, 0.95f, 0.9f, 0.85f};
  static constexpr float kShares2[] = {1.0f, 0.88f, 0.77f, 0.67f, 0.58f};
  const float* shares = four_bits ? kShares4 : kShares2;
  const int32_t tried = four_bits ? 4 : 5;
  const Floats most_level = All(four_bits ? 15.0f : 3.0f);
  const Floats count = group.Count();

  Floats low = group.values[0], high = group.values[0], sum = {};
  for (int32_t i = 0; i < group.n; ++i) {
    const Ints has = group.Has(i);
    low = has ? Least(low, group.values[i]) : low;
    high = has ? Most(high, group.values[i]) : high;
    sum = has ? sum + group.values[i] : sum;
  }
  Floats scale = (high - low) / most_level, minimum = low, most_explained = All(-1.0f);
  const Floats mean = sum / count;
  const Floats middle = All(0.5f) * low + All(0.5f) * high;
  for (int32_t s = 0; s < tried; ++s) {
    const Floats from = middle - All(0.5f * shares[s]) * (high - low);
    const Floats inverse = InverseOf(All(shares[s]) * (high - low) / most_level);
    Floats levels = {}, along = {}, size = {};
    for (int32_t i = 0; i < group.n; ++i) {
      const Floats any = Level(group.values[i], from, inverse, most_level);
      const Floats level = group.Has(i) ? any : All(0.0f);
      levels += level;
      along += (group.values[i] - mean) * level;
      size += level * level;
    }
    const Floats spread = size - levels * levels / count;
    const Ints better = (spread > All(0.0f)) & (along * along > most_explained * spread);
    const Floats by = better ? spread : All(1.0f);
    most_explained = better ? along * along / by : most_explained;
    scale = better ? along / by : scale;
    minimum = better ? sum / count - scale * levels / count : minimum;
  }
  LaneScales out;
  const Floats inverse = InverseOf(Rounded<Halves>(scale, &out.scale));
  const Floats from = Rounded<Halves>(minimum, &out.minimum);
  for (int32_t i = 0; i < group.n; ++i) {
    const Floats level = Level(group.values[i], from, inverse, most_level);
    const Ints counts = group.finite & group.Has(i);
    fields[i] = counts ? __builtin_convertvector(level, Ints) : Ints{};
  }
  return out;
}

template <class Halves, bool kRagged>
inline LaneScales PackFields(CacheType type, const LaneGroups<kRagged>& group, Ints* fields) {
  return type == CacheType::kInt8 ? PackInt8<Halves>(group, fields)
                                  : PackRange<Halves>(group, type == CacheType::kInt4, fields);
}

inline void NumbersOf(HalfBits bits, Ints finite, uint16_t (&each)[kLanes]) {
  memcpy(each, &bits, sizeof(each));
  for (int32_t t = 0; t < kLanes; ++t) each[t] = finite[t] != 0 ? each[t] : kNotANumber;
}

// The words of the block whose first element is `begin`, of n elements.
inline Ints WordsOf(const RowFormat& format, const Ints* fields, int32_t begin, int32_t n) {
  Ints words = {};
  for (int32_t i = 0; i < format.block_elements() && begin + i < n; ++i) {
    words |= fields[begin + i] << format.field_shift(i);
  }
  return words;
}

// Of kLanes tokens at most.
template <class Halves>
inline void PackLanes(const RowFormat& format, const float* values, int64_t stride, int32_t tokens,
                      uint8_t* row, uint16_t* scales) {
  const size_t lanes = static_cast<size_t>(tokens);
  for (int32_t i = 0; i < format.length; i += format.group) {
    const int32_t left = format.length - i, n = left < format.group ? left : format.group;
    const LaneGroups<false> group(
        tokens, [&](int32_t t) { return values + t * stride + i; }, [n](int32_t) { return n; });
    alignas(64) Ints fields[kMostGroup];
    const LaneScales numbers = PackFields<Halves>(format.type, group, fields);
    const auto put = [&](HalfBits bits, uint16_t* to) {
      uint16_t each[kLanes];
      NumbersOf(bits, group.finite, each);
      memcpy(to, each, lanes * sizeof(uint16_t));
    };
    put(numbers.scale, scales);
    if (format.scales_per_group == 2) put(numbers.minimum, scales + kPageTokens);
    scales += format.scales_per_group * kPageTokens;
    for (int32_t begin = 0; begin < n; begin += format.block_elements(), row += kBlockStride) {
      const Ints words = WordsOf(format, fields, begin, n);
      memcpy(row, &words, lanes * kBlockBytes);
    }
  }
}

// Of kLanes groups at most.
template <class Halves>
inline void PackLaneGroups(CacheType type, const PackedGroup* groups, int32_t count) {
  const LaneGroups<true> lanes(
      count, [groups](int32_t t) { return groups[t].values; },
      [groups](int32_t t) { return groups[t].n; });
  alignas(64) Ints fields[kMostGroup];
  const LaneScales numbers = PackFields<Halves>(type, lanes, fields);
  uint16_t scales[kLanes], minima[kLanes];
  NumbersOf(numbers.scale, lanes.finite, scales);
  NumbersOf(numbers.minimum, lanes.finite, minima);
  for (int32_t t = 0; t < count; ++t) {
    groups[t].scales[0] = scales[t];
    if (HasMinima(type)) groups[t].scales[kPageTokens] = minima[t];
  }
  const RowFormat format = {type, 0, 0, 0, 0};
  const int32_t elements = format.block_elements();
  for (int32_t begin = 0; begin < lanes.n; begin += elements) {
    const Ints words = WordsOf(format, fields, begin, lanes.n);
    int32_t each[kLanes];
    memcpy(each, &words, sizeof(each));
    for (int32_t t = 0; t < count; ++t) {
      if (begin >= groups[t].n) continue;
      memcpy(groups[t].row + begin / elements * kBlockStride, &each[t], kBlockBytes);
    }
  }
}

template <class Halves>
void PackGroups(CacheType type, const PackedGroup* groups, int32_t count) {
  for (int32_t t = 0; t < count; t += kLanes) {
    PackLaneGroups<Halves>(type, groups + t, count - t < kLanes ? count - t : kLanes);
  }
}

template <class Halves>
void Pack(const RowFormat& format, const float* values, int64_t stride, int32_t tokens,
          uint8_t* row, uint16_t* scales) {
  for (int32_t t = 0; t < tokens; t += kLanes) {
    PackLanes<Halves>(format, values + t * stride, stride,
                      tokens - t < kLanes ? tokens - t : kLanes, row + t * kBlockBytes, scales + t);
  }
}

// convert(floats, bits): n floats to 16 bits each, kLanes at a time.
template <class Convert>
void ToShorts(const float* values, int64_t n, uint16_t* out, const Convert& convert) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const size_t some = static_cast<size_t>(n - i < kLanes ? n - i : kLanes);
    Floats x = {};
    memcpy(&x, values + i, some * sizeof(float));
    HalfBits bits;
    convert(x, &bits);
    memcpy(out + i, &bits, some * sizeof(uint16_t));
  }
}

template <class Halves>
void ToHalves(const float* values, int64_t n, uint16_t* out) {
  ToShorts(values, n, out, [](Floats x, HalfBits* bits) {
    const Floats most = All(kLargestHalf);
    Halves::To(x < -most ? -most : most < x ? most : x, bits);
  });
}

inline void ToBfloats(const float* values, int64_t n, uint16_t* out) {
  ToShorts(values, n, out, [](Floats x, HalfBits* bits) {
    const Words whole = (Words)x, upper = whole >> 16;
    const Words nearest = (whole + 0x7fff + (upper & 1)) >> 16;
    const Words quiet = upper | 0x40;  // what is no number must not round to infinity
    *bits = __builtin_convertvector(x == x ? nearest : quiet, HalfBits);
  });
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ENCODE_LANES_SIMD_H_
