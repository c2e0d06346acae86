// How group_quantizer.h rounds a group, step by step: what the host does in turn and the GPU's
// lanes side by side, so that a page has the same bytes wherever it was written.
#ifndef MLA_CACHE_GROUP_ARITHMETIC_H_
#define MLA_CACHE_GROUP_ARITHMETIC_H_

#include <algorithm>
#include <cstdint>

#include "cache/row_format.h"
#include "cuda/both.h"

namespace mla {

inline constexpr uint16_t kHalfNaN = 0x7e00;

MLA_BOTH float ClampToHalf(float value) {
  constexpr float kLargest = 65504.0f;
  return std::clamp(value, -kLargest, kLargest);
}

// Nearest integers, for |x| < 2^22; in this form compilers turn loops into vectors.
MLA_BOTH float RoundNear(float x) {
  constexpr float kBig = 0x1.8p23f;
  return (x + kBig) - kBig;
}

MLA_BOTH bool IsFinite(float x) { return x - x == 0.0f; }
MLA_BOTH float Inverse(float scale) { return scale != 0.0f ? 1.0f / scale : 0.0f; }

// int8: fields of 1 to 255 about 128. inverse: of the scale as it is stored.
MLA_BOTH float Int8Scale(float largest) { return largest / 127.0f; }
MLA_BOTH uint8_t Int8Field(float value, float inverse) {
  const float level = RoundNear(std::clamp(value * inverse, -127.0f, 127.0f));
  return static_cast<uint8_t>(static_cast<int32_t>(level) + 128);
}

// int4 and int2: levels 0 .. most from a minimum on. Which range: narrower ones about the middle
// are tried, as shares of the whole, since rare ends cost the many between them; each is refitted
// by least squares to the levels it gives.
inline constexpr int32_t kMostTried = 5;
MLA_BOTH int32_t TriedShares(CacheType type) { return type == CacheType::kInt4 ? 4 : 5; }
MLA_BOTH float TriedShare(CacheType type, int32_t i) {
  const bool four_bits = type == CacheType::kInt4;
  return i == 0   ? 1.0f
         : i == 1 ? (four_bits ? 0.95f : 0.88f)
         : i == 2 ? (four_bits ? 0.9f : 0.77f)
         : i == 3 ? (four_bits ? 0.85f : 0.67f)
                  : 0.58f;
}
MLA_BOTH float MostLevel(CacheType type) { return type == CacheType::kInt4 ? 15.0f : 3.0f; }

MLA_BOTH float RangeLevel(float value, float from, float inverse, float most_level) {
  return RoundNear(std::min(std::max((value - from) * inverse, 0.0f), most_level));
}

struct GroupRange {
  float low, high, sum;

  MLA_BOTH static GroupRange Of(const float* values, int32_t n) {
    GroupRange range = {values[0], values[0], 0.0f};
    MLA_BOTH_UNROLL
    for (int32_t i = 0; i < n; ++i) {
      range.low = std::min(range.low, values[i]);
      range.high = std::max(range.high, values[i]);
      range.sum += values[i];
    }
    return range;
  }
};

// The levels that a share gives: their sum, their products with what the values are from their
// mean, and how far they are from their own mean.
struct RangeTrial {
  float levels, along, spread;

  MLA_BOTH static RangeTrial Of(const float* values, int32_t n, const GroupRange& range,
                                float share, float most_level) {
    const float count = static_cast<float>(n);
    const float mean = range.sum / count;
    const float middle = Times(0.5f, range.low) + Times(0.5f, range.high);
    const float from = middle - Times(0.5f * share, range.high - range.low);
    const float inverse = Inverse(share * (range.high - range.low) / most_level);
    float levels = 0.0f, along = 0.0f, size = 0.0f;
    MLA_BOTH_UNROLL
    for (int32_t i = 0; i < n; ++i) {
      const float level = RangeLevel(values[i], from, inverse, most_level);
      levels += level;
      along += Times(values[i] - mean, level);
      size += level * level;
    }
    return {levels, along, size - levels * levels / count};
  }
};

// The best of the trials that it was shown, in their order.
struct RangeFit {
  float scale, minimum, most_explained;

  MLA_BOTH static RangeFit Plain(const GroupRange& range, float most_level) {
    return {(range.high - range.low) / most_level, range.low, -1.0f};
  }
  MLA_BOTH void Consider(const RangeTrial& trial, const GroupRange& range, int32_t n) {
    if (!(trial.spread > 0.0f && trial.along * trial.along > most_explained * trial.spread)) return;
    const float count = static_cast<float>(n);
    most_explained = trial.along * trial.along / trial.spread;
    scale = trial.along / trial.spread;
    minimum = range.sum / count - scale * trial.levels / count;
  }
};

}  // namespace mla
#endif  // MLA_CACHE_GROUP_ARITHMETIC_H_
