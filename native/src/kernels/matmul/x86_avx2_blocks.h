// Quantized blocks of 8 rows, read from the file's layout or from packed panels into the order that
// vpmaddubsw wants: a register holds 4 consecutive columns of each of 8 rows, bytes, row r in
// 32-bit lane r. A tile is 32 columns. For x86_avx2.cc alone.
#ifndef MLA_KERNELS_MATMUL_X86_AVX2_BLOCKS_H_
#define MLA_KERNELS_MATMUL_X86_AVX2_BLOCKS_H_

#include <immintrin.h>
#include <stdint.h>

#include "tensor/types.h"

namespace mla {
namespace {

// w[r, c] = scale[r] * q[r, c] + min[r], apart for each half of the columns where kScales is 2. q
// is unsigned and has so many bits; but 8 are signed, and then there is no min.
template <int kScales, int kBits>
struct Tile {
  __m256i q[8];
  __m256 scale[kScales];
  __m256 min[kScales];
};

constexpr int kTileRows = 8;

// The two half-precision numbers of each lane.
void BothHalves(__m256i v, __m256* low, __m256* high) {
  const __m256 a = _mm256_cvtph_ps(_mm256_castsi256_si128(v));
  const __m256 b = _mm256_cvtph_ps(_mm256_extracti128_si256(v, 1));
  const auto order = [](__m256 pairs) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pairs), 0xd8));
  };
  *low = order(_mm256_shuffle_ps(a, b, 0x88));
  *high = order(_mm256_shuffle_ps(a, b, 0xdd));
}

__m256 LowHalves(__m256i v) {
  __m256 low, high;
  BothHalves(v, &low, &high);
  return low;
}

// Where a block of each of the panel's rows lies in the file's layout.
struct BlockRows {
  const uint8_t* group[2];  // rows 0 and 4
  int64_t stride;
  __m256i offsets;  // of each row from the first, in bytes

  void Set(const uint8_t* first, int64_t row_stride) {
    stride = row_stride;
    for (int g = 0; g < 2; ++g) group[g] = first + 4 * g * row_stride;
    offsets = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                 _mm256_set1_epi32(static_cast<int>(row_stride)));
  }
  void Advance(int64_t bytes) {
    for (const uint8_t*& g : group) g += bytes;
  }

  __m256i Load32(int64_t at) const {
    return _mm256_i32gather_epi32(reinterpret_cast<const int*>(group[0] + at), offsets, 1);
  }
  __m256 FirstHalf() const { return LowHalves(Load32(0)); }
  __m256 LastHalf(int64_t at) const { return LowHalves(_mm256_srli_epi32(Load32(at - 2), 16)); }
  // 16 bytes of every row, transposed: out[j] holds bytes 4j .. 4j + 3 of row r in lane r.
  void Load128(int64_t at, __m256i out[4]) const {
    __m256i pair[4];  // pair[e]: rows e and 4 + e
    for (int e = 0; e < 4; ++e) {
      const int64_t o = at + e * stride;
      pair[e] = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(group[1] + o),
                                    reinterpret_cast<const __m128i*>(group[0] + o));
    }
    const __m256i a = _mm256_unpacklo_epi32(pair[0], pair[1]);
    const __m256i b = _mm256_unpacklo_epi32(pair[2], pair[3]);
    const __m256i c = _mm256_unpackhi_epi32(pair[0], pair[1]);
    const __m256i d = _mm256_unpackhi_epi32(pair[2], pair[3]);
    out[0] = _mm256_unpacklo_epi64(a, b);
    out[1] = _mm256_unpackhi_epi64(a, b);
    out[2] = _mm256_unpacklo_epi64(c, d);
    out[3] = _mm256_unpackhi_epi64(c, d);
  }
};

// A block of a packed panel: its 32-bit words of 8 rows side by side, and where blocks are no whole
// number of words the half that is left over of each.
struct PackedBlock {
  const uint8_t* words;
  const uint8_t* halves;

  __m256i Load32(int64_t at) const {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + at / 4 * 32));
  }
  __m256 FirstHalf() const {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
  }
  __m256 LastHalf(int64_t) const { return FirstHalf(); }
  void Load128(int64_t at, __m256i out[4]) const {
    for (int j = 0; j < 4; ++j) out[j] = Load32(at + 4 * j);
  }
};

__m256i LowNibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
__m256i HighNibbles(__m256i v) { return LowNibbles(_mm256_srli_epi16(v, 4)); }

// Bits from `shift` on of every lane's word.
__m256i Bits(__m256i v, int shift, int mask) {
  return _mm256_and_si256(_mm256_srli_epi32(v, shift), _mm256_set1_epi32(mask));
}

// What IQ4's fields stand for.
__m256i Iq4Bytes(__m256i fields) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), fields);
}

// Bytes i = elements i (low nibbles) and i + 16 (high).
template <typename Tile>
void SplitNibbles(const __m256i bytes[4], Tile* tile) {
  for (int j = 0; j < 4; ++j) {
    tile->q[j] = LowNibbles(bytes[j]);
    tile->q[4 + j] = HighNibbles(bytes[j]);
  }
}

