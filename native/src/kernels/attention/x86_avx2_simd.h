// Eight floats in AVX2, FMA and F16C, for the tile kernels of x86_avx2.cc and x86_avxvnni.cc. What
// those may do otherwise is how bytes and pairs are multiplied.
#ifndef MLA_KERNELS_ATTENTION_X86_AVX2_SIMD_H_
#define MLA_KERNELS_ATTENTION_X86_AVX2_SIMD_H_

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/x86_fold.h"

namespace mla {
namespace {

struct Vec8 {
  using Reg = __m256;
  using Int = __m256i;
  typedef int32_t Sums __attribute__((vector_size(32)));

  // 16 registers: 3 x 4 or 6 x 2 sums, and their operands.
  static constexpr int kLanes = 8;
  static constexpr int kScoreRows = 3;
  static constexpr int kSumRows = 6;
  static constexpr int kSumVectors = 2;
  static constexpr int kDots = 4;
  static constexpr int kPackedRows = 4;
  static constexpr int kPackedSums = 8;
  static constexpr int kWords = 1;
  static constexpr bool kMixedDots = true;
  static constexpr bool kExpandsInRegisters = false;
  static constexpr bool kFixedPoint = true;

  static __m256i First(int32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }

  static Reg Zero() { return _mm256_setzero_ps(); }
  static Reg Set1(float x) { return _mm256_set1_ps(x); }
  static Reg Load(const float* p) { return _mm256_loadu_ps(p); }
  static Reg LoadFirst(const float* p, int32_t n) { return _mm256_maskload_ps(p, First(n)); }
  static void Store(Reg a, float* p) { _mm256_storeu_ps(p, a); }
  static void StoreFirst(Reg a, float* p, int32_t n) { _mm256_maskstore_ps(p, First(n), a); }

