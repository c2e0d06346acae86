// Queries and scores of packed rows, written once over a vector type V like the kernels of
// tile_kernels_simd.h. V::Int is kLanes 32-bit integers, the 4 bytes of as many neighbouring
// tokens' shares of a block; V::Sums is what products of bytes are added up in, of the type that
// the compiler's own instruction has: where it differs, as that of x86's intrinsics does, GCC keeps
// a loop's sums twice, and half of them in memory.
//
// Words of 4 digits or weights come one by one, broadcast to all lanes (x86: V::kWords is 1), or
// kWords neighbours in a register of which an instruction picks one (arm64): of neighbouring
// queries here, of neighbouring tokens in sums. Products of bytes are
// of unsigned and signed ones (x86: V::kMixedDots), else of signed ones, to which int8's fields are
// made less 128.
#ifndef MLA_KERNELS_ATTENTION_PACKED_SCORES_SIMD_H_
#define MLA_KERNELS_ATTENTION_PACKED_SCORES_SIMD_H_

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

// What scores leave to the digits' sums of the field that stands for zero.
template <class V>
inline int32_t ZeroInDots(CacheType type) {
  return V::kMixedDots ? ZeroField(type) : 0;
}

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

// The same, and a query's digits.
template <class Call>
inline void WithFieldsAndDigits(const RowFormat& format, const Call& call) {
  if (format.query_digits == 2) {
    call(Constant<1>(), Constant<2>());
  } else {
    WithFields(format, [&](auto fields) { call(fields, Constant<1>()); });
  }
}

// --- queries ---

// Elements [0, n) of one query's group, `padded` with zeros: row m of a block of queries.
template <class V, int kDigits>
inline void QuantizeQueryGroup(const float* query, int32_t n, int32_t padded, int32_t zero_field,
                               const PackedQueryGroup& group, int32_t rows, uint8_t* out) {
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
  // In loops that compilers turn into vectors.
  int32_t total = 0, high_total = 0;
  uint8_t bytes[kDigits][kMostGroup];
  for (i = 0; i < kMostGroup; ++i) total += digits[i];
  for (i = 0; i < kMostGroup; ++i) {
    const int32_t high = kDigits == 1 ? digits[i] : digits[i] >> 6;
    high_total += high;
    bytes[0][i] = static_cast<uint8_t>(high);
    if constexpr (kDigits == 2) bytes[1][i] = static_cast<uint8_t>(digits[i] & 63);
  }
  for (int d = 0; d < kDigits; ++d) {
    uint8_t* to = out + group.words + d * 4 * rows;
    for (i = 0; i < padded; i += 4, to += group.word) memcpy(to, bytes[d] + i, 4);
  }
  int32_t* zeros = reinterpret_cast<int32_t*>(out);
  if constexpr (kDigits == 1) {
    zeros[0] = -zero_field * total;
  } else {
    zeros[0] = -zero_field * high_total;
    zeros[rows] = -zero_field * (total - 64 * high_total);
  }
  const float scale = largest / kMost + V::Sum(finite);  // NaN where an element is not finite
  *reinterpret_cast<float*>(out + group.scales) = scale;
  *reinterpret_cast<float*>(out + group.sums) = scale * static_cast<float>(total);
}

template <class V, int kDigits>
inline void QuantizeQueryBlock(const RowFormat& format, const float* const* queries, int32_t rows,
                               uint8_t* out) {
  const PackedQueryGroup group(kDigits, rows);
  const int32_t zero_field = ZeroInDots<V>(format.type);
  const int32_t elements = format.blocks() * format.block_elements();
  for (int32_t begin = 0; begin < format.length; begin += format.group) {
    const int32_t left = format.length - begin, room = elements - begin;
    const int32_t n = left < format.group ? left : format.group;
    const int32_t padded = room < format.group ? room : format.group;
    for (int32_t m = 0; m < rows; ++m) {
      QuantizeQueryGroup<V, kDigits>(queries[m] + begin, n, padded, zero_field, group, rows,
                                     out + 4 * m);
    }
    out += group.words + padded / 4 * group.word;
  }
}