// Bit i of a lane's word is the fifth of its element i.
void AddFifths(__m256i bits, Tile<1, 5>* tile) {
  const __m256i first_byte = _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0, 0x04040404,
                                               0x08080808, 0x0c0c0c0c);
  for (int j = 0; j < 8; ++j) {
    const __m256i byte = _mm256_add_epi8(first_byte, _mm256_set1_epi8(static_cast<char>(j / 2)));
    const __m256i bit = _mm256_set1_epi32(static_cast<int>(j % 2 == 0 ? 0x08040201u : 0x80402010u));
    const __m256i set =
        _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(bits, byte), bit), bit);
    tile->q[j] = _mm256_or_si256(tile->q[j], _mm256_and_si256(set, _mm256_set1_epi8(16)));
  }
}

// Q4_0, Q4_1, Q5_0, Q5_1: a scale, maybe a minimum, maybe fifth bits, nibbles.
template <bool kMinimum, bool kFifths>
struct ReadNibbles {
  static constexpr int kNumberBytes = kMinimum ? 4 : 2, kFifthBytes = kFifths ? 4 : 0;
  static constexpr int kBytes = kNumberBytes + kFifthBytes + 16, kTiles = 1, kScales = 1;
  using Tile = mla::Tile<1, kFifths ? 5 : 4>;
  template <typename Rows>
  void Begin(const Rows&) {}
  template <typename Rows>
  void Load(const Rows& rows, int, Tile* tile) {
    __m256i bytes[4];
    rows.Load128(kNumberBytes + kFifthBytes, bytes);
    SplitNibbles(bytes, tile);
    if constexpr (kFifths) AddFifths(rows.Load32(kNumberBytes), tile);
    if constexpr (kMinimum) {
      BothHalves(rows.Load32(0), &tile->scale[0], &tile->min[0]);
    } else {
      tile->scale[0] = rows.FirstHalf();
      tile->min[0] = _mm256_mul_ps(tile->scale[0], _mm256_set1_ps(kFifths ? -16.0f : -8.0f));
    }
  }
};
using ReadQ4_0 = ReadNibbles<false, false>;
using ReadQ4_1 = ReadNibbles<true, false>;
using ReadQ5_0 = ReadNibbles<false, true>;
using ReadQ5_1 = ReadNibbles<true, true>;

struct ReadQ8_0 {
  static constexpr int kBytes = 34, kTiles = 1, kScales = 1;
  using Tile = mla::Tile<1, 8>;
  template <typename Rows>
  void Begin(const Rows&) {}
  template <typename Rows>
  void Load(const Rows& rows, int, Tile* tile) {
    for (int half = 0; half < 2; ++half) rows.Load128(2 + 16 * half, tile->q + 4 * half);
    tile->scale[0] = rows.FirstHalf();
  }
};

struct ReadQ3_K {
  static constexpr int kBytes = 110, kTiles = 8, kScales = 2;
  using Tile = mla::Tile<2, 3>;
  __m256 d;
  __m256i packed[3];  // 16 scales: four bits of each in two words, two in the third
  __m256i low[8];     // two bits for each of 4 tiles
  __m256i thirds[8];  // a bit for each of the 8 tiles

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
      const __m256i two_bits =
          _mm256_and_si256(_mm256_srli_epi16(low[j], 2 * (t % 4)), _mm256_set1_epi8(3));
      const __m256i moved =
          t < 2 ? _mm256_slli_epi16(thirds[j], 2 - t) : _mm256_srli_epi16(thirds[j], t - 2);
      tile->q[j] = _mm256_or_si256(two_bits, _mm256_and_si256(moved, _mm256_set1_epi8(4)));
    }
    for (int h = 0; h < 2; ++h) {
      const int i = 2 * t + h;
      const __m256i four = Bits(packed[i / 4 % 2], 8 * (i % 4) + i / 8 * 4, 15);
      const __m256i two = Bits(packed[2], 8 * (i % 4) + i / 4 * 2, 3);
      const __m256i scale =
          _mm256_sub_epi32(_mm256_or_si256(four, _mm256_slli_epi32(two, 4)), _mm256_set1_epi32(32));
      tile->scale[h] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(scale));
      tile->min[h] = _mm256_mul_ps(tile->scale[h], _mm256_set1_ps(-4));
    }
  }
};

// Of Q4_K and Q5_K: both numbers of each of a block's tiles.
struct AffineNumbers {
  __m256 d, dmin;
  __m256i packed[3];  // the 12 bytes of 6-bit scales and minima

  template <typename Rows>
  void Begin(const Rows& rows) {
    BothHalves(rows.Load32(0), &d, &dmin);
    for (int i = 0; i < 3; ++i) packed[i] = rows.Load32(4 + 4 * i);
  }
  void Of(int t, __m256* tile_scale, __m256* tile_min) const {
    const int shift = 8 * (t % 4);
    __m256i scale, min;
    if (t < 4) {
      scale = Bits(packed[0], shift, 63);
      min = Bits(packed[1], shift, 63);
    } else {  // low four bits in the third word, high two above the first tiles' six
      scale = _mm256_or_si256(Bits(packed[2], shift, 15),
                              _mm256_slli_epi32(Bits(packed[0], shift + 6, 3), 4));
      min = _mm256_or_si256(Bits(packed[2], shift + 4, 15),
                            _mm256_slli_epi32(Bits(packed[1], shift + 6, 3), 4));
    }
    *tile_scale = _mm256_mul_ps(d, _mm256_cvtepi32_ps(scale));
    *tile_min = _mm256_fnmadd_ps(dmin, _mm256_cvtepi32_ps(min), _mm256_setzero_ps());
  }
};

