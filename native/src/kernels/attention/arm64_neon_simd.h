// Four floats in NEON as every arm64 has it, for the tile kernels of arm64_*.cc. What those add is
// how bytes are multiplied: DotAdd and UnsignedDotAdd.
#ifndef MLA_KERNELS_ATTENTION_ARM64_NEON_SIMD_H_
#define MLA_KERNELS_ATTENTION_ARM64_NEON_SIMD_H_

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

namespace mla {
namespace {

struct NeonVec {
  using Reg = float32x4_t;
  using Int = int32x4_t;
  using Sums = Int;

  // 32 registers: 6 x 4 sums, and their operands. Of packed rows there are four times as many
  // operands, since a load of digits or weights is used lane by lane: 12 x 1 or 6 x 2 scores, 5 x 4
  // sums.
  static constexpr int kLanes = 4;
  static constexpr int kScoreRows = 6;
  static constexpr int kSumRows = 6;
  static constexpr int kSumVectors = 4;
  static constexpr int kDots = 12;
  static constexpr int kPackedRows = 5;
  static constexpr int kPackedSums = 4;
  static constexpr int kWords = 4;
  static constexpr bool kMixedDots = false;
  static constexpr bool kExpandsInRegisters = false;
  static constexpr bool kFixedPoint = false;

  static Reg Zero() { return vdupq_n_f32(0); }
  static Reg Set1(float x) { return vdupq_n_f32(x); }
  static Reg Load(const float* p) { return vld1q_f32(p); }
  // 0 < n < 4.
  static Reg LoadFirst(const float* p, int32_t n) {
    if (n == 1) return vld1q_lane_f32(p, Zero(), 0);
    const Reg two = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
    return n == 2 ? two : vld1q_lane_f32(p + 2, two, 2);
  }
  static void Store(Reg a, float* p) { vst1q_f32(p, a); }
  static void StoreFirst(Reg a, float* p, int32_t n) {
    if (n == 1) return vst1q_lane_f32(p, a, 0);
    vst1_f32(p, vget_low_f32(a));
    if (n == 3) vst1q_lane_f32(p + 2, a, 2);
  }

  static Reg LoadHalf(const uint8_t* p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
  static Reg LoadHalfFirst(const uint8_t* p, int32_t n) {
    uint8_t halves[8] = {};
    memcpy(halves, p, static_cast<size_t>(n) * 2);
    return LoadHalf(halves);
  }
  // n < kLanes halves before `end`, where no less than kLanes can be read.
  static Reg LoadHalfLast(const uint8_t* end, int32_t n) {
    const uint64x1_t halves = vreinterpret_u64_u8(vld1_u8(end - 8));
    const uint64x1_t first = vshl_u64(halves, vdup_n_s64(16 * n - 64));
    return vcvt_f32_f16(vreinterpret_f16_u64(first));
  }
  static Reg LoadBfloat(const uint8_t* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
  }
  static Reg LoadBfloatFirst(const uint8_t* p, int32_t n) {
    uint8_t bits[8] = {};
    memcpy(bits, p, static_cast<size_t>(n) * 2);
    return LoadBfloat(bits);
  }
  static Reg Add(Reg a, Reg b) { return vaddq_f32(a, b); }
  static Reg Sub(Reg a, Reg b) { return vsubq_f32(a, b); }
  static Reg Mul(Reg a, Reg b) { return vmulq_f32(a, b); }
  static Reg MulAdd(Reg a, Reg b, Reg c) { return vfmaq_f32(c, a, b); }
  static Reg Max(Reg a, Reg b) { return vmaxq_f32(a, b); }
  static Reg Round(Reg a) { return vrndnq_f32(a); }
  static Reg TimesPowerOfTwo(Reg a, Reg n) {
    const Int exponent = vshlq_n_s32(vcvtnq_s32_f32(n), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a), exponent));
  }
  static float Sum(Reg a) { return vaddvq_f32(a); }
  static float Largest(Reg a) { return vmaxvq_f32(a); }
  static void Largest4(Reg a, Reg b, Reg c, Reg d, float* out) {
    vst1q_f32(out, vpmaxq_f32(vpmaxq_f32(a, b), vpmaxq_f32(c, d)));
  }
  static void Sum4(Reg a, Reg b, Reg c, Reg d, bool add, float* out) {
    const Reg sums = vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
    vst1q_f32(out, add ? vaddq_f32(sums, vld1q_f32(out)) : sums);
  }

