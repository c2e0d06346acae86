#include "cache/row_codec.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "cache/group_arithmetic.h"
#include "cache/group_quantizer.h"
#include "tensor/convert.h"

namespace mla {
namespace {

void StoreFloat(CacheType type, float value, uint8_t* to) {
  const uint16_t bits =
      type == CacheType::kF16 ? FloatToHalf(ClampToHalf(value)) : FloatToBfloat16(value);
  std::memcpy(to, &bits, sizeof bits);
}

float LoadFloat(CacheType type, const uint8_t* from) {
  uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return type == CacheType::kF16 ? HalfToFloat(bits) : Bfloat16ToFloat(bits);
}

// Fields of the elements from `first`, a block's beginning, on to where they belong.
void StoreFields(const RowFormat& format, int32_t first, const uint8_t* fields, int32_t n,
                 uint8_t* row) {
  const int32_t block_elements = format.block_elements();
  for (int32_t begin = 0; begin < n; begin += block_elements) {
    uint32_t word = 0;
    for (int32_t i = begin; i < std::min(n, begin + block_elements); ++i) {
      word |= uint32_t{fields[i]} << format.field_shift(i - begin);
    }
    std::memcpy(row + (first + begin) / block_elements * kBlockStride, &word, kBlockBytes);
  }
}

int32_t LoadField(const RowFormat& format, const uint8_t* row, int32_t element) {
  const int32_t block = element / format.block_elements();
  uint32_t word;
  std::memcpy(&word, row + block * kBlockStride, kBlockBytes);
  const uint32_t field = word >> format.field_shift(element % format.block_elements());
  return static_cast<int32_t>(field & ((1u << (8 / format.fields())) - 1));
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
      StoreFloat(format.type, values[i], row + int64_t{i} * 2);
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
    for (int32_t i = 0; i < format.length; ++i) {
      values[i] = LoadFloat(format.type, row + int64_t{i} * 2);
    }
  }
}

}  // namespace mla
