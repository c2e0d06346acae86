// The tile kernels in AVX-512: sixteen floats, masked ends.
#include <immintrin.h>

#include "kernels/attention/packed_kernels_simd.h"
#include "kernels/x86_fold.h"

namespace mla {
namespace {

struct Vec16 {
  using Reg = __m512;
  using Int = __m512i;
  typedef int32_t Sums __attribute__((vector_size(64)));

  // 32 registers: 6 x 4 sums, and their operands.
  static constexpr int kLanes = 16;
  static constexpr int kScoreRows = 6;
  static constexpr int kSumRows = 6;
  static constexpr int kSumVectors = 4;
  static constexpr int kDots = 12;
  static constexpr int kPackedRows = 12;
  static constexpr int kPackedSums = 24;
  static constexpr int kWords = 1;
  static constexpr bool kMixedDots = true;
  static constexpr bool kExpandsInRegisters = true;
  static constexpr bool kFixedPoint = true;

  static __mmask16 First(int32_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

  static Reg Zero() { return _mm512_setzero_ps(); }
  static Reg Set1(float x) { return _mm512_set1_ps(x); }
  static Reg Load(const float* p) { return _mm512_loadu_ps(p); }
  static Reg LoadFirst(const float* p, int32_t n) { return _mm512_maskz_loadu_ps(First(n), p); }
  static void Store(Reg a, float* p) { _mm512_storeu_ps(p, a); }
  static void StoreFirst(Reg a, float* p, int32_t n) { _mm512_mask_storeu_ps(p, First(n), a); }

  static Reg LoadHalf(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Reg LoadHalfFirst(const uint8_t* p, int32_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(First(n), p));
  }
  static Reg LoadHalfLast(const uint8_t* end, int32_t n) { return LoadHalfFirst(end - 2 * n, n); }
  static Reg FromBfloat(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static Reg LoadBfloat(const uint8_t* p) {
    return FromBfloat(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Reg LoadBfloatFirst(const uint8_t* p, int32_t n) {
    return FromBfloat(_mm256_maskz_loadu_epi16(First(n), p));
  }
  static Reg Add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg Sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static Reg Mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg MulAdd(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg Max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  static Reg Round(Reg a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Reg TimesPowerOfTwo(Reg a, Reg n) { return _mm512_scalef_ps(a, n); }
  static float Sum(Reg a) { return _mm512_reduce_add_ps(a); }
  static float Largest(Reg a) { return _mm512_reduce_max_ps(a); }
  static void Largest4(Reg a, Reg b, Reg c, Reg d, float* out) {
    _mm_storeu_ps(out, FoldFour<TakingLargest>(a, b, c, d));
  }
  static void Sum4(Reg a, Reg b, Reg c, Reg d, bool add, float* out) {
    const __m128 sums = FoldFour<Adding>(a, b, c, d);
    _mm_storeu_ps(out, add ? _mm_add_ps(sums, _mm_loadu_ps(out)) : sums);
  }

  // Sixteen vectors' elements i to vector i.
  static void Transpose(Reg (&rows)[16]) {
    Reg quads[4][4];  // [q][j]: lane L holds elements 4L + j of rows 4q to 4q + 3
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) TransposeLanes(&rows[4 * q], quads[q]);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const Reg a = quads[0][j], b = quads[1][j], c = quads[2][j], d = quads[3][j];
      const Reg ab_low = _mm512_shuffle_f32x4(a, b, 0x44),
                cd_low = _mm512_shuffle_f32x4(c, d, 0x44);
      const Reg ab_high = _mm512_shuffle_f32x4(a, b, 0xee),
                cd_high = _mm512_shuffle_f32x4(c, d, 0xee);
      rows[j] = _mm512_shuffle_f32x4(ab_low, cd_low, 0x88);
      rows[4 + j] = _mm512_shuffle_f32x4(ab_low, cd_low, 0xdd);
      rows[8 + j] = _mm512_shuffle_f32x4(ab_high, cd_high, 0x88);
      rows[12 + j] = _mm512_shuffle_f32x4(ab_high, cd_high, 0xdd);
    }
  }
  // Each 128-bit lane of four vectors as a matrix.
  static void TransposeLanes(const Reg* rows, Reg* columns) {
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(rows[0], rows[1]));
    const __m512d b = _mm512_castps_pd(_mm512_unpacklo_ps(rows[2], rows[3]));
    const __m512d c = _mm512_castps_pd(_mm512_unpackhi_ps(rows[0], rows[1]));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(rows[2], rows[3]));
    columns[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
    columns[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    columns[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
    columns[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
  }

  static Int SetInt(int32_t x) { return _mm512_set1_epi32(x); }
  static Int LoadInts(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static Int BroadcastInt(const uint8_t* p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return _mm512_set1_epi32(x);
  }
  // Field f of every byte that has kFields.
  template <int kFields>
  static Int Field(Int x, int f) {
    if constexpr (kFields == 1) return x;
    return _mm512_and_si512(_mm512_srli_epi32(x, static_cast<unsigned>(f * 8 / kFields)),
                            _mm512_set1_epi8((1 << 8 / kFields) - 1));
  }
  // sums + four unsigned bytes times four signed ones.
  static Sums DotAdd(Sums sums, Int bytes, Int digits, int) {
    return (Sums)_mm512_dpbusd_epi32((Int)sums, bytes, digits);
  }
  static Sums TwoDigits(Sums high, Sums low) { return high * 64 + low; }
  // sums + two 16-bit products.
  static Sums PairAdd(Sums sums, Int a, Int b, int) {
    return (Sums)_mm512_dpwssd_epi32((Int)sums, a, b);
  }
  static Sums SetSums(int32_t x) { return (Sums)SetInt(x); }
  static constexpr int32_t PlaceInPair(int32_t token, int32_t element) {
    return 2 * element + token;
  }
  static Reg ToFloat(Sums x) { return _mm512_cvtepi32_ps((Int)x); }
  static void StoreShorts(Reg x, int16_t* p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(x)));
  }
  // Words of two 16-bit numbers, moved about as floats.
  static Reg LoadWords(const int16_t* p) { return _mm512_loadu_ps(p); }
  static void StoreWords(Reg words, int16_t* p) { _mm512_storeu_ps(p, words); }
  // Words of a rounded number of `low` and of one of `high`.
  static Reg Interleave(Reg low, Reg high) {
    const Int shifted = _mm512_slli_epi32(_mm512_cvtps_epi32(high), 16);
    return _mm512_castsi512_ps(
        _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_cvtps_epi32(low), shifted));
  }
  static Int Truncate(Reg x) { return _mm512_cvttps_epi32(x); }
  static void StoreBytes(Int whole, uint8_t* p) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(whole));
  }
  static void Store4Bytes(Int a, Int b, Int c, Int d, uint8_t* p) {
    // Each 128-bit lane: four numbers of a, of b, of c, of d.
    const Int lanes = _mm512_packus_epi16(_mm512_packus_epi32(a, b), _mm512_packus_epi32(c, d));
    const Int order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, lanes));
  }
  template <int kLess>
  static Int LessEachByte(Int x) {
    if constexpr (kLess == 0) return x;
    return _mm512_sub_epi8(x, _mm512_set1_epi8(static_cast<char>(kLess)));
  }
  // Four blocks of 4 bytes of 16 tokens each, to 4 quads of tokens with 16 elements.
  static void ToQuads(Int (&x)[4]) {
    // Lane L of each: 4 elements of tokens 4L ... 4L + 3.
    const Int a = ByElement(x[0]), b = ByElement(x[1]), c = ByElement(x[2]), d = ByElement(x[3]);
    const Int ab_low = _mm512_shuffle_i32x4(a, b, 0x44), ab_high = _mm512_shuffle_i32x4(a, b, 0xee);
    const Int cd_low = _mm512_shuffle_i32x4(c, d, 0x44), cd_high = _mm512_shuffle_i32x4(c, d, 0xee);
    x[0] = _mm512_shuffle_i32x4(ab_low, cd_low, 0x88);
    x[1] = _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd);
    x[2] = _mm512_shuffle_i32x4(ab_high, cd_high, 0x88);
    x[3] = _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd);
  }
  static void StoreQuads(Int a, Int b, Int c, Int d, uint8_t* quads) {
    Int x[4] = {a, b, c, d};
    ToQuads(x);
    for (int q = 0; q < 4; ++q) _mm512_storeu_si512(quads + 64 * q, x[q]);
  }
  // In each 128-bit lane, 4 tokens of 4 bytes to 4 bytes of 4 tokens.
  static Int ByElement(Int x) {
    return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2,
                                                                       6, 10, 14, 3, 7, 11, 15)));
  }
  // Four blocks of 4 signed bytes of 16 tokens each, to 8 pairs of tokens with 16 elements of 16
  // bits.
  static void StorePairs(Int a, Int b, Int c, Int d, int16_t* pairs) {
    const Int ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
    const Int cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
    // Lane L of each: the 16 elements of token 4L, 4L + 1, ...
    const Int first = _mm512_unpacklo_epi64(ab_low, cd_low);
    const Int second = _mm512_unpackhi_epi64(ab_low, cd_low);
    const Int third = _mm512_unpacklo_epi64(ab_high, cd_high);
    const Int fourth = _mm512_unpackhi_epi64(ab_high, cd_high);
    StorePairsOf(first, second, pairs);
    StorePairsOf(third, fourth, pairs + 32);
  }
  // Of tokens 4L and 4L + 1: 4 pairs, every second one.
  static void StorePairsOf(Int even, Int odd, int16_t* pairs) {
    const Int low = _mm512_unpacklo_epi8(even, odd);   // lane L: elements 0 .. 7 of its pair
    const Int high = _mm512_unpackhi_epi8(even, odd);  // and 8 .. 15
    const Int first_lanes = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const Int last_lanes = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    StoreTwoPairs(_mm512_permutex2var_epi64(low, first_lanes, high), pairs);
    StoreTwoPairs(_mm512_permutex2var_epi64(low, last_lanes, high), pairs + 128);
  }
  static void StoreTwoPairs(Int bytes, int16_t* pairs) {
    _mm512_storeu_si512(pairs, _mm512_cvtepi8_epi16(_mm512_castsi512_si256(bytes)));
    _mm512_storeu_si512(pairs + 64, _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(bytes, 1)));
  }
};

constexpr AttentionTileKernels kKernels = MakeAttentionTileKernels<Vec16>();

}  // namespace

const AttentionTileKernels& Avx512AttentionTileKernels() { return kKernels; }

}  // namespace mla
