// Several rows of the cache at once, the same bytes as EncodeRow's one by one (cache/row_codec.h):
// neighbouring tokens, or a single token's groups, run side by side in a register's lanes.
#ifndef MLA_KERNELS_ENCODE_ENCODE_H_
#define MLA_KERNELS_ENCODE_ENCODE_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

enum class Isa;

inline constexpr int32_t kEncodedTokens = 16;

// A group of a token's packed row, wherever that is.
struct PackedGroup {
  const float* values;
  int32_t n;         // of them, 1 to kMostGroup
  uint8_t* row;      // its first block's share
  uint16_t* scales;  // its first number
};

struct EncodeKernels {
  // Packed rows of `tokens` <= kEncodedTokens tokens that lie in one page; theirs are `stride`
  // floats apart. row, scales: the first token's, as for EncodeRow.
  void (*pack)(const RowFormat& format, const float* values, int64_t stride, int32_t tokens,
               uint8_t* row, uint16_t* scales);
  // At most kEncodedTokens groups.
  void (*pack_groups)(CacheType type, const PackedGroup* groups, int32_t count);
  // n floats to f16, the nearest, at most the largest finite one.
  void (*to_halves)(const float* values, int64_t n, uint16_t* out);
  // n floats to bf16, the nearest.
  void (*to_bfloats)(const float* values, int64_t n, uint16_t* out);
};

// For tests: a given implementation; an ISA without its own gets the next best.
const EncodeKernels& GetEncodeKernels(Isa isa);
// Of the ISA that was chosen.
const EncodeKernels& GetEncodeKernels();

}  // namespace mla
#endif  // MLA_KERNELS_ENCODE_ENCODE_H_