  // Four vectors' elements i to vector i.
  static void Transpose(Reg (&rows)[4]) {
    const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(rows[0], rows[1]));
    const float64x2_t b = vreinterpretq_f64_f32(vtrn2q_f32(rows[0], rows[1]));
    const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(rows[2], rows[3]));
    const float64x2_t d = vreinterpretq_f64_f32(vtrn2q_f32(rows[2], rows[3]));
    rows[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    rows[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    rows[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    rows[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
  }

  static Int SetInt(int32_t x) { return vdupq_n_s32(x); }
  static Sums SetSums(int32_t x) { return SetInt(x); }
  static Int LoadInts(const uint8_t* p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
  static Int BroadcastInt(const uint8_t* p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return vdupq_n_s32(x);
  }
  // Field f of every byte that has kFields.
  template <int kFields>
  static Int Field(Int x, int f) {
    const uint8x16_t bytes = vreinterpretq_u8_s32(x);
    const auto masked = [](uint8x16_t v) {
      return vreinterpretq_s32_u8(vandq_u8(v, vdupq_n_u8((1 << 8 / kFields) - 1)));
    };
    if constexpr (kFields == 1) return x;
    if constexpr (kFields == 2) {
      return f == 0 ? masked(bytes) : vreinterpretq_s32_u8(vshrq_n_u8(bytes, 4));
    }
    switch (f) {
      case 0:
        return masked(bytes);
      case 1:
        return masked(vshrq_n_u8(bytes, 2));
      case 2:
        return masked(vshrq_n_u8(bytes, 4));
      default:
        return vreinterpretq_s32_u8(vshrq_n_u8(bytes, 6));
    }
  }
  static Int TwoDigits(Int high, Int low) { return vaddq_s32(vshlq_n_s32(high, 6), low); }
  static Int AddInts(Int a, Int b) { return vaddq_s32(a, b); }
  static int32_t SumInts(Int a) { return vaddvq_s32(a); }

  // Pairs of tokens: four elements of the one, then four of the other (StorePairs), each to be
  // multiplied by its token's half of a word.
  static Int PairAdd(Int sums, Int values, Int words, int word) {
    const int16x8_t v = vreinterpretq_s16_s32(values), w = vreinterpretq_s16_s32(words);
    const int16x4_t first = vget_low_s16(v);
    switch (word) {
      case 0:
        return vmlal_high_laneq_s16(vmlal_laneq_s16(sums, first, w, 0), v, w, 1);
      case 1:
        return vmlal_high_laneq_s16(vmlal_laneq_s16(sums, first, w, 2), v, w, 3);
      case 2:
        return vmlal_high_laneq_s16(vmlal_laneq_s16(sums, first, w, 4), v, w, 5);
      default:
        return vmlal_high_laneq_s16(vmlal_laneq_s16(sums, first, w, 6), v, w, 7);
    }
  }
  static constexpr int32_t PlaceInPair(int32_t token, int32_t element) {
    return element / 4 * 8 + token * 4 + element % 4;
  }
  static Reg ToFloat(Int x) { return vcvtq_f32_s32(x); }
  static void StoreShorts(Reg x, int16_t* p) { vst1_s16(p, vqmovn_s32(vcvtnq_s32_f32(x))); }
  static Int Truncate(Reg x) { return vcvtq_s32_f32(x); }
  static void StoreBytes(Int x, uint8_t* p) {
    const uint16x4_t shorts = vqmovun_s32(x);
    const uint8x8_t bytes = vqmovn_u16(vcombine_u16(shorts, shorts));
    vst1_lane_u32(reinterpret_cast<uint32_t*>(p), vreinterpret_u32_u8(bytes), 0);
  }
  static void Store4Bytes(Int a, Int b, Int c, Int d, uint8_t* p) {
    const uint16x8_t ab = vcombine_u16(vqmovun_s32(a), vqmovun_s32(b));
    const uint16x8_t cd = vcombine_u16(vqmovun_s32(c), vqmovun_s32(d));
    vst1q_u8(p, vcombine_u8(vqmovn_u16(ab), vqmovn_u16(cd)));
  }
  template <int kLess>
  static Int LessEachByte(Int x) {
    if constexpr (kLess == 0) return x;
    return vreinterpretq_s32_u8(vsubq_u8(vreinterpretq_u8_s32(x), vdupq_n_u8(kLess)));
  }
  // Four blocks of 4 bytes of 4 tokens each, to a quad of tokens with 16 elements.
  static void StoreQuads(Int a, Int b, Int c, Int d, uint8_t* quads) {
    vst1q_u8(quads, ByElement(a));
    vst1q_u8(quads + 16, ByElement(b));
    vst1q_u8(quads + 32, ByElement(c));
    vst1q_u8(quads + 48, ByElement(d));
  }
  // 4 tokens of 4 bytes to 4 bytes of 4 tokens.
  static uint8x16_t ByElement(Int x) {
    alignas(16) static constexpr uint8_t kOrder[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                       2, 6, 10, 14, 3, 7, 11, 15};
    return vqtbl1q_u8(vreinterpretq_u8_s32(x), vld1q_u8(kOrder));
  }
  // Four blocks of 4 signed bytes of 4 tokens each, to 2 pairs of tokens with 16 elements of 16
  // bits.
  static void StorePairs(Int a, Int b, Int c, Int d, int16_t* pairs) {
    StorePairsOf(a, pairs);
    StorePairsOf(b, pairs + 8);
    StorePairsOf(c, pairs + 16);
    StorePairsOf(d, pairs + 24);
  }
  static void StorePairsOf(Int x, int16_t* pairs) {
    const int8x16_t bytes = vreinterpretq_s8_s32(x);
    vst1q_s16(pairs, vmovl_s8(vget_low_s8(bytes)));
    vst1q_s16(pairs + 32, vmovl_high_s8(bytes));
  }
};

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_ARM64_NEON_SIMD_H_
