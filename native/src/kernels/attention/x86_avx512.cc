// The tile kernels in AVX-512: sixteen floats, masked ends.
#include <immintrin.h>

#include "kernels/attention/tile_kernels_simd.h"

namespace mla {
namespace {

struct Vec16 {
  using Reg = __m512;

  // 32 registers: 6 x 4 sums, and their operands.
  static constexpr int kLanes = 16;
  static constexpr int kScoreRows = 6;
  static constexpr int kSumRows = 6;
  static constexpr int kSumVectors = 4;
  // Within one group of 32; converting costs more, so more rows share it.
  static constexpr int kScaledSumRows = 12;
  static constexpr int kScaledSumVectors = 2;

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
  static Reg LoadInt8(const uint8_t* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Reg LoadInt8First(const uint8_t* p, int32_t n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(First(n), p)));
  }

  static Reg Add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg Mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg MulAdd(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg Max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  static Reg Round(Reg a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Reg TimesPowerOfTwo(Reg a, Reg n) { return _mm512_scalef_ps(a, n); }
  static float Sum(Reg a) { return _mm512_reduce_add_ps(a); }
  static float Largest(Reg a) { return _mm512_reduce_max_ps(a); }
  static void Sum4(Reg a, Reg b, Reg c, Reg d, bool add, float* out) {
    // Interleave and add, so that each 128-bit lane holds a part of all four sums, then fold the
    // lanes.
    const Reg ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const Reg cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const Reg low = _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0));
    const Reg high = _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2));
    const Reg lanes = _mm512_add_ps(low, high);
    const __m256 half =
        _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    _mm_storeu_ps(out, add ? _mm_add_ps(sums, _mm_loadu_ps(out)) : sums);
  }
};

constexpr AttentionTileKernels kKernels = MakeAttentionTileKernels<Vec16>();

}  // namespace

const AttentionTileKernels& Avx512AttentionTileKernels() { return kKernels; }

}  // namespace mla
