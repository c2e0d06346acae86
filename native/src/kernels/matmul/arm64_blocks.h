// Quantized blocks of 8 rows, read from the file's layout or from packed panels into the order that
// sdot wants: a register holds 4 consecutive columns of each of 4 rows, bytes that are the same
// signed or unsigned but for Q8_0's and IQ4's, which are signed; row r in 32-bit lane r. A tile is
// 32 columns of 8 rows. For the arm64_*.cc files of this folder.
#ifndef MLA_KERNELS_MATMUL_ARM64_BLOCKS_H_
#define MLA_KERNELS_MATMUL_ARM64_BLOCKS_H_

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "tensor/types.h"

namespace mla {
namespace {

constexpr int kTileRows = 8;

// Of rows 0 - 3 and of rows 4 - 7.
struct Floats {
  float32x4_t v[2];
};
struct Words {
  uint8x16_t v[2];
};

template <typename Call>
[[gnu::always_inline]] inline Floats BothQuads(const Call& call) {
  return {{call(0), call(1)}};
}
template <typename Call>
[[gnu::always_inline]] inline Words BothWords(const Call& call) {
  return {{call(0), call(1)}};
}

// w[r, c] = scale[r] * q[r, c] + min[r], apart for each half of the columns where kScales is 2.
template <int kScales>
struct Tile {
  Words q[8];
  Floats scale[kScales];
  Floats min[kScales];
};

Floats Times(const Floats& a, float by) {
  return BothQuads([&](int i) { return vmulq_n_f32(a.v[i], by); });
}

// Eight halves, row after row.
Floats FromHalves(uint16x8_t v) {
  return {{vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(v))),
           vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(v)))}};
}
// The two half-precision numbers of each lane.
void BothHalves(const Words& words, Floats* low, Floats* high) {
  const uint16x8_t a = vreinterpretq_u16_u8(words.v[0]), b = vreinterpretq_u16_u8(words.v[1]);
  *low = FromHalves(vuzp1q_u16(a, b));
  *high = FromHalves(vuzp2q_u16(a, b));
}

// Where a block of each of the panel's rows lies in the file's layout.
struct BlockRows {
  const uint8_t* first;
  int64_t stride;

  void Set(const uint8_t* row, int64_t row_stride) {
    first = row;
    stride = row_stride;
  }
  void Advance(int64_t bytes) { first += bytes; }

  Words Load32(int64_t at) const {
    return BothWords([&](int i) {
      const uint8_t* p = first + 4 * i * stride + at;
      uint32_t words[4];
      for (int r = 0; r < 4; ++r) memcpy(&words[r], p + r * stride, sizeof(words[r]));
      return vreinterpretq_u8_u32(vld1q_u32(words));
    });
  }
  Floats FirstHalf() const { return LastHalf(0); }
  Floats LastHalf(int64_t at) const {
    uint16_t halves[8];
    for (int r = 0; r < 8; ++r) memcpy(&halves[r], first + r * stride + at, sizeof(halves[r]));
    return FromHalves(vld1q_u16(halves));
  }
  // 16 bytes of every row, transposed: out[j] holds bytes 4j .. 4j + 3 of row r in lane r.
  void Load128(int64_t at, Words out[4]) const {
    for (int i = 0; i < 2; ++i) {
      const uint8_t* p = first + 4 * i * stride + at;
      const auto row = [&](int r) { return vreinterpretq_u32_u8(vld1q_u8(p + r * stride)); };
      const uint32x4_t a = row(0), b = row(1), c = row(2), d = row(3);
      const uint64x2_t ab_low = vreinterpretq_u64_u32(vzip1q_u32(a, b));
      const uint64x2_t ab_high = vreinterpretq_u64_u32(vzip2q_u32(a, b));
      const uint64x2_t cd_low = vreinterpretq_u64_u32(vzip1q_u32(c, d));
      const uint64x2_t cd_high = vreinterpretq_u64_u32(vzip2q_u32(c, d));
      out[0].v[i] = vreinterpretq_u8_u64(vzip1q_u64(ab_low, cd_low));
      out[1].v[i] = vreinterpretq_u8_u64(vzip2q_u64(ab_low, cd_low));
      out[2].v[i] = vreinterpretq_u8_u64(vzip1q_u64(ab_high, cd_high));
      out[3].v[i] = vreinterpretq_u8_u64(vzip2q_u64(ab_high, cd_high));
    }
  }
};

// A block of a packed panel: its 32-bit words of 8 rows side by side, and where blocks are no whole
// number of words the half that is left over of each.
struct PackedBlock {
  const uint8_t* words;
  const uint8_t* halves;

