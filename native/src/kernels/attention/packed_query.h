// A query quantized for integer dot products with packed rows. Plain, so that every instruction
// set's file can include it.
#ifndef MLA_KERNELS_ATTENTION_PACKED_QUERY_H_
#define MLA_KERNELS_ATTENTION_PACKED_QUERY_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

// A query element is scale * digit, one scale for each of the row format's groups. Where the format
// asks for one digit, it is a signed byte of 7 bits: int4's and int2's own steps are far coarser.
// Two are 64 * high + low, 12 bits: bytes of 6 bits times unsigned bytes cannot overflow AVX2's
// 16-bit sums.
//
// In memory: what the digits' sums start from (-ZeroField * their sum) as int32 [groups][digits],
// then floats [groups] scale, floats [groups] sum of the quantized elements (of which each counts
// the row's minimum once), then group by group signed bytes [digits][elements] in the order of the
// row's fields, zero beyond its end as far as its last block.
struct PackedQuery {
  int64_t scales, sums, bytes;  // where they begin, in bytes
  int64_t size;                 // of it all, a multiple of 64

  // Never a function of its own, which files with more instructions would define for all.
  [[gnu::always_inline]] explicit PackedQuery(const RowFormat& format)
      : scales(int64_t{format.groups()} * format.query_digits * 4),
        sums(scales + int64_t{format.groups()} * 4),
        bytes(sums + int64_t{format.groups()} * 4),
        size((bytes + int64_t{format.blocks()} * format.fields() * format.query_digits * 4 + 63) /
             64 * 64) {}
};

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_QUERY_H_
