#include "cache/group_quantizer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "tensor/convert.h"

namespace mla {
namespace {

constexpr float kLargestHalf = 65504.0f;

uint16_t ToHalf(float value) { return FloatToHalf(std::clamp(value, -kLargestHalf, kLargestHalf)); }

// Nearest integers, for |x| < 2^22; in this form compilers turn loops into vectors.
float Round(float x) {
  constexpr float kBig = 0x1.8p23f;
  return (x + kBig) - kBig;
}

float Inverse(float scale) { return scale != 0.0f ? 1.0f / scale : 0.0f; }

GroupScale QuantizeInt8(const float* values, int32_t n, uint8_t* fields) {
  float largest = 0.0f;
  for (int32_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(values[i]));
  const uint16_t half = ToHalf(largest / 127.0f);
  const float inverse = Inverse(HalfToFloat(half));
  for (int32_t i = 0; i < n; ++i) {
    const float level = Round(std::clamp(values[i] * inverse, -127.0f, 127.0f));
    fields[i] = static_cast<uint8_t>(static_cast<int32_t>(level) + 128);
  }
  return {half, 0};
}

// Levels 0 .. most from a minimum on. Which range: narrower ones about the middle are tried, as
// shares of the whole, since rare ends cost the many between them; each is refitted by least
// squares to the levels it gives.
template <size_t kTriedCount>
GroupScale QuantizeRange(const float* values, int32_t n, float most_level,
                         const float (&tried)[kTriedCount], uint8_t* fields) {
  float low = values[0], high = values[0], sum = 0.0f;
  for (int32_t i = 0; i < n; ++i) {
    low = std::min(low, values[i]);
    high = std::max(high, values[i]);
    sum += values[i];
  }
  const float count = static_cast<float>(n);
  float best_scale = (high - low) / most_level, best_minimum = low;
  float most_explained = -1.0f;
  const float mean = sum / count, middle = 0.5f * low + 0.5f * high;
  for (const float share : tried) {
    const float from = middle - 0.5f * share * (high - low);
    const float inverse = Inverse(share * (high - low) / most_level);
    float levels = 0.0f, along = 0.0f, size = 0.0f;
    for (int32_t i = 0; i < n; ++i) {
      const float level = Round(std::min(std::max((values[i] - from) * inverse, 0.0f), most_level));
      levels += level;
      along += (values[i] - mean) * level;
      size += level * level;
    }
    const float spread = size - levels * levels / count;
    if (spread > 0.0f && along * along > most_explained * spread) {
      most_explained = along * along / spread;
      best_scale = along / spread;
      best_minimum = mean - best_scale * levels / count;
    }
  }
  const GroupScale out = {ToHalf(best_scale), ToHalf(best_minimum)};
  const float inverse = Inverse(HalfToFloat(out.scale));
  const float minimum = HalfToFloat(out.minimum);
  for (int32_t i = 0; i < n; ++i) {
    const float level =
        Round(std::min(std::max((values[i] - minimum) * inverse, 0.0f), most_level));
    fields[i] = static_cast<uint8_t>(level);
  }
  return out;
}

}  // namespace

GroupScale QuantizeGroup(CacheType type, const float* values, int32_t n, uint8_t* fields) {
  const bool finite =
      std::all_of(values, values + n, [](float value) { return std::isfinite(value); });
  if (!finite) {
    std::fill_n(fields, n, uint8_t{0});
    const uint16_t nan = FloatToHalf(std::numeric_limits<float>::quiet_NaN());
    return {nan, nan};
  }
  if (type == CacheType::kInt8) return QuantizeInt8(values, n, fields);
  if (type == CacheType::kInt4) {
    return QuantizeRange(values, n, 15.0f, {1.0f, 0.95f, 0.9f, 0.85f}, fields);
  }
  return QuantizeRange(values, n, 3.0f, {1.0f, 0.88f, 0.77f, 0.67f, 0.58f}, fields);
}

}  // namespace mla