  Words Load32(int64_t at) const {
    return BothWords([&](int i) { return vld1q_u8(words + at / 4 * 4 * kTileRows + 16 * i); });
  }
  Floats FirstHalf() const { return FromHalves(vreinterpretq_u16_u8(vld1q_u8(halves))); }
  Floats LastHalf(int64_t) const { return FirstHalf(); }
  void Load128(int64_t at, Words out[4]) const {
    for (int j = 0; j < 4; ++j) out[j] = Load32(at + 4 * j);
  }
};

Words LowNibbles(const Words& w) {
  return BothWords([&](int i) { return vandq_u8(w.v[i], vdupq_n_u8(15)); });
}
Words HighNibbles(const Words& w) {
  return BothWords([&](int i) { return vshrq_n_u8(w.v[i], 4); });
}

// Bits from `shift` on of every lane's word.
uint32x4_t Bits(uint8x16_t v, int shift, uint32_t mask) {
  return vandq_u32(vshlq_u32(vreinterpretq_u32_u8(v), vdupq_n_s32(-shift)), vdupq_n_u32(mask));
}

// Scales of six bits, 32 above what they stand for.
Floats SixBits(const Floats& d, const Words& low, int low_shift, const Words& high,
               int high_shift) {
  return BothQuads([&](int i) {
    const uint32x4_t field =
        vorrq_u32(Bits(low.v[i], low_shift, 15), vshlq_n_u32(Bits(high.v[i], high_shift, 3), 4));
    const int32x4_t scale = vsubq_s32(vreinterpretq_s32_u32(field), vdupq_n_s32(32));
    return vmulq_f32(d.v[i], vcvtq_f32_s32(scale));
  });
}

// What IQ4's fields stand for.
Words Iq4Bytes(const Words& fields) {
  const uint8x16_t values = vreinterpretq_u8_s8(vld1q_s8(kIq4Values));
  return BothWords([&](int i) { return vqtbl1q_u8(values, fields.v[i]); });
}

// Each reader: Begin at the rows' next block, then Load(t) for its tiles in order.

// Bytes i = elements i (low nibbles) and i + 16 (high).
void SplitNibbles(const Words bytes[4], Tile<1>* tile) {
  for (int j = 0; j < 4; ++j) {
    tile->q[j] = LowNibbles(bytes[j]);
    tile->q[4 + j] = HighNibbles(bytes[j]);
  }
}

// Bit i of a lane's word is the fifth of its element i.
void AddFifths(const Words& bits, Tile<1>* tile) {
  static constexpr uint8_t kFirstByte[16] = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};
  const uint8x16_t first_byte = vld1q_u8(kFirstByte);
  for (int j = 0; j < 8; ++j) {
    const uint8x16_t byte = vaddq_u8(first_byte, vdupq_n_u8(static_cast<uint8_t>(j / 2)));
    const uint8x16_t bit =
        vreinterpretq_u8_u32(vdupq_n_u32(j % 2 == 0 ? 0x08040201u : 0x80402010u));
    tile->q[j] = BothWords([&](int i) {
      const uint8x16_t set = vtstq_u8(vqtbl1q_u8(bits.v[i], byte), bit);
      return vorrq_u8(tile->q[j].v[i], vandq_u8(set, vdupq_n_u8(16)));
    });
  }
}

// Q4_0, Q4_1, Q5_0, Q5_1: a scale, maybe a minimum, maybe fifth bits, nibbles.
template <bool kMinimum, bool kFifths>
struct ReadNibbles {
  static constexpr int kNumberBytes = kMinimum ? 4 : 2, kFifthBytes = kFifths ? 4 : 0;
  static constexpr int kBytes = kNumberBytes + kFifthBytes + 16, kTiles = 1, kScales = 1;
  using Tile = mla::Tile<1>;
  template <typename Rows>
  void Begin(const Rows&) {}
  template <typename Rows>
  void Load(const Rows& rows, int, Tile* tile) {
    Words bytes[4];
    rows.Load128(kNumberBytes + kFifthBytes, bytes);
    SplitNibbles(bytes, tile);
    if constexpr (kFifths) AddFifths(rows.Load32(kNumberBytes), tile);
    if constexpr (kMinimum) {
      BothHalves(rows.Load32(0), &tile->scale[0], &tile->min[0]);
    } else {
      tile->scale[0] = rows.FirstHalf();
      tile->min[0] = Times(tile->scale[0], kFifths ? -16.0f : -8.0f);
    }
  }
};
using ReadQ4_0 = ReadNibbles<false, false>;
using ReadQ4_1 = ReadNibbles<true, false>;
using ReadQ5_0 = ReadNibbles<false, true>;
using ReadQ5_1 = ReadNibbles<true, true>;