  static Reg LoadHalf(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Reg LoadHalfFirst(const uint8_t* p, int32_t n) {
    uint8_t halves[16] = {};
    memcpy(halves, p, static_cast<size_t>(n) * 2);
    return LoadHalf(halves);
  }
  // n < kLanes halves before `end`, where no less than kLanes can be read.
  static Reg LoadHalfLast(const uint8_t* end, int32_t n) {
    alignas(32) static constexpr int8_t kShift[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                                      11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1,
                                                      -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(end - 16));
    const __m128i shift = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kShift + 16 - 2 * n));
    return _mm256_cvtph_ps(_mm_shuffle_epi8(halves, shift));
  }
  static Reg LoadBfloat(const uint8_t* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static Reg LoadBfloatFirst(const uint8_t* p, int32_t n) {
    uint8_t bits[16] = {};
    memcpy(bits, p, static_cast<size_t>(n) * 2);
    return LoadBfloat(bits);
  }
  static Reg Add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg Sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg Mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg MulAdd(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  static Reg Max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  static Reg Round(Reg a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Reg TimesPowerOfTwo(Reg a, Reg n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
  }
  static __m128 Halves(Reg a) {
    return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  }
  static float Sum(Reg a) {
    const __m128 four = Halves(a);
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float Largest(Reg a) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static void Largest4(Reg a, Reg b, Reg c, Reg d, float* out) {
    _mm_storeu_ps(out, FoldFour<TakingLargest>(a, b, c, d));
  }
  static void Sum4(Reg a, Reg b, Reg c, Reg d, bool add, float* out) {
    const __m128 sums = FoldFour<Adding>(a, b, c, d);
    _mm_storeu_ps(out, add ? _mm_add_ps(sums, _mm_loadu_ps(out)) : sums);
  }

  // Eight vectors' elements i to vector i.
  static void Transpose(Reg (&rows)[8]) {
    Reg quads[2][4];  // [q][j]: lane L holds elements 4L + j of rows 4q to 4q + 3
#pragma GCC unroll 2
    for (int q = 0; q < 2; ++q) TransposeLanes(&rows[4 * q], quads[q]);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      rows[j] = _mm256_permute2f128_ps(quads[0][j], quads[1][j], 0x20);
      rows[4 + j] = _mm256_permute2f128_ps(quads[0][j], quads[1][j], 0x31);
    }
  }
  // Each 128-bit lane of four vectors as a matrix.
  static void TransposeLanes(const Reg* rows, Reg* columns) {
    const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(rows[0], rows[1]));
    const __m256d b = _mm256_castps_pd(_mm256_unpacklo_ps(rows[2], rows[3]));
    const __m256d c = _mm256_castps_pd(_mm256_unpackhi_ps(rows[0], rows[1]));
    const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(rows[2], rows[3]));
    columns[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
    columns[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    columns[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d));
    columns[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(c, d));
  }

  static Int SetInt(int32_t x) { return _mm256_set1_epi32(x); }
  static Int LoadInts(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Int BroadcastInt(const uint8_t* p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return _mm256_set1_epi32(x);
  }
  // Field f of every byte that has kFields.
  template <int kFields>
  static Int Field(Int x, int f) {
    if constexpr (kFields == 1) return x;
    return _mm256_and_si256(_mm256_srli_epi32(x, f * 8 / kFields),
                            _mm256_set1_epi8((1 << 8 / kFields) - 1));
  }
  // sums + four unsigned bytes times four signed ones; two products fit 16 bits.
  static Sums DotAdd(Sums sums, Int bytes, Int digits, int) {
    const Int pairs = _mm256_maddubs_epi16(bytes, digits);
    return sums + (Sums)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
  static Sums TwoDigits(Sums high, Sums low) { return high * 64 + low; }
  // sums + two 16-bit products.
  static Sums PairAdd(Sums sums, Int a, Int b, int) { return sums + (Sums)_mm256_madd_epi16(a, b); }
  static Sums SetSums(int32_t x) { return (Sums)SetInt(x); }
  static constexpr int32_t PlaceInPair(int32_t token, int32_t element) {
    return 2 * element + token;
  }
  static Reg ToFloat(Sums x) { return _mm256_cvtepi32_ps((Int)x); }
  static void StoreShorts(Reg x, int16_t* p) {
    const Int rounded = _mm256_cvtps_epi32(x);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(p),
        _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1)));
  }
  // Words of two 16-bit numbers, moved about as floats.
  static Reg LoadWords(const int16_t* p) { return _mm256_castsi256_ps(LoadInts(Bytes(p))); }
  static void StoreWords(Reg words, int16_t* p) {
    _mm256_storeu_si256(reinterpret_cast<Int*>(p), _mm256_castps_si256(words));
  }
  static const uint8_t* Bytes(const int16_t* p) { return reinterpret_cast<const uint8_t*>(p); }
  // Words of a rounded number of `low` and of one of `high`.
  static Reg Interleave(Reg low, Reg high) {
    const Int shifted = _mm256_slli_epi32(_mm256_cvtps_epi32(high), 16);
    return _mm256_castsi256_ps(_mm256_blend_epi16(_mm256_cvtps_epi32(low), shifted, 0xaa));
  }
  static Int Truncate(Reg x) { return _mm256_cvttps_epi32(x); }
  static void StoreBytes(Int whole, uint8_t* p) {
    const __m128i shorts =
        _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(shorts, shorts));
  }
  static void Store4Bytes(Int a, Int b, Int c, Int d, uint8_t* p) {
    // Each 128-bit lane: four numbers of a, of b, of c, of d.
    const Int lanes = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
    const Int order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<Int*>(p), _mm256_permutevar8x32_epi32(lanes, order));
  }
  template <int kLess>
  static Int LessEachByte(Int x) {
    if constexpr (kLess == 0) return x;
    return _mm256_sub_epi8(x, _mm256_set1_epi8(static_cast<char>(kLess)));
  }
  // Four blocks of 4 bytes of 8 tokens each, to 2 quads of tokens with 16 elements.
  static void StoreQuads(Int a, Int b, Int c, Int d, uint8_t* quads) {
    // Lane L of each: 4 elements of tokens 4L ... 4L + 3.
    a = ByElement(a), b = ByElement(b), c = ByElement(c), d = ByElement(d);
    Int* to = reinterpret_cast<Int*>(quads);
    _mm256_storeu_si256(to, _mm256_permute2x128_si256(a, b, 0x20));
    _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(c, d, 0x20));
    _mm256_storeu_si256(to + 2, _mm256_permute2x128_si256(a, b, 0x31));
    _mm256_storeu_si256(to + 3, _mm256_permute2x128_si256(c, d, 0x31));
  }
  // In each 128-bit lane, 4 tokens of 4 bytes to 4 bytes of 4 tokens.
  static Int ByElement(Int x) {
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                      0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
  }
  // Four blocks of 4 signed bytes of 8 tokens each, to 4 pairs of tokens with 16 elements of 16
  // bits.
  static void StorePairs(Int a, Int b, Int c, Int d, int16_t* pairs) {
    const Int ab_low = _mm256_unpacklo_epi32(a, b), ab_high = _mm256_unpackhi_epi32(a, b);
    const Int cd_low = _mm256_unpacklo_epi32(c, d), cd_high = _mm256_unpackhi_epi32(c, d);
    // Lane L of each: the 16 elements of token 4L, 4L + 1, ...
    const Int first = _mm256_unpacklo_epi64(ab_low, cd_low);
    const Int second = _mm256_unpackhi_epi64(ab_low, cd_low);
    const Int third = _mm256_unpacklo_epi64(ab_high, cd_high);
    const Int fourth = _mm256_unpackhi_epi64(ab_high, cd_high);
    StorePairsOf(first, second, pairs);
    StorePairsOf(third, fourth, pairs + 32);
  }
  // Of tokens 4L and 4L + 1: 2 pairs, every second one.
  static void StorePairsOf(Int even, Int odd, int16_t* pairs) {
    const Int low = _mm256_unpacklo_epi8(even, odd);   // lane L: elements 0 .. 7 of its pair
    const Int high = _mm256_unpackhi_epi8(even, odd);  // and 8 .. 15
    StoreWide(_mm256_castsi256_si128(low), pairs);
    StoreWide(_mm256_castsi256_si128(high), pairs + 16);
    StoreWide(_mm256_extracti128_si256(low, 1), pairs + 64);
    StoreWide(_mm256_extracti128_si256(high, 1), pairs + 80);
  }
  static void StoreWide(__m128i bytes, int16_t* p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_cvtepi8_epi16(bytes));
  }
};

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_X86_AVX2_SIMD_H_
