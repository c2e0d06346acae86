#include "tensor/convert.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "tensor/iq4_quants.h"
#include "tensor/k_quants.h"

namespace mla {
namespace {

uint16_t LoadU16(const void* src, int64_t i) {
  uint16_t v;
  std::memcpy(&v, static_cast<const uint8_t*>(src) + i * 2, 2);
  return v;
}

void StoreU16(void* dst, int64_t i, uint16_t v) {
  std::memcpy(static_cast<uint8_t*>(dst) + i * 2, &v, 2);
}

// To an integer in [lo, hi] by truncation; NaN, which a plain cast may not see, gives lo.
int Truncate(float x, int lo, int hi) {
  if (!(x > static_cast<float>(lo))) return lo;
  if (x >= static_cast<float>(hi)) return hi;
  return static_cast<int>(x);
}

float Inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

void DequantizeQ4_0(const BlockQ4_0& b, float* y) {
  const float d = HalfToFloat(b.d);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>((b.qs[i] & 15) - 8);
    y[i + 16] = d * static_cast<float>((b.qs[i] >> 4) - 8);
  }
}

void DequantizeQ4_1(const BlockQ4_1& b, float* y) {
  const float d = HalfToFloat(b.d), m = HalfToFloat(b.m);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(b.qs[i] & 15) + m;
    y[i + 16] = d * static_cast<float>(b.qs[i] >> 4) + m;
  }
}

// Bit i of a block's fifth bits, in the place of a field's.
int Fifth(const uint8_t qh[4], int i) { return (qh[i / 8] >> (i % 8) & 1) << 4; }

void DequantizeQ5_0(const BlockQ5_0& b, float* y) {
  const float d = HalfToFloat(b.d);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(((b.qs[i] & 15) | Fifth(b.qh, i)) - 16);
    y[i + 16] = d * static_cast<float>((b.qs[i] >> 4 | Fifth(b.qh, i + 16)) - 16);
  }
}

void DequantizeQ5_1(const BlockQ5_1& b, float* y) {
  const float d = HalfToFloat(b.d), m = HalfToFloat(b.m);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>((b.qs[i] & 15) | Fifth(b.qh, i)) + m;
    y[i + 16] = d * static_cast<float>(b.qs[i] >> 4 | Fifth(b.qh, i + 16)) + m;
  }
}

void DequantizeQ8_0(const BlockQ8_0& b, float* y) {
  const float d = HalfToFloat(b.d);
  for (int i = 0; i < 32; ++i) y[i] = d * static_cast<float>(b.qs[i]);
}

// 32 elements in fields of 0 .. most. The one of largest magnitude falls on the lowest, so that the
// longer side of the range is used. Returns the scale.
uint16_t QuantizeAroundZero(const float* x, int most, int* fields) {
  float extreme = 0;
  for (int i = 0; i < 32; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  const float zero = static_cast<float>((most + 1) / 2), d = extreme / -zero;
  const float inverse = Inverse(d);
  for (int i = 0; i < 32; ++i) fields[i] = Truncate(x[i] * inverse + (zero + 0.5f), 0, most);
  return FloatToHalf(d);
}

// The same from the least element to the largest; returns the scale.
uint16_t QuantizeFromMinimum(const float* x, int most, int* fields, uint16_t* minimum) {
  const float min = *std::min_element(x, x + 32);
  const float max = *std::max_element(x, x + 32);
  const float d = (max - min) / static_cast<float>(most);
  const float inverse = Inverse(d);
  for (int i = 0; i < 32; ++i) fields[i] = Truncate((x[i] - min) * inverse + 0.5f, 0, most);
  *minimum = FloatToHalf(min);
  return FloatToHalf(d);
}

void StoreNibbles(const int* fields, uint8_t* qs) {
  for (int i = 0; i < 16; ++i) {
    qs[i] = static_cast<uint8_t>((fields[i] & 15) | (fields[i + 16] & 15) << 4);
  }
}

void StoreFifths(const int* fields, uint8_t* qh) {
  std::fill_n(qh, 4, uint8_t{0});
  for (int i = 0; i < 32; ++i) qh[i / 8] |= static_cast<uint8_t>(fields[i] >> 4 << (i % 8));
}

void QuantizeQ4_0(const float* x, BlockQ4_0* b) {
  int fields[32];
  b->d = QuantizeAroundZero(x, 15, fields);
  StoreNibbles(fields, b->qs);
}

void QuantizeQ4_1(const float* x, BlockQ4_1* b) {
  int fields[32];
  uint16_t minimum;
  b->d = QuantizeFromMinimum(x, 15, fields, &minimum);
  b->m = minimum;
  StoreNibbles(fields, b->qs);
}

void QuantizeQ5_0(const float* x, BlockQ5_0* b) {
  int fields[32];
  b->d = QuantizeAroundZero(x, 31, fields);
  StoreNibbles(fields, b->qs);
  StoreFifths(fields, b->qh);
}

void QuantizeQ5_1(const float* x, BlockQ5_1* b) {
  int fields[32];
  uint16_t minimum;
  b->d = QuantizeFromMinimum(x, 31, fields, &minimum);
  b->m = minimum;
  StoreNibbles(fields, b->qs);
  StoreFifths(fields, b->qh);
}

void QuantizeQ8_0(const float* x, BlockQ8_0* b) {
  float amax = 0;
  for (int i = 0; i < 32; ++i) amax = std::max(amax, std::fabs(x[i]));
  const float d = amax / 127;
  const float inverse = Inverse(d);
  b->d = FloatToHalf(d);
  for (int i = 0; i < 32; ++i) {
    b->qs[i] = static_cast<int8_t>(Truncate(std::round(x[i] * inverse), -127, 127));
  }
}

}  // namespace

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 31;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {  // NaN: quiet, the top of its payload kept
    return static_cast<uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
  }
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // 65520 and above
  if (magnitude < 0x38800000) {  // below 2^-14: the sum's last place is 2^-24, it rounds for us
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(sum) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000) >> 13);
}

