// Queries quantized for integer dot products with packed rows. Plain, so that every instruction
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
// In memory queries lie in blocks of those that a kernel scores together, `rows` of them, so that
// it reads a block from front to back: group by group
//   int32 [digits][rows]             what the digits' sums start from: -ZeroField * their sum, read
//                                    only where there are no minima,
//   float [rows]                     scales,
//   float [rows]                     sums of the quantized elements, of which each counts the
//   cached
//                                    row's minimum once,
//   int8 [words][digits][rows][4]    words of 4 elements in the order of the row's fields, zero
//                                    beyond its end as far as its last block.
struct PackedQueryGroup {
  int64_t scales, sums, words;  // where they begin, in bytes
  int64_t word;                 // bytes from a word to the next

  // Never a function of its own, which files with more instructions would define for all.
  [[gnu::always_inline]] constexpr PackedQueryGroup(int32_t digits, int32_t rows)
      : scales(int64_t{4} * digits * rows),
        sums(scales + int64_t{4} * rows),
        words(sums + int64_t{4} * rows),
        word(int64_t{4} * digits * rows) {}
};

// A query's share of its block in bytes, a multiple of 64: a block begins at its first query's
// number of shares, and kernels may read 12 bytes beyond its last word.
[[gnu::always_inline]] inline int64_t PackedQueryBytes(const RowFormat& format) {
  const PackedQueryGroup group(format.query_digits, 1);
  const int64_t words = int64_t{format.blocks()} * format.fields();
  return (format.groups() * group.words + words * group.word + 12 + 63) / 64 * 64;
}

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_PACKED_QUERY_H_
