// Quantized blocks of 16 rows, read from the file's layout or from packed panels into the order
// that vpdpbusd wants: a register holds 4 consecutive columns of each of 16 rows, unsigned bytes,
// row r in 32-bit lane r. A tile is 32 columns. For x86_avx512.cc alone.
#ifndef MLA_KERNELS_MATMUL_X86_AVX512_BLOCKS_H_
#define MLA_KERNELS_MATMUL_X86_AVX512_BLOCKS_H_

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "tensor/types.h"

namespace mla {
namespace {

// w[r, c] = scale[r] * q[r, c] + min[r], apart for each half of the columns where kScales is 2.
template <int kScales>
struct Tile {
  __m512i q[8];
  __m512 scale[kScales];
  __m512 min[kScales];
};

constexpr int kTileRows = 16;

__m512 LowHalves(__m512i v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }

// Where a block of each of the panel's rows lies in the file's layout.
struct BlockRows {
  const uint8_t* group[4];  // rows 0, 4, 8, 12
  int64_t stride;
  __m512i offsets;  // of each row from the first, in bytes

  void Set(const uint8_t* first, int64_t row_stride) {
    stride = row_stride;
    for (int g = 0; g < 4; ++g) group[g] = first + 4 * g * row_stride;
    offsets =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32(static_cast<int>(row_stride)));
  }
  void Advance(int64_t bytes) {
    for (const uint8_t*& g : group) g += bytes;
  }

  __m512i Load32(int64_t at) const { return _mm512_i32gather_epi32(offsets, group[0] + at, 1); }
  __m512 FirstHalf() const { return LowHalves(Load32(0)); }
  __m512 LastHalf(int64_t at) const { return LowHalves(_mm512_srli_epi32(Load32(at - 2), 16)); }
  // 16 bytes of every row, transposed: out[j] holds bytes 4j .. 4j + 3 of row r in lane r.
  void Load128(int64_t at, __m512i out[4]) const {
    __m512i quad[4];  // quad[e]: rows e, 4 + e, 8 + e, 12 + e
    for (int e = 0; e < 4; ++e) {
      const int64_t o = at + e * stride;
      const auto row = [&](int g) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(group[g] + o));
      };
      __m512i v = _mm512_castsi128_si512(row(0));
      v = _mm512_inserti32x4(v, row(1), 1);
      v = _mm512_inserti32x4(v, row(2), 2);
      quad[e] = _mm512_inserti32x4(v, row(3), 3);
    }
    const __m512i a = _mm512_unpacklo_epi32(quad[0], quad[1]);
    const __m512i b = _mm512_unpacklo_epi32(quad[2], quad[3]);
    const __m512i c = _mm512_unpackhi_epi32(quad[0], quad[1]);
    const __m512i d = _mm512_unpackhi_epi32(quad[2], quad[3]);
    out[0] = _mm512_unpacklo_epi64(a, b);
    out[1] = _mm512_unpackhi_epi64(a, b);
    out[2] = _mm512_unpacklo_epi64(c, d);
    out[3] = _mm512_unpackhi_epi64(c, d);
  }
};

// A block of a packed panel: its 32-bit words of 16 rows side by side, and where blocks are no
// whole number of words the half that is left over of each.
struct PackedBlock {
  const uint8_t* words;
  const uint8_t* halves;

  __m512i Load32(int64_t at) const { return _mm512_loadu_si512(words + at / 4 * 64); }
  __m512 FirstHalf() const {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
  }
  __m512 LastHalf(int64_t) const { return FirstHalf(); }
  void Load128(int64_t at, __m512i out[4]) const {
    for (int j = 0; j < 4; ++j) out[j] = Load32(at + 4 * j);
  }
};

// The two half-precision numbers of each lane.
void BothHalves(__m512i v, __m512* low, __m512* high) {
  const __m512 a = _mm512_cvtph_ps(_mm512_castsi512_si256(v));
  const __m512 b = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(v, 1));
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  *low = _mm512_permutex2var_ps(a, even, b);
  *high = _mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b);
}

__m512i LowNibbles(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
__m512i HighNibbles(__m512i v) { return LowNibbles(_mm512_srli_epi16(v, 4)); }

// Bits from `shift` on of every lane's word.
__m512i Bits(__m512i v, unsigned shift, int mask) {
  return _mm512_and_si512(_mm512_srli_epi32(v, shift), _mm512_set1_epi32(mask));
}

// What IQ4's fields stand for, and 128 more.
__m512i Iq4Bytes(__m512i fields) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values));
  const __m512i bytes = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), fields);
  return _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
}

