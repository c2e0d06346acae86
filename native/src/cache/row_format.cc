#include "cache/row_format.h"

namespace mla {

RowFormat MakeRowFormat(CacheType type, int32_t length, int32_t group) {
  if (type == CacheType::kF32 || type == CacheType::kF16) {
    const int64_t bytes = type == CacheType::kF32 ? 4 : 2;
    return {type, length, 0, 0, length * bytes};
  }
  const bool fine = type == CacheType::kInt8;
  return {type, length, group, fine ? 1 : 2, kBlockBytes, fine ? 2 : 1};
}

}  // namespace mla