// Q4_K and, with a fifth bit, Q5_K.
template <bool kFifths>
struct ReadAffine {
  static constexpr int kFifthBytes = kFifths ? 32 : 0;
  static constexpr int kBytes = 144 + kFifthBytes, kTiles = 8, kScales = 1;
  using Tile = mla::Tile<1, kFifths ? 5 : 4>;
  AffineNumbers numbers;
  __m256i bytes[8];
  __m256i fifths[8];  // a bit for each of the 8 tiles

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
        const __m256i moved =
            t < 4 ? _mm256_slli_epi16(fifths[j], 4 - t) : _mm256_srli_epi16(fifths[j], t - 4);
        tile->q[j] = _mm256_or_si256(tile->q[j], _mm256_and_si256(moved, _mm256_set1_epi8(16)));
      }
    }
    numbers.Of(t, &tile->scale[0], &tile->min[0]);
  }
};
using ReadQ4_K = ReadAffine<false>;
using ReadQ5_K = ReadAffine<true>;

struct ReadQ6_K {
  static constexpr int kBytes = 210, kTiles = 8, kScales = 2;
  using Tile = mla::Tile<2, 6>;
  __m256 d;
  __m256i packed[4];  // 16 signed bytes of scales
  __m256i low[2][8];  // of 4 tiles: low nibbles are tiles 0 and 1, high nibbles tiles 2 and 3
  __m256i high[8];    // two bits for each of the 4 tiles

  template <typename Rows>
  void Begin(const Rows& rows) {
    d = rows.LastHalf(208);
    for (int i = 0; i < 4; ++i) packed[i] = rows.Load32(192 + 4 * i);
  }
  template <typename Rows>
  void Load(const Rows& rows, int t, Tile* tile) {
    const int part = t % 4;
    if (part == 0) {
      for (int i = 0; i < 4; ++i) rows.Load128(16 * t + 16 * i, &low[i / 2][4 * (i % 2)]);
      for (int i = 0; i < 2; ++i) rows.Load128(128 + 8 * t + 16 * i, &high[4 * i]);
    }
    for (int j = 0; j < 8; ++j) {
      const __m256i bytes = low[part % 2][j];
      const __m256i nibbles = part < 2 ? LowNibbles(bytes) : HighNibbles(bytes);
      const __m256i two_bits =
          _mm256_and_si256(_mm256_srli_epi16(high[j], 2 * part), _mm256_set1_epi8(3));
      tile->q[j] = _mm256_or_si256(nibbles, _mm256_slli_epi16(two_bits, 4));
    }
    for (int h = 0; h < 2; ++h) {
      const int shift = 24 - 8 * ((2 * t + h) % 4);
      const __m256i scale = _mm256_srai_epi32(_mm256_slli_epi32(packed[t / 2], shift), 24);
      tile->scale[h] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(scale));
      tile->min[h] = _mm256_mul_ps(tile->scale[h], _mm256_set1_ps(-32));
    }
  }
};

struct ReadIQ4_NL {
  static constexpr int kBytes = 18, kTiles = 1, kScales = 1;
  using Tile = mla::Tile<1, 8>;
  template <typename Rows>
  void Begin(const Rows&) {}
  template <typename Rows>
  void Load(const Rows& rows, int, Tile* tile) {
    __m256i bytes[4];
    rows.Load128(2, bytes);
    SplitNibbles(bytes, tile);
    for (__m256i& q : tile->q) q = Iq4Bytes(q);
    tile->scale[0] = rows.FirstHalf();
  }
};

struct ReadIQ4_XS {
  static constexpr int kBytes = 136, kTiles = 8, kScales = 1;
  using Tile = mla::Tile<1, 8>;
  __m256 d;
  __m256i high, low;  // of 8 scales: two bits each in the upper half of a word, four each

  template <typename Rows>
  void Begin(const Rows& rows) {
    high = rows.Load32(0);
    low = rows.Load32(4);
    d = LowHalves(high);
  }
  template <typename Rows>
  void Load(const Rows& rows, int t, Tile* tile) {
    __m256i bytes[4];
    rows.Load128(8 + 16 * t, bytes);
    SplitNibbles(bytes, tile);
    for (__m256i& q : tile->q) q = Iq4Bytes(q);
    const __m256i two = Bits(high, 16 + 2 * t, 3);
    const __m256i scale = _mm256_sub_epi32(
        _mm256_or_si256(Bits(low, 4 * t, 15), _mm256_slli_epi32(two, 4)), _mm256_set1_epi32(32));
    tile->scale[0] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(scale));
  }
};

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_X86_AVX2_BLOCKS_H_
