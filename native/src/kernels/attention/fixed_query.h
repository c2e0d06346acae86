// A query in fixed point, for scores of float rows that many queries meet (fixed_scores_simd.h).
// Plain, so that every instruction set's file can include it.
#ifndef MLA_KERNELS_ATTENTION_FIXED_QUERY_H_
#define MLA_KERNELS_ATTENTION_FIXED_QUERY_H_

#include <cstdint>

namespace mla {

// Elements that share a unit.
inline constexpr int32_t kStretch = 64;

// In memory: floats [stretches] unit, then 16-bit whole numbers [stretches][kStretch] of units,
// zero beyond the query's end.
struct FixedQuery {
  int32_t stretches;
  int64_t numbers;  // where they begin, in bytes
  int64_t size;     // of it all, a multiple of 64

  // Never a function of its own, which files with more instructions would define for all.
  [[gnu::always_inline]] explicit FixedQuery(int32_t length)
      : stretches((length + kStretch - 1) / kStretch),
        numbers((int64_t{stretches} * 4 + 63) / 64 * 64),
        size(numbers + int64_t{stretches} * kStretch * 2) {}
};

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_FIXED_QUERY_H_
