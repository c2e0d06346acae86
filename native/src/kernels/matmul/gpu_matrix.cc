#include "kernels/matmul/gpu_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "tensor/convert.h"
#include "tensor/iq4_quants.h"
#include "tensor/k_quants.h"

namespace mla {
namespace {

uint32_t Pair(uint16_t low, uint16_t high) { return low | static_cast<uint32_t>(high) << 16; }

// The lower four bits of 32 fields.
void StoreNibbles(const uint8_t* fields, uint8_t* to) {
  for (int j = 0; j < 16; ++j) {
    const uint8_t* four = fields + j / 4 * 8 + j % 4;
    to[j] = static_cast<uint8_t>((four[0] & 15) | (four[4] & 15) << 4);
  }
}

// The fifth bits of 32 fields, as kInt5 has them.
uint32_t FifthsOf(const uint8_t* fields) {
  uint32_t word = 0;
  for (int i = 0; i < 32; ++i) word |= (fields[i] >> 4 & 1u) << (i % 4 * 8 + i / 4);
  return word;
}

// Scale and minimum of a sub-block of Q4_K or Q5_K.
template <class Block>
uint32_t AffinePair(const Block& block, int sub) {
  uint8_t scale, min;
  UnpackScaleMin(block.scales, sub, &scale, &min);
  return Pair(FloatToHalf(HalfToFloat(block.d) * static_cast<float>(scale)),
              FloatToHalf(-HalfToFloat(block.dmin) * static_cast<float>(min)));
}

template <class Block>
constexpr bool kHasFifths = requires(Block block) {
  block.qh;
};

// Q4_0, Q4_1, Q5_0, Q5_1.
template <class Block>
void PackNibbles(const uint8_t* row, int64_t groups, uint8_t* values, uint32_t* scales) {
  const auto* blocks = reinterpret_cast<const Block*>(row);
  for (int64_t g = 0; g < groups; ++g) {
    const Block& block = blocks[g];
    uint8_t fields[kGpuGroup];
    for (int i = 0; i < 32; ++i) {
      fields[i] = block.qs[i % 16] >> (i / 16 * 4) & 15;
      if constexpr (kHasFifths<Block>) {
        fields[i] |= static_cast<uint8_t>((block.qh[i / 8] >> (i % 8) & 1) << 4);
      }
    }
    StoreNibbles(fields, values + g * 16);
    if constexpr (requires { block.m; }) {
      scales[g] = Pair(block.d, block.m);
    } else {  // exact, but where that is beyond the halves
      const float zero = kHasFifths<Block> ? 16.0f : 8.0f;
      scales[g] = Pair(block.d, FloatToHalf(-zero * HalfToFloat(block.d)));
    }
    if constexpr (kHasFifths<Block>) scales[groups + g] = FifthsOf(fields);
  }
}

// Q4_K, Q5_K.
template <class Block>
void PackAffine(const uint8_t* row, int64_t groups, uint8_t* values, uint32_t* scales) {
  const auto* blocks = reinterpret_cast<const Block*>(row);
  for (int64_t g = 0; g < groups; ++g) {
    const Block& block = blocks[g / 8];
    const int sub = static_cast<int>(g % 8);
    uint8_t fields[kGpuGroup];
    for (int i = 0; i < 32; ++i) {
      fields[i] = block.qs[sub / 2 * 32 + i] >> (sub % 2 * 4) & 15;
      if constexpr (kHasFifths<Block>) {
        fields[i] |= static_cast<uint8_t>((block.qh[i] >> sub & 1) << 4);
      }
    }
    StoreNibbles(fields, values + g * 16);
    scales[g] = AffinePair(block, sub);
    if constexpr (kHasFifths<Block>) scales[groups + g] = FifthsOf(fields);
  }
}

// Group g's elements of kInt8.
void StoreBytes(const int8_t* elements, int64_t groups, int64_t g, uint8_t* values) {
  std::memcpy(values + g * 16, elements, 16);
  std::memcpy(values + (groups + g) * 16, elements + 16, 16);
}

void PackQ8_0(const uint8_t* row, int64_t groups, uint8_t* values, uint32_t* scales) {
  const auto* blocks = reinterpret_cast<const BlockQ8_0*>(row);
  for (int64_t g = 0; g < groups; ++g) {
    StoreBytes(blocks[g].qs, groups, g, values);
    scales[g] = Pair(blocks[g].d, blocks[g].d);
  }
}

void PackQ3_K(const uint8_t* row, int64_t groups, uint8_t* values, uint32_t* scales) {
  const auto* blocks = reinterpret_cast<const BlockQ3_K*>(row);
  for (int64_t g = 0; g < groups; ++g) {
    const BlockQ3_K& block = blocks[g / 8];
    const int tile = static_cast<int>(g % 8);
    int8_t elements[kGpuGroup];
    for (int i = 0; i < 32; ++i) {
      const int low = block.qs[tile / 4 * 32 + i] >> (tile % 4 * 2) & 3;
      const int high = block.hmask[i] >> tile & 1;
      elements[i] = static_cast<int8_t>((low | high << 2) - 4);
    }
    StoreBytes(elements, groups, g, values);
    const float d = HalfToFloat(block.d);
    const auto scale = [&](int i) {
      return FloatToHalf(d * static_cast<float>(UnpackScale(block.scales, i)));
    };
    scales[g] = Pair(scale(tile * 2), scale(tile * 2 + 1));
  }
}

void PackQ6_K(const uint8_t* row, int64_t groups, uint8_t* values, uint32_t* scales) {
  const auto* blocks = reinterpret_cast<const BlockQ6_K*>(row);
  for (int64_t g = 0; g < groups; ++g) {
    const BlockQ6_K& block = blocks[g / 8];
    // 32 elements share a place in the block's halves of 128: two bits above four.
    const int half = static_cast<int>(g % 8 / 4), quarter = static_cast<int>(g % 4);
    const uint8_t* low = block.ql + half * 64 + quarter % 2 * 32;
    const uint8_t* high = block.qh + half * 32;
    int8_t elements[kGpuGroup];
    for (int i = 0; i < 32; ++i) {
      const int field = (low[i] >> (quarter / 2 * 4) & 15) | (high[i] >> (quarter * 2) & 3) << 4;
      elements[i] = static_cast<int8_t>(field - 32);
    }
    StoreBytes(elements, groups, g, values);
    const float d = HalfToFloat(block.d);
    const int8_t* both = block.scales + g % 8 * 2;
    scales[g] = Pair(FloatToHalf(d * both[0]), FloatToHalf(d * both[1]));
  }
}

void StoreIq4(const uint8_t* qs, int64_t groups, int64_t g, uint8_t* values) {
  int8_t elements[kGpuGroup];
  for (int i = 0; i < 32; ++i) elements[i] = kIq4Values[qs[i % 16] >> (i / 16 * 4) & 15];
  StoreBytes(elements, groups, g, values);
}

void PackIQ4_NL(const uint8_t* row, int64_t groups, uint8_t* values, uint32_t* scales) {
  const auto* blocks = reinterpret_cast<const BlockIQ4_NL*>(row);
  for (int64_t g = 0; g < groups; ++g) {
    StoreIq4(blocks[g].qs, groups, g, values);
    scales[g] = Pair(blocks[g].d, blocks[g].d);
  }
}

void PackIQ4_XS(const uint8_t* row, int64_t groups, uint8_t* values, uint32_t* scales) {
  const auto* blocks = reinterpret_cast<const BlockIQ4_XS*>(row);
  for (int64_t g = 0; g < groups; ++g) {
    const BlockIQ4_XS& block = blocks[g / 8];
    const int sub = static_cast<int>(g % 8);
    StoreIq4(block.qs + sub * 16, groups, g, values);
    const uint16_t scale =
        FloatToHalf(HalfToFloat(block.d) * static_cast<float>(Iq4Scale(block, sub)));
    scales[g] = Pair(scale, scale);
  }
}

// 2^e, so that the largest finite element lies in [2^14, 2^15) times that; its inverse is a normal
// float too.
uint32_t RowScale(Type type, const uint8_t* row, int64_t cols) {
  float largest = 0.0f;
  constexpr int64_t kAtOnce = 64;
  float values[kAtOnce];
  for (int64_t begin = 0; begin < cols; begin += kAtOnce) {
    const int64_t count = std::min(kAtOnce, cols - begin);
    DequantizeRow(type, row + RowBytes(type, begin), values, count);
    for (int64_t c = 0; c < count; ++c) {
      if (std::isfinite(values[c])) largest = std::max(largest, std::fabs(values[c]));
    }
  }
  const int exponent = largest > 0.0f ? std::max(std::ilogb(largest) - 14, -126) : 0;
  return std::bit_cast<uint32_t>(std::ldexp(1.0f, exponent));
}

int64_t ElementBytes(GpuForm form) { return form == GpuForm::kF32 ? 4 : 2; }

}  // namespace

GpuForm GpuFormOf(Type type) {
  switch (type) {
    case Type::kF32:
      return GpuForm::kF32;
    case Type::kF16:
      return GpuForm::kF16;
    case Type::kBF16:
      return GpuForm::kBf16;
    case Type::kQ4_0:
    case Type::kQ4_1:
    case Type::kQ4_K:
      return GpuForm::kInt4;
    case Type::kQ5_0:
    case Type::kQ5_1:
    case Type::kQ5_K:
      return GpuForm::kInt5;
    case Type::kQ8_0:
    case Type::kQ3_K:
    case Type::kQ6_K:
    case Type::kIQ4_NL:
    case Type::kIQ4_XS:
      return GpuForm::kInt8;
  }
  return GpuForm::kF32;
}

int64_t GpuValueBytes(GpuForm form, int64_t rows, int64_t cols) {
  switch (form) {
    case GpuForm::kInt4:
    case GpuForm::kInt5:
      return rows * cols / 2;
    case GpuForm::kInt8:
      return rows * cols;
    default:
      return rows * GpuPaddedCols(cols) * ElementBytes(form);
  }
}

int64_t GpuScaleBytes(GpuForm form, int64_t rows, int64_t cols) {
  return rows * GpuScaleWords(form, cols) * 4;
}

void PackForGpu(const Matrix& w, int64_t begin, int64_t end, uint8_t* values, uint32_t* scales) {
  const GpuForm form = GpuFormOf(w.type);
  const int64_t groups = w.cols / kGpuGroup, row_bytes = GpuValueBytes(form, 1, w.cols);
  for (int64_t r = begin; r < end; ++r) {
    const uint8_t* row = w.row(r);
    uint8_t* to = values + r * row_bytes;
    uint32_t* to_scales = scales + r * GpuScaleWords(form, w.cols);
    switch (w.type) {
      case Type::kQ4_0:
        PackNibbles<BlockQ4_0>(row, groups, to, to_scales);
        break;
      case Type::kQ4_1:
        PackNibbles<BlockQ4_1>(row, groups, to, to_scales);
        break;
      case Type::kQ4_K:
        PackAffine<BlockQ4_K>(row, groups, to, to_scales);
        break;
      case Type::kQ5_0:
        PackNibbles<BlockQ5_0>(row, groups, to, to_scales);
        break;
      case Type::kQ5_1:
        PackNibbles<BlockQ5_1>(row, groups, to, to_scales);
        break;
      case Type::kQ5_K:
        PackAffine<BlockQ5_K>(row, groups, to, to_scales);
        break;
      case Type::kQ8_0:
        PackQ8_0(row, groups, to, to_scales);
        break;
      case Type::kQ3_K:
        PackQ3_K(row, groups, to, to_scales);
        break;
      case Type::kQ6_K:
        PackQ6_K(row, groups, to, to_scales);
        break;
      case Type::kIQ4_NL:
        PackIQ4_NL(row, groups, to, to_scales);
        break;
      case Type::kIQ4_XS:
        PackIQ4_XS(row, groups, to, to_scales);
        break;
      case Type::kF32:
      case Type::kF16:
      case Type::kBF16: {
        const int64_t bytes = w.cols * ElementBytes(form);
        std::memcpy(to, row, static_cast<size_t>(bytes));
        std::memset(to + bytes, 0, static_cast<size_t>(row_bytes - bytes));
        if (form != GpuForm::kF16) *to_scales = RowScale(w.type, row, w.cols);
        break;
      }
    }
  }
}

}  // namespace mla
