// F32, F16 and BF16 weights, converted in registers.
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/matmul/float_rows.h"
#include "kernels/matmul/implementations.h"

namespace mla {
namespace {

// Two registers together: a single column of activations has eight sums under way, which is what
// two multiplications a cycle of four cycles each need.
struct Floats8 {
  float32x4_t low, high;
};

struct Neon {
  static constexpr int kWidth = 8, kRows = 4, kCols = 2;
  using Vector = Floats8;
  static Vector Zero() { return {vdupq_n_f32(0), vdupq_n_f32(0)}; }
  static Vector Load(const float* x) { return {vld1q_f32(x), vld1q_f32(x + 4)}; }
  static Vector LoadFirst(const float* x, int count) {
    float copy[8] = {};
    memcpy(copy, x, static_cast<size_t>(count) * sizeof(float));
    return Load(copy);
  }
  static Vector Fma(Vector a, Vector b, Vector sum) {
    return {vfmaq_f32(sum.low, a.low, b.low), vfmaq_f32(sum.high, a.high, b.high)};
  }
  static float SumLanes(Vector v) { return vaddvq_f32(vaddq_f32(v.low, v.high)); }
  static void SumLanes4(Vector a, Vector b, Vector c, Vector d, float* out) {
    const float32x4_t ab = vpaddq_f32(vaddq_f32(a.low, a.high), vaddq_f32(b.low, b.high));
    const float32x4_t cd = vpaddq_f32(vaddq_f32(c.low, c.high), vaddq_f32(d.low, d.high));
    vst1q_f32(out, vpaddq_f32(ab, cd));
  }
};

struct ReadF32 {
  using Element = float;
  static Floats8 Load(const float* w) { return Neon::Load(w); }
  static Floats8 LoadFirst(const float* w, int count) { return Neon::LoadFirst(w, count); }
};

uint16x8_t LoadFirst16(const uint16_t* w, int count) {
  uint16_t copy[8] = {};
  memcpy(copy, w, static_cast<size_t>(count) * sizeof(uint16_t));
  return vld1q_u16(copy);
}

struct ReadF16 {
  using Element = uint16_t;
  static Floats8 Widen(uint16x8_t v) {
    const float16x8_t halves = vreinterpretq_f16_u16(v);
    return {vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)};
  }
  static Floats8 Load(const uint16_t* w) { return Widen(vld1q_u16(w)); }
  static Floats8 LoadFirst(const uint16_t* w, int count) { return Widen(LoadFirst16(w, count)); }
};

struct ReadBF16 {
  using Element = uint16_t;
  static Floats8 Widen(uint16x8_t v) {
    return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(v), 16)),
            vreinterpretq_f32_u32(vshll_high_n_u16(v, 16))};
  }
  static Floats8 Load(const uint16_t* w) { return Widen(vld1q_u16(w)); }
  static Floats8 LoadFirst(const uint16_t* w, int count) { return Widen(LoadFirst16(w, count)); }
};

}  // namespace

void MultiplyFloatNeon(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  switch (p.w.type) {
    case Type::kF16:
      return MultiplyFloat<Neon, ReadF16>(p, row_begin, row_end);
    case Type::kBF16:
      return MultiplyFloat<Neon, ReadBF16>(p, row_begin, row_end);
    default:
      return MultiplyFloat<Neon, ReadF32>(p, row_begin, row_end);
  }
}

}  // namespace mla
