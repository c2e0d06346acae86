#include "cache/row_format.h"

namespace mla {
namespace {

int BitsOf(CacheType type) {
  switch (type) {
    case CacheType::kF32:
      return 32;
    case CacheType::kF16:
      return 16;
    case CacheType::kInt8:
      return 8;
    case CacheType::kInt4:
      return 4;
    case CacheType::kInt2:
      return 2;
  }
  return 32;
}

}  // namespace

RowFormat MakeRowFormat(CacheType type, int32_t length, int32_t group) {
  RowFormat format{type, length, 0, 0, (static_cast<int64_t>(length) * BitsOf(type) + 7) / 8};
  if (type != CacheType::kF32 && type != CacheType::kF16) {
    format.group = group;
    format.scales_per_group = type == CacheType::kInt2 ? 2 : 1;
  }
  return format;
}

}  // namespace mla