// Each reader: Begin at the rows' next block, then Load(t) for its tiles in order.

// Bytes i = elements i (low nibbles) and i + 16 (high).
void SplitNibbles(const __m512i bytes[4], Tile<1>* tile) {
  for (int j = 0; j < 4; ++j) {
    tile->q[j] = LowNibbles(bytes[j]);
    tile->q[4 + j] = HighNibbles(bytes[j]);
  }
}

// Bit i of a lane's word is the fifth of its element i.
void AddFifths(__m512i bits, Tile<1>* tile) {
  const __m512i first_byte = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
  for (int j = 0; j < 8; ++j) {
    const __m512i byte = _mm512_add_epi8(first_byte, _mm512_set1_epi8(static_cast<char>(j / 2)));
    const __mmask64 set = _mm512_test_epi8_mask(
        _mm512_shuffle_epi8(bits, byte),
        _mm512_set1_epi32(static_cast<int>(j % 2 == 0 ? 0x08040201u : 0x80402010u)));
    tile->q[j] = _mm512_mask_add_epi8(tile->q[j], set, tile->q[j], _mm512_set1_epi8(16));
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
    __m512i bytes[4];
    rows.Load128(kNumberBytes + kFifthBytes, bytes);
    SplitNibbles(bytes, tile);
    if constexpr (kFifths) AddFifths(rows.Load32(kNumberBytes), tile);
    if constexpr (kMinimum) {
      BothHalves(rows.Load32(0), &tile->scale[0], &tile->min[0]);
    } else {
      tile->scale[0] = rows.FirstHalf();
      tile->min[0] = _mm512_mul_ps(tile->scale[0], _mm512_set1_ps(kFifths ? -16.0f : -8.0f));
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
    for (int half = 0; half < 2; ++half) {
      rows.Load128(2 + 16 * half, tile->q + 4 * half);
      for (int j = 0; j < 4; ++j) {  // signed to unsigned: + 128
        tile->q[4 * half + j] = _mm512_xor_si512(tile->q[4 * half + j], _mm512_set1_epi8(-128));
      }
    }
    tile->scale[0] = rows.FirstHalf();
    tile->min[0] = _mm512_mul_ps(tile->scale[0], _mm512_set1_ps(-128));
  }
};

struct ReadQ3_K {
  static constexpr int kBytes = 110, kTiles = 8, kScales = 2;
  using Tile = mla::Tile<2>;
  __m512 d;
  __m512i packed[3];  // 16 scales: four bits of each in two words, two in the third
  __m512i low[8];     // two bits for each of 4 tiles
  __m512i thirds[8];  // a bit for each of the 8 tiles

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
    for (int j = 0; j < 8; ++j) {
      const __m512i two_bits = _mm512_and_si512(
          _mm512_srli_epi16(low[j], static_cast<unsigned>(2 * (t % 4))), _mm512_set1_epi8(3));
      const __m512i moved = t < 2 ? _mm512_slli_epi16(thirds[j], static_cast<unsigned>(2 - t))
                                  : _mm512_srli_epi16(thirds[j], static_cast<unsigned>(t - 2));
      tile->q[j] = _mm512_or_si512(two_bits, _mm512_and_si512(moved, _mm512_set1_epi8(4)));
    }
    for (int h = 0; h < 2; ++h) {
      const int i = 2 * t + h;
      const __m512i four =
          Bits(packed[i / 4 % 2], static_cast<unsigned>(8 * (i % 4) + i / 8 * 4), 15);
      const __m512i two = Bits(packed[2], static_cast<unsigned>(8 * (i % 4) + i / 4 * 2), 3);
      const __m512i scale =
          _mm512_sub_epi32(_mm512_or_si512(four, _mm512_slli_epi32(two, 4)), _mm512_set1_epi32(32));
      tile->scale[h] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale));
      tile->min[h] = _mm512_mul_ps(tile->scale[h], _mm512_set1_ps(-4));
    }
  }
};

// Of Q4_K and Q5_K: both numbers of each of a block's tiles.
struct AffineNumbers {
  __m512 d, dmin;
  __m512i packed[3];  // the 12 bytes of 6-bit scales and minima

