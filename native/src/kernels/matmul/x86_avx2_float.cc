// F32, F16 and BF16 weights, converted in registers.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/matmul/float_rows.h"
#include "kernels/matmul/implementations.h"

namespace mla {
namespace {

struct Avx2 {
  static constexpr int kWidth = 8, kRows = 3, kCols = 4;
  using Vector = __m256;
  static Vector Zero() { return _mm256_setzero_ps(); }
  static Vector Load(const float* x) { return _mm256_loadu_ps(x); }
  static Vector LoadFirst(const float* x, int count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(x, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes));
  }
  static Vector Fma(Vector a, Vector b, Vector sum) { return _mm256_fmadd_ps(a, b, sum); }
  static float SumLanes(Vector v) {
    __m128 h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    h = _mm_add_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
  }
};

struct ReadF32 {
  using Element = float;
  static __m256 Load(const float* w) { return Avx2::Load(w); }
  static __m256 LoadFirst(const float* w, int count) { return Avx2::LoadFirst(w, count); }
};

__m128i Load16(const uint16_t* w) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(w)); }

__m128i LoadFirst16(const uint16_t* w, int count) {
  uint16_t copy[8] = {};
  memcpy(copy, w, static_cast<size_t>(count) * sizeof(uint16_t));
  return Load16(copy);
}

struct ReadF16 {
  using Element = uint16_t;
  static __m256 Load(const uint16_t* w) { return _mm256_cvtph_ps(Load16(w)); }
  static __m256 LoadFirst(const uint16_t* w, int count) {
    return _mm256_cvtph_ps(LoadFirst16(w, count));
  }
};

struct ReadBF16 {
  using Element = uint16_t;
  static __m256 Widen(__m128i v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  }
  static __m256 Load(const uint16_t* w) { return Widen(Load16(w)); }
  static __m256 LoadFirst(const uint16_t* w, int count) { return Widen(LoadFirst16(w, count)); }
};

}  // namespace

void MultiplyFloatAvx2(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  switch (p.w.type) {
    case Type::kF16:
      return MultiplyFloat<Avx2, ReadF16>(p, row_begin, row_end);
    case Type::kBF16:
      return MultiplyFloat<Avx2, ReadBF16>(p, row_begin, row_end);
    default:
      return MultiplyFloat<Avx2, ReadF32>(p, row_begin, row_end);
  }
}

}  // namespace mla
