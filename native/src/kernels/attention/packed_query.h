// A query quantized for integer dot products with packed rows. Plain, so that every instruction
// set's file can include it.
#ifndef MLA_KERNELS_ATTENTION_PACKED_QUERY_H_
#define MLA_KERNELS_ATTENTION_PACKED_QUERY_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

// A query element is scale * digit, one scale for each of the row format's groups. Against int4 and
// int2 a digit is one signed byte, of 7 bits: their own steps are far coarser. Against int8 it is
// 64 * high + low, of 12 bits: bytes of 6 bits times unsigned bytes cannot overflow AVX2's 16-bit
// sums.
//
// In memory: what the digits' sums start from (-ZeroField * their sum) as int32 [groups][digits],
// then floats [groups] scale, floats [groups] sum of the quantized elements (of which each counts
// the row's minimum once), then group by group signed bytes [digits][elements] in the order of the
// row's fields, zero beyond its end as far as its last block.
constexpr int32_t QueryDigits(int32_t fields) { return fields == 1 ? 2 : 1; }

struct PackedQuery {
  int64_t scales, sums, bytes;  // where they begin, in bytes
  int64_t size;                 // of it all, a multiple of 64

  explicit PackedQuery(const RowFormat& format)
      : scales(int64_t{format.groups()} * QueryDigits(format.fields()) * 4),
        sums(scales + int64_t{format.groups()} * 4),
        bytes(sums + int64_t{format.groups()} * 4),
        size((bytes +
              int64_t{format.blocks()} * format.fields() * QueryDigits(format.fields()) * 4 + 63) /
             64 * 64) {}
};

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_QUERY_H_