// call(first query, Constant<rows>()) over the blocks that n queries lie in.
template <class V, int kDigits, class Call>
inline void ForEachQueryBlock(int32_t n, const Call& call) {
  InRowBlocks<V::kDots / kDigits>(n, call);
}

template <class V>
void QuantizeQueries(const RowFormat& format, const float* const* queries, int32_t n,
                     uint8_t* out) {
  const int64_t bytes = PackedQueryBytes(format);
  const auto quantize = [&](auto digits) {
    constexpr int kDigits = decltype(digits)::value;
    ForEachQueryBlock<V, kDigits>(n, [&](int32_t first, auto block) {
      QuantizeQueryBlock<V, kDigits>(format, queries + first, decltype(block)::value,
                                     out + first * bytes);
    });
  };
  if (format.query_digits == 2) {
    quantize(Constant<2>());
  } else {
    quantize(Constant<1>());
  }
}

// --- scores: kRows queries by kVectors vectors of tokens ---

// dots += one block of them, met by its kFields words of digits.
template <class V, int kFields, int kDigits, int kRows, int kVectors>
[[gnu::always_inline]] inline void DotBlock(const uint8_t* data, const uint8_t* words,
                                            typename V::Sums (&dots)[kRows][kVectors][kDigits]) {
  using Int = typename V::Int;
  Int block[kVectors];
  MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
    block[v] = V::LoadInts(data + v * V::kLanes * kBlockBytes);
  }
  MLA_UNROLLED for (int f = 0; f < kFields; ++f) {
    Int field[kVectors];
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      field[v] = V::template Field<kFields>(block[v], f);
      if constexpr (kFields == 1 && !V::kMixedDots) {
        field[v] = V::template LessEachByte<128>(field[v]);
      }
    }
    MLA_UNROLLED for (int d = 0; d < kDigits; ++d) {
      const uint8_t* from = words + (f * kDigits + d) * kRows * 4;
      Int word = V::SetInt(0);
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
        if constexpr (V::kWords == 1) {
          word = V::BroadcastInt(from + 4 * m);
        } else if (m % V::kWords == 0) {
          word = V::LoadInts(from + 4 * m);
        }
        MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
          dots[m][v][d] = V::DotAdd(dots[m][v][d], field[v], word, m % V::kWords);
        }
      }
    }
  }
}