float Bfloat16ToFloat(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

uint16_t FloatToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

namespace {

// Blocks are read and written in place of any alignment: their structs are packed.
template <class Block, int kElements>
void DecodeBlocks(void (*decode)(const Block&, float*), const void* src, float* dst, int64_t n) {
  const auto* blocks = static_cast<const Block*>(src);
  for (int64_t i = 0; i < n / kElements; ++i) decode(blocks[i], dst + i * kElements);
}

template <class Block, int kElements>
void EncodeBlocks(void (*encode)(const float*, Block*), const float* src, void* dst, int64_t n) {
  auto* blocks = static_cast<Block*>(dst);
  for (int64_t i = 0; i < n / kElements; ++i) encode(src + i * kElements, blocks + i);
}

}  // namespace

void DequantizeRow(Type type, const void* src, float* dst, int64_t n) {
  assert(n % GetTypeTraits(type).block == 0);
  switch (type) {
    case Type::kF32:
      if (n > 0) std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
      return;
    case Type::kF16:
      for (int64_t i = 0; i < n; ++i) dst[i] = HalfToFloat(LoadU16(src, i));
      return;
    case Type::kBF16:
      for (int64_t i = 0; i < n; ++i) dst[i] = Bfloat16ToFloat(LoadU16(src, i));
      return;
    case Type::kQ4_0:
      return DecodeBlocks<BlockQ4_0, 32>(DequantizeQ4_0, src, dst, n);
    case Type::kQ4_1:
      return DecodeBlocks<BlockQ4_1, 32>(DequantizeQ4_1, src, dst, n);
    case Type::kQ5_0:
      return DecodeBlocks<BlockQ5_0, 32>(DequantizeQ5_0, src, dst, n);
    case Type::kQ5_1:
      return DecodeBlocks<BlockQ5_1, 32>(DequantizeQ5_1, src, dst, n);
    case Type::kQ8_0:
      return DecodeBlocks<BlockQ8_0, 32>(DequantizeQ8_0, src, dst, n);
    case Type::kQ3_K:
      return DecodeBlocks<BlockQ3_K, 256>(DequantizeQ3_K, src, dst, n);
    case Type::kQ4_K:
      return DecodeBlocks<BlockQ4_K, 256>(DequantizeQ4_K, src, dst, n);
    case Type::kQ5_K:
      return DecodeBlocks<BlockQ5_K, 256>(DequantizeQ5_K, src, dst, n);
    case Type::kQ6_K:
      return DecodeBlocks<BlockQ6_K, 256>(DequantizeQ6_K, src, dst, n);
    case Type::kIQ4_NL:
      return DecodeBlocks<BlockIQ4_NL, 32>(DequantizeIQ4_NL, src, dst, n);
    case Type::kIQ4_XS:
      return DecodeBlocks<BlockIQ4_XS, 256>(DequantizeIQ4_XS, src, dst, n);
  }
}

void QuantizeRow(Type type, const float* src, void* dst, int64_t n) {
  assert(n % GetTypeTraits(type).block == 0);
  switch (type) {
    case Type::kF32:
      if (n > 0) std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
      return;
    case Type::kF16:
      for (int64_t i = 0; i < n; ++i) StoreU16(dst, i, FloatToHalf(src[i]));
      return;
    case Type::kBF16:
      for (int64_t i = 0; i < n; ++i) StoreU16(dst, i, FloatToBfloat16(src[i]));
      return;
    case Type::kQ4_0:
      return EncodeBlocks<BlockQ4_0, 32>(QuantizeQ4_0, src, dst, n);
    case Type::kQ4_1:
      return EncodeBlocks<BlockQ4_1, 32>(QuantizeQ4_1, src, dst, n);
    case Type::kQ5_0:
      return EncodeBlocks<BlockQ5_0, 32>(QuantizeQ5_0, src, dst, n);
    case Type::kQ5_1:
      return EncodeBlocks<BlockQ5_1, 32>(QuantizeQ5_1, src, dst, n);
    case Type::kQ8_0:
      return EncodeBlocks<BlockQ8_0, 32>(QuantizeQ8_0, src, dst, n);
    case Type::kQ3_K:
      return EncodeBlocks<BlockQ3_K, 256>(QuantizeQ3_K, src, dst, n);
    case Type::kQ4_K:
      return EncodeBlocks<BlockQ4_K, 256>(QuantizeQ4_K, src, dst, n);
    case Type::kQ5_K:
      return EncodeBlocks<BlockQ5_K, 256>(QuantizeQ5_K, src, dst, n);
    case Type::kQ6_K:
      return EncodeBlocks<BlockQ6_K, 256>(QuantizeQ6_K, src, dst, n);
    case Type::kIQ4_NL:
      return EncodeBlocks<BlockIQ4_NL, 32>(QuantizeIQ4_NL, src, dst, n);
    case Type::kIQ4_XS:
      return EncodeBlocks<BlockIQ4_XS, 256>(QuantizeIQ4_XS, src, dst, n);
  }
}

}  // namespace mla
