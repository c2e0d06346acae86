// What attention kernels see of a cached layer. Plain: no ownership, no library types.
#ifndef MLA_CACHE_CACHE_VIEW_H_
#define MLA_CACHE_CACHE_VIEW_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

// The rows of one rotary group or one latent segment: in every page the values of kPageTokens
// tokens from byte `values` on, and their scales from byte `scales` on. Of floats, a head's rows
// are thus contiguous from token to token.
struct RowArray {
  RowFormat format;
  int64_t values;
  int64_t scales;
};

// Rows of all rotary groups and latent segments, page by page.
struct PageRows {
  const uint8_t* const* pages;  // page p holds positions [p * kPageTokens, (p + 1) * kPageTokens)
  const RowArray* rope;         // [rope_groups]
  const RowArray* latent;       // [segments]

  // Rows of `count` positions from `position` on, all in one page. Packed rows are always read from
  // their page's first token: PackedBegin(position) says where.
  PackedRows Rows(const RowArray& array, int32_t position, int32_t count) const {
    const uint8_t* page = pages[position / kPageTokens];
    if (array.format.packed()) {
      return {array.format, page + array.values,
              reinterpret_cast<const uint16_t*>(page + array.scales), count};
    }
    const int64_t slot = position % kPageTokens;
    return {array.format, page + array.values + slot * array.format.stride, nullptr, count};
  }
};

struct CacheView {
  // Every token as the cache's types have it.
  PageRows rows;
  // The newest and the first tokens again, in f16: a query at position p reads token t there where
  // t < sink or t > p - residual. Pages that no query can ask for any more are null. Both counts
  // are 0 where there is no such window.
  PageRows exact;
  // Rows of the first tokens, in one page of `sink` tokens.
  PageRows first;
  int32_t residual;
  int32_t sink;
  int64_t scalars;  // byte offset in a page of f32 [kv_heads][kPageTokens], where the layer has key
                    // scalars

  // Key scalars of a head, from `position` to the end of its page.
  const float* Scalars(int32_t kv_head, int32_t position) const {
    const uint8_t* page = rows.pages[position / kPageTokens];
    return reinterpret_cast<const float*>(page + scalars) + int64_t{kv_head} * kPageTokens +
           position % kPageTokens;
  }
};

}  // namespace mla
#endif  // MLA_CACHE_CACHE_VIEW_H_