  template <typename Rows>
  void Begin(const Rows& rows) {
    BothHalves(rows.Load32(0), &d, &dmin);
    for (int i = 0; i < 3; ++i) packed[i] = rows.Load32(4 + 4 * i);
  }
  void Of(int t, __m512* tile_scale, __m512* tile_min) const {
    const unsigned shift = 8 * static_cast<unsigned>(t % 4);
    __m512i scale, min;
    if (t < 4) {
      scale = Bits(packed[0], shift, 63);
      min = Bits(packed[1], shift, 63);
    } else {  // low four bits in the third word, high two above the first tiles' six
      scale = _mm512_or_si512(Bits(packed[2], shift, 15),
                              _mm512_slli_epi32(Bits(packed[0], shift + 6, 3), 4));
      min = _mm512_or_si512(Bits(packed[2], shift + 4, 15),
                            _mm512_slli_epi32(Bits(packed[1], shift + 6, 3), 4));
    }
    *tile_scale = _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale));
    *tile_min = _mm512_fnmadd_ps(dmin, _mm512_cvtepi32_ps(min), _mm512_setzero_ps());
  }
};

// Q4_K and, with a fifth bit, Q5_K.
template <bool kFifths>
struct ReadAffine {
  static constexpr int kFifthBytes = kFifths ? 32 : 0;
  static constexpr int kBytes = 144 + kFifthBytes, kTiles = 8, kScales = 1;
  using Tile = mla::Tile<1>;
  AffineNumbers numbers;
  __m512i bytes[8];
  __m512i fifths[8];  // a bit for each of the 8 tiles

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
        const __m512i moved = t < 4 ? _mm512_slli_epi16(fifths[j], static_cast<unsigned>(4 - t))
                                    : _mm512_srli_epi16(fifths[j], static_cast<unsigned>(t - 4));
        tile->q[j] = _mm512_or_si512(tile->q[j], _mm512_and_si512(moved, _mm512_set1_epi8(16)));
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
  __m512 d;
  __m512i packed[4];  // 16 signed bytes of scales
  __m512i low[2][8];  // of 4 tiles: low nibbles are tiles 0 and 1, high nibbles tiles 2 and 3
  __m512i high[8];    // two bits for each of the 4 tiles

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
      const __m512i nibbles = t % 4 < 2 ? LowNibbles(low[t % 2][j]) : HighNibbles(low[t % 2][j]);
      const __m512i two_bits = _mm512_and_si512(
          _mm512_srli_epi16(high[j], 2 * static_cast<unsigned>(t % 4)), _mm512_set1_epi8(3));
      tile->q[j] = _mm512_or_si512(nibbles, _mm512_slli_epi16(two_bits, 4));
    }
    for (int h = 0; h < 2; ++h) {
      const unsigned shift = 24 - 8 * static_cast<unsigned>((2 * t + h) % 4);
      const __m512i scale = _mm512_srai_epi32(_mm512_slli_epi32(packed[t / 2], shift), 24);
      tile->scale[h] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale));
      tile->min[h] = _mm512_mul_ps(tile->scale[h], _mm512_set1_ps(-32));
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
    __m512i bytes[4];
    rows.Load128(2, bytes);
    SplitNibbles(bytes, tile);
    for (__m512i& q : tile->q) q = Iq4Bytes(q);
    tile->scale[0] = rows.FirstHalf();
    tile->min[0] = _mm512_mul_ps(tile->scale[0], _mm512_set1_ps(-128));
  }
};

struct ReadIQ4_XS {
  static constexpr int kBytes = 136, kTiles = 8, kScales = 1;
  using Tile = mla::Tile<1>;
  __m512 d;
  __m512i high, low;  // of 8 scales: two bits each in the upper half of a word, four each

  template <typename Rows>
  void Begin(const Rows& rows) {
    high = rows.Load32(0);
    low = rows.Load32(4);
    d = LowHalves(high);
  }
  template <typename Rows>
  void Load(const Rows& rows, int t, Tile* tile) {
    __m512i bytes[4];
    rows.Load128(8 + 16 * t, bytes);
    SplitNibbles(bytes, tile);
    for (__m512i& q : tile->q) q = Iq4Bytes(q);
    const __m512i two = Bits(high, static_cast<unsigned>(16 + 2 * t), 3);
    const __m512i scale = _mm512_sub_epi32(
        _mm512_or_si512(Bits(low, static_cast<unsigned>(4 * t), 15), _mm512_slli_epi32(two, 4)),
        _mm512_set1_epi32(32));
    tile->scale[0] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale));
    tile->min[0] = _mm512_mul_ps(tile->scale[0], _mm512_set1_ps(-128));
  }
};

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_X86_AVX512_BLOCKS_H_
