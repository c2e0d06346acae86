#include "tensor/k_quants.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/convert.h"
#include "tensor/scale_fit.h"

namespace mla {
namespace {

// ---- Q4_K, Q5_K: w = s * q - m, q in 0..most (15, 31), s and m in 6 bits, m >= 0

struct Affine {
  float scale = 0;
  float min = 0;  // subtracted, not negative
};

float AffineError(const float* x, Affine a, float most) {
  const float inverse = a.scale > 0 ? 1 / a.scale : 0;
  float error = 0;
  for (int i = 0; i < 32; ++i) {
    const float q = RoundClamped((x[i] + a.min) * inverse, 0, most);
    const float e = a.scale * q - a.min - x[i];
    error += e * e;
  }
  return error;
}

// Tries a range of grids over [min, max]; for each one's rounding the least-squares scale and
// minimum.
Affine FitAffine(const float* x, float most) {
  float lo = 0, hi = x[0], sum_x = 0;  // the grid always reaches up to zero: m >= 0
  for (int i = 0; i < 32; ++i) {
    lo = std::min(lo, x[i]);
    hi = std::max(hi, x[i]);
    sum_x += x[i];
  }
  Affine best;
  if (!(hi > lo)) {  // constant: -m, or zero where it cannot be reached
    best.min = -lo;
    return best;
  }
  best = {(hi - lo) / most, -lo};
  float best_error = AffineError(x, best, most);
  for (int step = 0; step <= 24; ++step) {
    const float inverse = (most - 1.5f + 0.15f * static_cast<float>(step)) / (hi - lo);
    float q1 = 0, q2 = 0, qx = 0;
    for (int i = 0; i < 32; ++i) {
      const float q = RoundClamped((x[i] - lo) * inverse, 0, most);
      q1 += q;
      q2 += q * q;
      qx += q * x[i];
    }
    const float det = 32 * q2 - q1 * q1;
    if (!(det > 0)) continue;
    Affine fit{(32 * qx - q1 * sum_x) / det, (q1 * qx - q2 * sum_x) / det};
    if (fit.min < 0) fit = {qx / q2, 0};
    if (!(fit.scale > 0)) continue;
    const float error = AffineError(x, fit, most);
    if (error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

// ---- Q3_K, Q6_K: w = s * (q - 4), s * (q - 32), s in 6 or 8 signed bits

float Grid3(float x) { return RoundClamped(x, -4, 3); }
float Grid6(float x) { return RoundClamped(x, -32, 31); }

// What Q4_K and Q5_K have in common: numbers into `block`, elements into fields of 0 .. kMost.
template <int kMost, class Block>
void QuantizeAffine(const float* x, Block* block, uint8_t fields[256]) {
  constexpr float most = kMost;
  Affine fits[8];
  float max_scale = 0, max_min = 0;
  for (int i = 0; i < 8; ++i) {
    fits[i] = FitAffine(x + i * 32, most);
    max_scale = std::max(max_scale, fits[i].scale);
    max_min = std::max(max_min, fits[i].min);
  }
  block->d = FloatToHalf(max_scale / 63);
  block->dmin = FloatToHalf(max_min / 63);
  const float d = HalfToFloat(block->d), dmin = HalfToFloat(block->dmin);
  std::memset(block->scales, 0, sizeof block->scales);
  for (int i = 0; i < 8; ++i) {
    const float* xs = x + i * 32;
    const float sc0 = d > 0 ? fits[i].scale / d : 0, mn0 = dmin > 0 ? fits[i].min / dmin : 0;
    float sc = RoundClamped(sc0, 0, 63), mn = RoundClamped(mn0, 0, 63);
    // Rounding one of the two moves the best choice of the other: look at the neighbours.
    const float base_sc = sc, base_mn = mn;
    float best = INFINITY;
    for (int k = 0; k < 9; ++k) {
      const float s = std::clamp(base_sc + static_cast<float>(k % 3 - 1), 0.0f, 63.0f);
      const float m = std::clamp(base_mn + static_cast<float>(k / 3 - 1), 0.0f, 63.0f);
      const float error = AffineError(xs, {d * s, dmin * m}, most);
      if (error < best) {
        best = error;
        sc = s;
        mn = m;
      }
    }
    const auto isc = static_cast<unsigned>(sc), imn = static_cast<unsigned>(mn);
    if (i < 4) {
      block->scales[i] |= static_cast<uint8_t>(isc);
      block->scales[i + 4] |= static_cast<uint8_t>(imn);
    } else {
      block->scales[i + 4] = static_cast<uint8_t>((isc & 15) | (imn & 15) << 4);
      block->scales[i - 4] |= static_cast<uint8_t>(isc >> 4 << 6);
      block->scales[i] |= static_cast<uint8_t>(imn >> 4 << 6);
    }
    const float scale = d * sc, min = dmin * mn;
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (int j = 0; j < 32; ++j) {
      fields[i * 32 + j] = static_cast<uint8_t>(RoundClamped((xs[j] + min) * inverse, 0, most));
    }
  }
}

// field(i, j): of element j of sub-block i.
template <class Block, typename Field>
void DequantizeAffine(const Block& block, const Field& field, float* y) {
  const float d = HalfToFloat(block.d), dmin = HalfToFloat(block.dmin);
  for (int i = 0; i < 8; ++i) {
    uint8_t sc, mn;
    UnpackScaleMin(block.scales, i, &sc, &mn);
    const float scale = d * static_cast<float>(sc), min = dmin * static_cast<float>(mn);
    for (int j = 0; j < 32; ++j) y[i * 32 + j] = scale * static_cast<float>(field(i, j)) - min;
  }
}

// Two sub-blocks share 32 bytes: low nibbles, high nibbles.
int Nibble(const uint8_t* qs, int i, int j) { return qs[i / 2 * 32 + j] >> (i % 2 * 4) & 15; }

void StoreNibbles(const uint8_t* fields, uint8_t* qs) {
  for (int k = 0; k < 128; ++k) {
    const uint8_t* low = fields + k / 32 * 64 + k % 32;
    qs[k] = static_cast<uint8_t>((low[0] & 15) | (low[32] & 15) << 4);
  }
}

}  // namespace

void DequantizeQ4_K(const BlockQ4_K& block, float* y) {
  DequantizeAffine(
      block, [&](int i, int j) { return Nibble(block.qs, i, j); }, y);
}

void DequantizeQ5_K(const BlockQ5_K& block, float* y) {
  const auto field = [&](int i, int j) {
    return Nibble(block.qs, i, j) | (block.qh[j] >> i & 1) << 4;
  };
  DequantizeAffine(block, field, y);
}

void DequantizeQ3_K(const BlockQ3_K& block, float* y) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 256; ++i) {
    const int low = block.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    const int high = block.hmask[i % 32] >> (i / 32) & 1;
    const float scale = d * static_cast<float>(UnpackScale(block.scales, i / 16));
    y[i] = scale * static_cast<float>((low | high << 2) - 4);
  }
}

void DequantizeQ6_K(const BlockQ6_K& block, float* y) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, j = i % 32;
    const int low = block.ql[half * 64 + quarter % 2 * 32 + j] >> (quarter / 2 * 4) & 15;
    const int high = block.qh[half * 32 + j] >> (quarter * 2) & 3;
    y[i] =
        d * static_cast<float>(block.scales[i / 16]) * static_cast<float>((low | high << 4) - 32);
  }
}

