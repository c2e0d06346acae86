#include "cache/row_format.h"

namespace mla {

RowFormat MakeRowFormat(CacheType type, int32_t length, int32_t group) {
  if (IsFloat(type)) return {type, length, 0, 0, int64_t{length} * FloatBytes(type)};
  const bool fine = type == CacheType::kInt8;
  return {type, length, group, fine ? 1 : 2, kBlockBytes, fine ? 2 : 1};
}

}  // namespace mla
