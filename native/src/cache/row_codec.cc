#include "cache/row_codec.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/convert.h"

namespace mla {
namespace {

constexpr float kLargestHalf = 65504.0f;

void StoreHalf(float value, uint8_t* to) {
  const uint16_t half = FloatToHalf(value);
  std::memcpy(to, &half, sizeof half);
}

float LoadHalf(const uint8_t* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return HalfToFloat(half);
}

void EncodeInt8Group(const float* values, int32_t n, uint8_t* quantized, uint16_t* scale_at) {
  float largest = 0.0f;
  bool finite = true;
  for (int32_t i = 0; i < n; ++i) {
    finite = finite && std::isfinite(values[i]);
    largest = std::max(largest, std::fabs(values[i]));
  }
  if (!finite) {
    std::memset(quantized, 0, static_cast<size_t>(n));
    *scale_at = FloatToHalf(std::numeric_limits<float>::quiet_NaN());
    return;
  }
  *scale_at = FloatToHalf(std::min(largest / 127.0f, kLargestHalf));
  const float scale = HalfToFloat(*scale_at);
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  for (int32_t i = 0; i < n; ++i) {
    const float q = std::clamp(std::nearbyint(values[i] * inverse), -127.0f, 127.0f);
    quantized[i] = static_cast<uint8_t>(static_cast<int8_t>(q));
  }
}

}  // namespace

bool HasRowCodec(CacheType type) {
  return type == CacheType::kF32 || type == CacheType::kF16 || type == CacheType::kInt8;
}

void EncodeRow(const RowFormat& format, const float* values, uint8_t* row, uint16_t* scales) {
  assert(HasRowCodec(format.type));
  if (format.type == CacheType::kF32) {
    std::memcpy(row, values, static_cast<size_t>(format.length) * sizeof(float));
  } else if (format.type == CacheType::kF16) {
    for (int32_t i = 0; i < format.length; ++i) {
      StoreHalf(std::clamp(values[i], -kLargestHalf, kLargestHalf), row + int64_t{i} * 2);
    }
  } else {
    for (int32_t i = 0; i < format.length; i += format.group, scales += kPageTokens) {
      EncodeInt8Group(values + i, std::min(format.group, format.length - i), row + i, scales);
    }
  }
}

void DecodeRow(const PackedRows& rows, int32_t t, float* values) {
  const RowFormat& format = rows.format;
  assert(HasRowCodec(format.type));
  const uint8_t* row = rows.data + t * format.stride;
  if (format.type == CacheType::kF32) {
    std::memcpy(values, row, static_cast<size_t>(format.length) * sizeof(float));
  } else if (format.type == CacheType::kF16) {
    for (int32_t i = 0; i < format.length; ++i) values[i] = LoadHalf(row + int64_t{i} * 2);
  } else {
    for (int32_t i = 0; i < format.length; ++i) {
      values[i] = HalfToFloat(rows.scales[int64_t{i} / format.group * kPageTokens + t]) *
                  static_cast<int8_t>(row[i]);
    }
  }
}

}  // namespace mla
