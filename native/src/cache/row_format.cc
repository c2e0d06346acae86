#include "cache/row_format.h"

namespace mla {
namespace {

constexpr int64_t RoundUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

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
  RowFormat format{type, length, group, 0, 0, 0};
  const int64_t value_bytes = (static_cast<int64_t>(length) * BitsOf(type) + 7) / 8;
  if (type == CacheType::kF32 || type == CacheType::kF16) {
    format.stride = value_bytes;
    return format;
  }
  const int64_t scales = RoundUp(value_bytes, 2);
  const int64_t groups = (length + group - 1) / group;
  format.scales = static_cast<int32_t>(scales);
  format.scales_per_group = type == CacheType::kInt2 ? 2 : 1;
  format.stride = scales + groups * format.scales_per_group * 2;
  return format;
}

}  // namespace mla
