// What attention kernels see of a cached layer. Plain: no ownership, no library types.
#ifndef MLA_CACHE_CACHE_VIEW_H_
#define MLA_CACHE_CACHE_VIEW_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

// The rows of one rotary group or one latent segment: in every page the values of kPageTokens
// tokens from byte `values` on, and their scales from byte `scales` on. A head's rows are thus
// contiguous from token to token.
struct RowArray {
  RowFormat format;
  int64_t values;
  int64_t scales;
};

struct CacheView {
  const uint8_t* const* pages;  // page p holds positions [p * kPageTokens, (p + 1) * kPageTokens)
  const RowArray* rope;         // [rope_groups]
  const RowArray* latent;       // [segments]
  int64_t scalars;  // byte offset in a page of f32 [kv_heads][kPageTokens], where the layer has key
                    // scalars

  // Rows of `count` positions from `position` on, all in one page.
  PackedRows Rows(const RowArray& array, int32_t position, int32_t count) const {
    const uint8_t* page = pages[position / kPageTokens];
    const int64_t slot = position % kPageTokens;
    const uint16_t* scales = array.format.scales_per_group == 0
                                 ? nullptr
                                 : reinterpret_cast<const uint16_t*>(page + array.scales) + slot;
    return {array.format, page + array.values + slot * array.format.stride, scales, count};
  }
  // Key scalars of a head, from `position` to the end of its page.
  const float* Scalars(int32_t kv_head, int32_t position) const {
    const uint8_t* page = pages[position / kPageTokens];
    return reinterpret_cast<const float*>(page + scalars) + int64_t{kv_head} * kPageTokens +
           position % kPageTokens;
  }
};

}  // namespace mla
#endif  // MLA_CACHE_CACHE_VIEW_H_
