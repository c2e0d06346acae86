// Queries and scores of packed rows, written once over a vector type V like the kernels of
// tile_kernels_simd.h. V::Int is kLanes 32-bit integers, the 4 bytes of as many neighbouring
// tokens' shares of a block; V::Sums is what products of bytes are added up in, of the type that
// the compiler's own instruction has: where it differs, as that of x86's intrinsics does, GCC keeps
// a loop's sums twice, and half of them in memory.
//
// Words of 4 digits or weights come one by one, broadcast to all lanes (x86: V::kWords is 1), or
// kWords neighbours in a register of which an instruction picks one (arm64). Products of bytes are
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
  const int32_t zero_field = ZeroInDots<V>(format.type);
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
  if (format.query_digits == 2) {
    QuantizeQueryDigits<V, 2>(format, query, out);
  } else {
    QuantizeQueryDigits<V, 1>(format, query, out);
  }
}

// --- scores: kRows queries by kVectors vectors of tokens ---

// dots += kBlocks blocks of them, kWords words of digits a load.
template <class V, int kFields, int kDigits, int kRows, int kVectors, int kBlocks, int kWords>
[[gnu::always_inline]] inline void DotBlocks(const uint8_t* data, const uint8_t* bytes,
                                             int64_t query_stride, int32_t digit_bytes,
                                             typename V::Sums (&dots)[kRows][kVectors][kDigits]) {
  using Int = typename V::Int;
  Int words[kRows][kDigits];
  MLA_UNROLLED for (int b = 0; b < kBlocks; ++b) {
    Int block[kVectors];
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      block[v] = V::LoadInts(data + b * kBlockStride + v * V::kLanes * kBlockBytes);
    }
    MLA_UNROLLED for (int f = 0; f < kFields; ++f) {
      const int word = b * kFields + f;
      Int field[kVectors];
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        field[v] = V::template Field<kFields>(block[v], f);
        if constexpr (kFields == 1 && !V::kMixedDots) {
          field[v] = V::template LessEachByte<128>(field[v]);
        }
      }
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
        MLA_UNROLLED for (int d = 0; d < kDigits; ++d) {
          if (word % kWords == 0) {
            const uint8_t* from = bytes + m * query_stride + d * digit_bytes + word * 4;
            words[m][d] = kWords == 1 ? V::BroadcastInt(from) : V::LoadInts(from);
          }
          MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
            dots[m][v][d] = V::DotAdd(dots[m][v][d], field[v], words[m][d], word % kWords);
          }
        }
      }
    }
  }
}

template <class V, int kFields, int kDigits, int kRows, int kVectors>
inline void ScorePackedBlock(const PackedRows& rows, const PackedQuery& places, int32_t token,
                             const uint8_t* queries, int64_t query_stride, bool add, float* scores,
                             int64_t scores_stride) {
  using Reg = typename V::Reg;
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
    typename V::Sums dots[kRows][kVectors][kDigits];
    MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
      const int32_t* zeros = reinterpret_cast<const int32_t*>(queries + m * query_stride);
      MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
        MLA_UNROLLED for (int d = 0; d < kDigits; ++d) {
          dots[m][v][d] = V::SetSums(zeros[g * kDigits + d]);
        }
      }
    }
    const int32_t end = b + group_blocks < blocks ? b + group_blocks : blocks;
    const int32_t digit_bytes = (end - b) * (4 * kFields);
    const uint8_t* bytes = queries + places.bytes + b * (4 * kFields * kDigits);
    const auto add_blocks = [&](auto together, auto words) {
      constexpr int kBlocks = decltype(together)::value;
      if (rows.ahead != nullptr) {
        for (int i = 0; i < kBlocks; ++i) {
          PrefetchLines(rows.ahead + (b + i) * kBlockStride + token * kBlockBytes,
                        kVectors * V::kLanes * kBlockBytes);
        }
      }
      DotBlocks<V, kFields, kDigits, kRows, kVectors, kBlocks, decltype(words)::value>(
          rows.data + b * kBlockStride + token * kBlockBytes, bytes, query_stride, digit_bytes,
          dots);
      b += kBlocks;
      bytes += kBlocks * 4 * kFields;
    };
    constexpr int kTogether = V::kWords > kFields ? V::kWords / kFields : 1;
    while (b + kTogether <= end) add_blocks(Constant<kTogether>(), Constant<V::kWords>());
    if constexpr (kTogether > 1) {
      while (b < end) add_blocks(Constant<1>(), Constant<1>());
    }
    MLA_UNROLLED for (int v = 0; v < kVectors; ++v) {
      const uint8_t* at = numbers + v * V::kLanes * 2;
      if (rows.ahead != nullptr) {
        __builtin_prefetch(rows.ahead + (at - rows.data), 0, 2);
        if constexpr (kHasMinimum<kFields>) {
          __builtin_prefetch(rows.ahead + (at - rows.data) + kPageTokens * 2, 0, 2);
        }
      }
      const Reg scale = V::LoadHalf(at);
      Reg minimum = V::Zero();
      if constexpr (kHasMinimum<kFields>) minimum = V::LoadHalf(at + kPageTokens * 2);
      MLA_UNROLLED for (int m = 0; m < kRows; ++m) {
        const uint8_t* query = queries + m * query_stride;
        typename V::Sums dot = dots[m][v][0];
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
void ScorePacked(const PackedRows& all, const uint8_t* queries, int64_t query_stride, int32_t n,
                 bool add, float* scores, int64_t scores_stride) {
  const PackedQuery places(all.format);
  PackedRows rows = all;
  WithFieldsAndDigits(rows.format, [&](auto fields, auto digits) {
    constexpr int kFields = decltype(fields)::value;
    constexpr int kDigits = decltype(digits)::value;
    constexpr int kMostRows = V::kDots / kDigits;
    InRowBlocks<kMostRows>(n, [&](int32_t first, auto block) {
      constexpr int kRows = decltype(block)::value;
      // Few rows take more tokens, so that as many sums are under way.
      constexpr int kRoom = kMostRows / kRows;
      constexpr int kVectors = kRoom >= 4 ? 4 : kRoom >= 2 ? 2 : 1;
      static_assert(kTileTokens % (kVectors * V::kLanes) == 0);
      if (first > 0) rows.ahead = nullptr;
      for (int32_t t = 0; t < rows.count; t += kVectors * V::kLanes) {
        ScorePackedBlock<V, kFields, kDigits, kRows, kVectors>(
            rows, places, t, queries + first * query_stride, query_stride, add,
            scores + first * scores_stride, scores_stride);
      }
    });
  });
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_SCORES_SIMD_H_