// kRows queries by the tokens [token, token + kVectors vectors). next: null, or the values of rows
// that are to be fetched.
template <class V, int kFields, int kDigits, int kRows, int kVectors>
[[gnu::always_inline]] inline void ScoreTokens(const PackedRows& rows, const uint8_t* next,
                                               int32_t token, const uint8_t* query, bool add,
                                               float* scores) {
  using Reg = typename V::Reg;
  constexpr PackedQueryGroup kGroup(kDigits, kRows);
  constexpr int32_t kBlockElements = 4 * kFields;
  const int32_t group_blocks = rows.format.group / kBlockElements;
  int32_t blocks = (rows.format.length + kBlockElements - 1) / kBlockElements;
  const uint8_t* data = rows.data + token * kBlockBytes;
  const uint8_t* numbers = reinterpret_cast<const uint8_t*>(rows.scales + token);
  const bool fetches = next != nullptr;
  const int64_t ahead = fetches ? next - rows.data : 0;
  Reg sums[kRows][kVectors];
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) sums[m][v] = V::Zero();
  }
  for (; blocks > 0; blocks -= group_blocks) {
    typename V::Sums dots[kRows][kVectors][kDigits];
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      MLA_UNROLLED for (int d = 0; d < kDigits; ++d) {
        int32_t zero = 0;  // ZeroField where there are minima
        if constexpr (!kHasMinimum<kFields>) memcpy(&zero, query + 4 * (d * kRows + m), 4);
        MLA_UNROLLED for (int v = 0; v < kVectors; ++v) dots[m][v][d] = V::SetSums(zero);
      }
    }
    const uint8_t* words = query + kGroup.words;
    const int32_t some = blocks < group_blocks ? blocks : group_blocks;
    for (int32_t b = 0; b < some; ++b) {
      if (fetches) PrefetchLines(data + ahead, kVectors * V::kLanes * kBlockBytes);
      DotBlock<V, kFields, kDigits, kRows, kVectors>(data, words, dots);
      data += kBlockStride;
      words += kFields * kGroup.word;
    }
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      const uint8_t* at = numbers + v * V::kLanes * 2;
      if (fetches) {
        __builtin_prefetch(at + ahead, 0, 2);
        if constexpr (kHasMinimum<kFields>) {
          __builtin_prefetch(at + ahead + kPageTokens * 2, 0, 2);
        }
      }
      const Reg scale = V::LoadHalf(at);
      Reg minimum = V::Zero();
      if constexpr (kHasMinimum<kFields>) minimum = V::LoadHalf(at + kPageTokens * 2);
      const float* scales = reinterpret_cast<const float*>(query + kGroup.scales);
      const float* totals = reinterpret_cast<const float*>(query + kGroup.sums);
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
        typename V::Sums dot = dots[m][v][0];
        if constexpr (kDigits == 2) dot = V::TwoDigits(dot, dots[m][v][1]);
        const Reg unit = V::Mul(scale, V::Set1(scales[m]));
        sums[m][v] = V::MulAdd(unit, V::ToFloat(dot), sums[m][v]);
        if constexpr (kHasMinimum<kFields>) {
          sums[m][v] = V::MulAdd(minimum, V::Set1(totals[m]), sums[m][v]);
        }
      }
    }
    query = words;
    numbers += (kHasMinimum<kFields> ? 2 : 1) * kPageTokens * 2;
  }
  MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      float* to = scores + m * kTileTokens + token + v * V::kLanes;
      V::Store(add ? V::Add(V::Load(to), sums[m][v]) : sums[m][v], to);
    }
  }
}

// Never inlined: beside what a caller keeps in registers there would be too few for the sums.
template <class V, int kFields, int kDigits, int kRows>
[[gnu::noinline]] void ScoreQueryBlock(const PackedRows& rows, const uint8_t* next,
                                       const uint8_t* queries, bool add, float* scores) {
  // Few rows take more tokens, so that as many sums are under way.
  constexpr int kRoom = V::kDots / kDigits / kRows;
  constexpr int kVectors = kRoom >= 4 ? 4 : kRoom >= 2 ? 2 : 1;
  static_assert(kTileTokens % (kVectors * V::kLanes) == 0);
  for (int32_t t = 0; t < rows.count; t += kVectors * V::kLanes) {
    ScoreTokens<V, kFields, kDigits, kRows, kVectors>(rows, next, t, queries, add, scores);
  }
}

template <class V>
void ScorePacked(const PackedRows& rows, const uint8_t* queries, int32_t n, bool add,
                 float* scores) {
  const int64_t bytes = PackedQueryBytes(rows.format);
  WithFieldsAndDigits(rows.format, [&](auto fields, auto digits) {
    constexpr int kFields = decltype(fields)::value;
    constexpr int kDigits = decltype(digits)::value;
    ForEachQueryBlock<V, kDigits>(n, [&](int32_t first, auto block) {
      // What the first block fetched need not be asked for again.
      ScoreQueryBlock<V, kFields, kDigits, decltype(block)::value>(
          rows, first == 0 ? rows.ahead : nullptr, queries + first * bytes, add,
          scores + first * kTileTokens);
    });
  });
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_SCORES_SIMD_H_
