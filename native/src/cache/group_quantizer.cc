#include "cache/group_quantizer.h"

#include <algorithm>
#include <cmath>

#include "cache/group_arithmetic.h"
#include "tensor/convert.h"

namespace mla {
namespace {

uint16_t ToHalf(float value) { return FloatToHalf(ClampToHalf(value)); }

GroupScale QuantizeInt8(const float* values, int32_t n, uint8_t* fields) {
  float largest = 0.0f;
  for (int32_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(values[i]));
  const uint16_t half = ToHalf(Int8Scale(largest));
  const float inverse = Inverse(HalfToFloat(half));
  for (int32_t i = 0; i < n; ++i) fields[i] = Int8Field(values[i], inverse);
  return {half, 0};
}

GroupScale QuantizeRange(CacheType type, const float* values, int32_t n, uint8_t* fields) {
  const float most_level = MostLevel(type);
  const GroupRange range = GroupRange::Of(values, n);
  RangeFit fit = RangeFit::Plain(range, most_level);
  for (int32_t i = 0; i < TriedShares(type); ++i) {
    fit.Consider(RangeTrial::Of(values, n, range, TriedShare(type, i), most_level), range, n);
  }
  const GroupScale out = {ToHalf(fit.scale), ToHalf(fit.minimum)};
  const float inverse = Inverse(HalfToFloat(out.scale));
  const float minimum = HalfToFloat(out.minimum);
  for (int32_t i = 0; i < n; ++i) {
    fields[i] = static_cast<uint8_t>(RangeLevel(values[i], minimum, inverse, most_level));
  }
  return out;
}

}  // namespace

GroupScale QuantizeGroup(CacheType type, const float* values, int32_t n, uint8_t* fields) {
  if (!std::all_of(values, values + n, IsFinite)) {
    std::fill_n(fields, n, uint8_t{0});
    return {kHalfNaN, kHalfNaN};
  }
  return type == CacheType::kInt8 ? QuantizeInt8(values, n, fields)
                                  : QuantizeRange(type, values, n, fields);
}

}  // namespace mla
