// Where everything of a layer lies in one of its pages.
#ifndef MLA_CACHE_PAGE_PLACES_H_
#define MLA_CACHE_PAGE_PLACES_H_

#include <cstdint>
#include <vector>

#include "cache/cache_view.h"
#include "cache/layout.h"

namespace mla {

struct PagePlaces {
  std::vector<RowArray> rope;
  std::vector<RowArray> latent;
  int64_t scalars = 0;
  int64_t page_bytes = 0;
};

// Rows as the options' types have them, and scalars, kPageTokens tokens a page.
PagePlaces PlaceRows(const CacheOptions& options, const LayerLayout& layout);
// The same rows in f16 where those are quantized and without scalars, `tokens` a page.
PagePlaces PlaceExactRows(const CacheOptions& options, const LayerLayout& layout, int32_t tokens);

// The options with no window and no sink where nothing is quantized: it would hold what is there
// anyway.
CacheOptions WindowOptions(const CacheOptions& options);

}  // namespace mla
#endif  // MLA_CACHE_PAGE_PLACES_H_
