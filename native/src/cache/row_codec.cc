#include "cache/row_codec.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "cache/group_quantizer.h"
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

// Fields of the elements from `first`, a block's beginning, on to where they belong.
void StoreFields(const RowFormat& format, int32_t first, const uint8_t* fields, int32_t n,
                 uint8_t* row) {
  const int32_t bits = 8 / format.fields();
  const int32_t block_elements = format.block_elements();
  for (int32_t begin = 0; begin < n; begin += block_elements) {
    uint8_t bytes[kBlockBytes] = {};
    for (int32_t i = begin; i < std::min(n, begin + block_elements); ++i) {
      const int32_t in_block = i - begin;
      bytes[in_block % 4] |= static_cast<uint8_t>(fields[i] << (in_block / 4 * bits));
    }
    std::memcpy(row + (first + begin) / block_elements * kBlockStride, bytes, sizeof bytes);
  }
}

int32_t LoadField(const RowFormat& format, const uint8_t* row, int32_t element) {
  const int32_t bits = 8 / format.fields();
  const int32_t in_block = element % format.block_elements();
  const uint8_t byte = row[element / format.block_elements() * kBlockStride + in_block % 4];
  return (byte >> (in_block / 4 * bits)) & ((1 << bits) - 1);
}

void EncodePacked(const RowFormat& format, const float* values, uint8_t* row, uint16_t* scales) {
  uint8_t fields[kMostGroup];
  for (int32_t i = 0; i < format.length; i += format.group) {
    const int32_t n = std::min(format.group, format.length - i);
    const GroupScale scale = QuantizeGroup(format.type, values + i, n, fields);
    scales[0] = scale.scale;
    if (format.scales_per_group == 2) scales[kPageTokens] = scale.minimum;
    scales += format.scales_per_group * kPageTokens;
    StoreFields(format, i, fields, n, row);
  }
}

void DecodePacked(const PackedRows& rows, int32_t t, float* values) {
  const RowFormat& format = rows.format;
  const uint8_t* row = rows.data + t * format.stride;
  for (int32_t i = 0; i < format.length; ++i) {
    const uint16_t* numbers =
        rows.scales + int64_t{i} / format.group * format.scales_per_group * kPageTokens + t;
    const float scale = HalfToFloat(numbers[0]);
    const int32_t field = LoadField(format, row, i);
    values[i] = format.scales_per_group == 2
                    ? scale * static_cast<float>(field) + HalfToFloat(numbers[kPageTokens])
                    : scale * static_cast<float>(field - ZeroField(format.type));
  }
}

}  // namespace

void EncodeRow(const RowFormat& format, const float* values, uint8_t* row, uint16_t* scales) {
  if (format.packed()) {
    EncodePacked(format, values, row, scales);
  } else if (format.type == CacheType::kF32) {
    std::memcpy(row, values, static_cast<size_t>(format.length) * sizeof(float));
  } else {
    for (int32_t i = 0; i < format.length; ++i) {
      StoreHalf(std::clamp(values[i], -kLargestHalf, kLargestHalf), row + int64_t{i} * 2);
    }
  }
}

void DecodeRow(const PackedRows& rows, int32_t t, float* values) {
  const RowFormat& format = rows.format;
  const uint8_t* row = rows.data + t * format.stride;
  if (format.packed()) {
    DecodePacked(rows, t, values);
  } else if (format.type == CacheType::kF32) {
    std::memcpy(values, row, static_cast<size_t>(format.length) * sizeof(float));
  } else {
    for (int32_t i = 0; i < format.length; ++i) values[i] = LoadHalf(row + int64_t{i} * 2);
  }
}

}  // namespace mla
