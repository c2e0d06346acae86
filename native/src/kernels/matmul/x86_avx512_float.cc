// F32, F16 and BF16 weights, converted in registers.
#include <immintrin.h>
#include <stdint.h>

#include "kernels/matmul/float_rows.h"
#include "kernels/matmul/implementations.h"
#include "kernels/x86_fold.h"

namespace mla {
namespace {

__mmask16 First(int count) { return static_cast<__mmask16>((1u << count) - 1); }

struct Avx512 {
  static constexpr int kWidth = 16, kRows = 4, kCols = 4;
  using Vector = __m512;
  static Vector Zero() { return _mm512_setzero_ps(); }
  static Vector Load(const float* x) { return _mm512_loadu_ps(x); }
  static Vector LoadFirst(const float* x, int count) {
    return _mm512_maskz_loadu_ps(First(count), x);
  }
  static Vector Fma(Vector a, Vector b, Vector sum) { return _mm512_fmadd_ps(a, b, sum); }
  static void SumLanes4(Vector a, Vector b, Vector c, Vector d, float* out) {
    _mm_storeu_ps(out, FoldFour<Adding>(a, b, c, d));
  }
  // In the same order.
  static float SumLanes(Vector v) {
    return _mm_cvtss_f32(FoldFour<Adding>(v, Zero(), Zero(), Zero()));
  }
};

struct ReadF32 {
  using Element = float;
  static __m512 Load(const float* w) { return Avx512::Load(w); }
  static __m512 LoadFirst(const float* w, int count) { return Avx512::LoadFirst(w, count); }
};

__m256i Load16(const uint16_t* w) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
}

struct ReadF16 {
  using Element = uint16_t;
  static __m512 Load(const uint16_t* w) { return _mm512_cvtph_ps(Load16(w)); }
  static __m512 LoadFirst(const uint16_t* w, int count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(First(count), w));
  }
};

struct ReadBF16 {
  using Element = uint16_t;
  static __m512 Widen(__m256i v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
  }
  static __m512 Load(const uint16_t* w) { return Widen(Load16(w)); }
  static __m512 LoadFirst(const uint16_t* w, int count) {
    return Widen(_mm256_maskz_loadu_epi16(First(count), w));
  }
};

}  // namespace

void MultiplyFloatAvx512(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  switch (p.w.type) {
    case Type::kF16:
      return MultiplyFloat<Avx512, ReadF16>(p, row_begin, row_end);
    case Type::kBF16:
      return MultiplyFloat<Avx512, ReadBF16>(p, row_begin, row_end);
    default:
      return MultiplyFloat<Avx512, ReadF32>(p, row_begin, row_end);
  }
}

}  // namespace mla
