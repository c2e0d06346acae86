// For tests: cache options in a line.
#ifndef MLA_CACHE_CACHE_TESTING_H_
#define MLA_CACHE_CACHE_TESTING_H_

#include "cache/layout.h"

namespace mla {

// One type for all rows.
inline CacheOptions Of(CacheType type, int32_t residual = 0, int32_t sink = 0) {
  CacheOptions options;
  options.latent = options.rope = type;
  options.residual = residual;
  options.sink = sink;
  return options;
}

}  // namespace mla
#endif  // MLA_CACHE_CACHE_TESTING_H_
