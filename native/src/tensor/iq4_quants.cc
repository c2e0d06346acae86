#include "tensor/iq4_quants.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/convert.h"
#include "tensor/scale_fit.h"

namespace mla {
namespace {

constexpr float kLongest = 127.0f, kStep = 2.0f;  // of the search for a scale

// The sum of what(i) over the numbers i > 0 that x is nearer to, or beyond, than to the one before;
// NaN is to none. Without a branch or a lookup, three times as fast as a search.
template <typename What>
float SumBelow(float x, const What& what) {
  float sum = 0;
  for (int i = 1; i < 16; ++i) {
    const float middle = 0.5f * static_cast<float>(kIq4Values[i - 1] + kIq4Values[i]);
    sum += x > middle ? what(i) : 0.0f;
  }
  return sum;
}

int Nearest(float x) {
  return static_cast<int>(SumBelow(x, [](int) { return 1.0f; }));
}

float Grid(float x) {
  const auto step = [](int i) { return static_cast<float>(kIq4Values[i] - kIq4Values[i - 1]); };
  return kIq4Values[0] + SumBelow(x, step);
}

void StoreNibbles(const float* x, float scale, uint8_t* qs) {
  const float inverse = scale != 0 ? 1 / scale : 0;
  for (int i = 0; i < 16; ++i) {
    qs[i] = static_cast<uint8_t>(Nearest(x[i] * inverse) | Nearest(x[i + 16] * inverse) << 4);
  }
}

void Decode(const uint8_t* qs, float scale, float* y) {
  for (int i = 0; i < 16; ++i) {
    y[i] = scale * static_cast<float>(kIq4Values[qs[i] & 15]);
    y[i + 16] = scale * static_cast<float>(kIq4Values[qs[i] >> 4]);
  }
}

}  // namespace

void DequantizeIQ4_NL(const BlockIQ4_NL& block, float* y) {
  Decode(block.qs, HalfToFloat(block.d), y);
}

void DequantizeIQ4_XS(const BlockIQ4_XS& block, float* y) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 8; ++i) {
    Decode(block.qs + i * 16, d * static_cast<float>(Iq4Scale(block, i)), y + i * 32);
  }
}

void QuantizeIQ4_NL(const float* x, BlockIQ4_NL* block) {
  block->d = FloatToHalf(FitScale<32>(x, Grid, kLongest, kStep));
  StoreNibbles(x, HalfToFloat(block->d), block->qs);
}

void QuantizeIQ4_XS(const float* x, BlockIQ4_XS* block) {
  float scales[8];
  const float extreme = FitScales<8, 32>(x, Grid, kLongest, kStep, scales);
  std::memset(block, 0, sizeof *block);
  block->d = FloatToHalf(extreme / -32);
  const float d = HalfToFloat(block->d);
  for (int i = 0; i < 8; ++i) {
    const float* xs = x + i * 32;
    const float multiple = d != 0 ? FitMultiple<32>(xs, scales[i], d, -32, 31, Grid) : 0;
    const auto field = static_cast<unsigned>(multiple + 32);
    block->scales_l[i / 2] |= static_cast<uint8_t>((field & 15) << (i % 2 * 4));
    block->scales_h[i / 4] |= static_cast<uint8_t>(field >> 4 << (i % 4 * 2));
    StoreNibbles(xs, d * multiple, block->qs + i * 16);
  }
}

}  // namespace mla