struct ReadQ8_0 {
  static constexpr int kBytes = 34, kTiles = 1, kScales = 1;
  using Tile = mla::Tile<1>;
  template <typename Rows>
  void Begin(const Rows&) {}
  template <typename Rows>
  void Load(const Rows& rows, int, Tile* tile) {
    rows.Load128(2, tile->q);
    rows.Load128(18, tile->q + 4);
    tile->scale[0] = rows.FirstHalf();
    tile->min[0] = {{vdupq_n_f32(0), vdupq_n_f32(0)}};
  }
};

struct ReadQ3_K {
  static constexpr int kBytes = 110, kTiles = 8, kScales = 2;
  using Tile = mla::Tile<2>;
  Floats d;
  Words packed[3];  // 16 scales: four bits of each in two words, two in the third
  Words low[8];     // two bits for each of 4 tiles
  Words thirds[8];  // a bit for each of the 8 tiles

  template <typename Rows>
  void Begin(const Rows& rows) {
    d = rows.LastHalf(108);
    for (int i = 0; i < 3; ++i) packed[i] = rows.Load32(96 + 4 * i);
    for (int i = 0; i < 2; ++i) rows.Load128(16 * i, thirds + 4 * i);
  }
  template <typename Rows>
  void Load(const Rows& rows, int t, Tile* tile) {
    if (t % 4 == 0) {
      for (int i = 0; i < 2; ++i) rows.Load128(32 + 8 * t + 16 * i, low + 4 * i);
    }
    const auto moved = [](uint8x16_t v, int left) {
      return vshlq_u8(v, vdupq_n_s8(static_cast<int8_t>(left)));
    };
    for (int j = 0; j < 8; ++j) {
      tile->q[j] = BothWords([&](int i) {
        return vorrq_u8(vandq_u8(moved(low[j].v[i], -2 * (t % 4)), vdupq_n_u8(3)),
                        vandq_u8(moved(thirds[j].v[i], 2 - t), vdupq_n_u8(4)));
      });
    }
    for (int h = 0; h < 2; ++h) {
      const int k = 2 * t + h;
      tile->scale[h] = SixBits(d, packed[k / 4 % 2], 8 * (k % 4) + k / 8 * 4, packed[2],
                               8 * (k % 4) + k / 4 * 2);
      tile->min[h] = Times(tile->scale[h], -4);
    }
  }
};

// Of Q4_K and Q5_K: both numbers of each of a block's tiles.
struct AffineNumbers {
  Floats d, dmin;
  Words packed[3];  // the 12 bytes of 6-bit scales and minima

  template <typename Rows>
  void Begin(const Rows& rows) {
    BothHalves(rows.Load32(0), &d, &dmin);
    for (int i = 0; i < 3; ++i) packed[i] = rows.Load32(4 + 4 * i);
  }
  void Of(int t, Floats* tile_scale, Floats* tile_min) const {
    for (int i = 0; i < 2; ++i) {
      const int shift = 8 * (t % 4);
      uint32x4_t scale, min;
      if (t < 4) {
        scale = Bits(packed[0].v[i], shift, 63);
        min = Bits(packed[1].v[i], shift, 63);
      } else {  // low four bits in the third word, high two above the first tiles' six
        scale = vorrq_u32(Bits(packed[2].v[i], shift, 15),
                          vshlq_n_u32(Bits(packed[0].v[i], shift + 6, 3), 4));
        min = vorrq_u32(Bits(packed[2].v[i], shift + 4, 15),
                        vshlq_n_u32(Bits(packed[1].v[i], shift + 6, 3), 4));
      }
      tile_scale->v[i] = vmulq_f32(d.v[i], vcvtq_f32_u32(scale));
      tile_min->v[i] = vnegq_f32(vmulq_f32(dmin.v[i], vcvtq_f32_u32(min)));
    }
  }
};

// Q4_K and, with a fifth bit, Q5_K.
template <bool kFifths>
struct ReadAffine {
  static constexpr int kFifthBytes = kFifths ? 32 : 0;
  static constexpr int kBytes = 144 + kFifthBytes, kTiles = 8, kScales = 1;
  using Tile = mla::Tile<1>;
  AffineNumbers numbers;
  Words bytes[8];
  Words fifths[8];  // a bit for each of the 8 tiles