void QuantizeQ4_K(const float* x, BlockQ4_K* block) {
  uint8_t fields[256];
  QuantizeAffine<15>(x, block, fields);
  StoreNibbles(fields, block->qs);
}

void QuantizeQ5_K(const float* x, BlockQ5_K* block) {
  uint8_t fields[256];
  QuantizeAffine<31>(x, block, fields);
  StoreNibbles(fields, block->qs);
  std::memset(block->qh, 0, sizeof block->qh);
  for (int k = 0; k < 256; ++k) {
    block->qh[k % 32] |= static_cast<uint8_t>(fields[k] >> 4 << (k / 32));
  }
}

void QuantizeQ3_K(const float* x, BlockQ3_K* block) {
  float scales[16];
  const float extreme = FitScales<16, 16>(x, Grid3, 4, 0.1f, scales);
  std::memset(block, 0, sizeof *block);
  block->d = FloatToHalf(extreme / -32);
  const float d = HalfToFloat(block->d);
  for (int i = 0; i < 16; ++i) {
    const float* xs = x + i * 16;
    const float sc = d != 0 ? FitMultiple<16>(xs, scales[i], d, -32, 31, Grid3) : 0;
    const auto field = static_cast<unsigned>(sc + 32);
    block->scales[i % 8] |= static_cast<uint8_t>((field & 15) << (i / 8 * 4));
    block->scales[8 + i % 4] |= static_cast<uint8_t>(field >> 4 << (i / 4 * 2));
    const float inverse = sc != 0 ? 1 / (d * sc) : 0;
    for (int j = 0; j < 16; ++j) {
      const auto q = static_cast<unsigned>(Grid3(xs[j] * inverse) + 4);
      const int e = i * 16 + j, col = e % 32;
      block->qs[e / 128 * 32 + col] |= static_cast<uint8_t>((q & 3) << (e % 128 / 32 * 2));
      block->hmask[col] |= static_cast<uint8_t>(q >> 2 << (e / 32));
    }
  }
}

void QuantizeQ6_K(const float* x, BlockQ6_K* block) {
  float scales[16];
  const float extreme = FitScales<16, 16>(x, Grid6, 32, 0.1f, scales);
  std::memset(block, 0, sizeof *block);
  block->d = FloatToHalf(extreme / -128);
  const float d = HalfToFloat(block->d);
  if (d == 0) return;
  for (int i = 0; i < 16; ++i) {
    const float* xs = x + i * 16;
    const float sc = FitMultiple<16>(xs, scales[i], d, -128, 127, Grid6);
    block->scales[i] = static_cast<int8_t>(sc);
    const float inverse = sc != 0 ? 1 / (d * sc) : 0;
    for (int j = 0; j < 16; ++j) {
      const auto q = static_cast<unsigned>(Grid6(xs[j] * inverse) + 32);
      const int e = i * 16 + j, half = e / 128, quarter = e % 128 / 32, col = e % 32;
      block->ql[half * 64 + quarter % 2 * 32 + col] |=
          static_cast<uint8_t>((q & 15) << (quarter / 2 * 4));
      block->qh[half * 32 + col] |= static_cast<uint8_t>(q >> 4 << (quarter * 2));
    }
  }
}

}  // namespace mla