  template <typename Rows>
  void Begin(const Rows& rows) {
    numbers.Begin(rows);
    for (int i = 0; kFifths && i < 2; ++i) rows.Load128(16 + 16 * i, fifths + 4 * i);
  }
  template <typename Rows>
  void Load(const Rows& rows, int t, Tile* tile) {
    if (t % 2 == 0) {  // a byte holds an element of tile t and one of tile t + 1
      rows.Load128(16 + kFifthBytes + 16 * t, bytes);
      rows.Load128(32 + kFifthBytes + 16 * t, bytes + 4);
    }
    for (int j = 0; j < 8; ++j) {
      tile->q[j] = t % 2 == 0 ? LowNibbles(bytes[j]) : HighNibbles(bytes[j]);
      if constexpr (kFifths) {
        tile->q[j] = BothWords([&](int i) {
          const uint8x16_t moved = vshlq_u8(fifths[j].v[i], vdupq_n_s8(static_cast<int8_t>(4 - t)));
          return vorrq_u8(tile->q[j].v[i], vandq_u8(moved, vdupq_n_u8(16)));
        });
      }
    }
    numbers.Of(t, &tile->scale[0], &tile->min[0]);
  }
};
using ReadQ4_K = ReadAffine<false>;
using ReadQ5_K = ReadAffine<true>;

struct ReadQ6_K {
  static constexpr int kBytes = 210, kTiles = 8, kScales = 2;
  using Tile = mla::Tile<2>;
  Floats d;
  Words packed[4];  // 16 signed bytes of scales
  Words low[2][8];  // of 4 tiles: low nibbles are tiles 0 and 1, high nibbles tiles 2 and 3
  Words high[8];    // two bits for each of the 4 tiles

  template <typename Rows>
  void Begin(const Rows& rows) {
    d = rows.LastHalf(208);
    for (int i = 0; i < 4; ++i) packed[i] = rows.Load32(192 + 4 * i);
  }
  template <typename Rows>
  void Load(const Rows& rows, int t, Tile* tile) {
    if (t % 4 == 0) {
      for (int i = 0; i < 4; ++i) rows.Load128(16 * t + 16 * i, &low[i / 2][4 * (i % 2)]);
      for (int i = 0; i < 2; ++i) rows.Load128(128 + 8 * t + 16 * i, &high[4 * i]);
    }
    for (int j = 0; j < 8; ++j) {
      const Words nibbles = t % 4 < 2 ? LowNibbles(low[t % 2][j]) : HighNibbles(low[t % 2][j]);
      tile->q[j] = BothWords([&](int i) {
        const uint8x16_t two_bits = vandq_u8(
            vshlq_u8(high[j].v[i], vdupq_n_s8(static_cast<int8_t>(-2 * (t % 4)))), vdupq_n_u8(3));
        return vorrq_u8(nibbles.v[i], vshlq_n_u8(two_bits, 4));
      });
    }
    for (int h = 0; h < 2; ++h) {
      const int shift = 24 - 8 * ((2 * t + h) % 4);
      tile->scale[h] = BothQuads([&](int i) {
        const int32x4_t top =
            vshlq_s32(vreinterpretq_s32_u8(packed[t / 2].v[i]), vdupq_n_s32(shift));
        return vmulq_f32(d.v[i], vcvtq_f32_s32(vshrq_n_s32(top, 24)));
      });
      tile->min[h] = Times(tile->scale[h], -32);
    }
  }
};

struct ReadIQ4_NL {
  static constexpr int kBytes = 18, kTiles = 1, kScales = 1;
  using Tile = mla::Tile<1>;
  template <typename Rows>
  void Begin(const Rows&) {}
  template <typename Rows>
  void Load(const Rows& rows, int, Tile* tile) {
    Words bytes[4];
    rows.Load128(2, bytes);
    SplitNibbles(bytes, tile);
    for (Words& q : tile->q) q = Iq4Bytes(q);
    tile->scale[0] = rows.FirstHalf();
    tile->min[0] = {{vdupq_n_f32(0), vdupq_n_f32(0)}};
  }
};

struct ReadIQ4_XS {
  static constexpr int kBytes = 136, kTiles = 8, kScales = 1;
  using Tile = mla::Tile<1>;
  Floats d;
  Words high, low;  // of 8 scales: two bits each in the upper half of a word, four each

  template <typename Rows>
  void Begin(const Rows& rows) {
    high = rows.Load32(0);
    low = rows.Load32(4);
    Floats scales;
    BothHalves(high, &d, &scales);
  }
  template <typename Rows>
  void Load(const Rows& rows, int t, Tile* tile) {
    Words bytes[4];
    rows.Load128(8 + 16 * t, bytes);
    SplitNibbles(bytes, tile);
    for (Words& q : tile->q) q = Iq4Bytes(q);
    tile->scale[0] = SixBits(d, low, 4 * t, high, 16 + 2 * t);
    tile->min[0] = {{vdupq_n_f32(0), vdupq_n_f32(0)}};
  }
};

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_ARM64_BLOCKS_H_
