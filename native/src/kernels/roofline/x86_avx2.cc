#include <immintrin.h>
#include <stdint.h>

#include "kernels/roofline/implementations.h"

namespace mla {
namespace {

// Enough for two multiplications a cycle that each take five.
constexpr int kChains = 10;
// Products of bytes that are summed in 16 bits: as many as of 4-bit weights fit there.
constexpr int kRun = 8;

uint64_t Read(const void* data, int64_t bytes) {
  const __m256i* words = static_cast<const __m256i*>(data);
  __m256i sums[8];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < bytes / 32; i += 8) {
    for (int k = 0; k < 8; k += 2) _mm_prefetch(words + i + k + 16, _MM_HINT_T0);
    for (int k = 0; k < 8; ++k) {
      sums[k] = _mm256_add_epi64(sums[k], _mm256_load_si256(words + i + k));
    }
  }
  for (int k = 1; k < 8; ++k) sums[0] = _mm256_add_epi64(sums[0], sums[k]);
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums[0]);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

float MultiplyFloats(int64_t rounds, float one) {
  const __m256 by = _mm256_set1_ps(one);
  __m256 chains[kChains];
  for (__m256& chain : chains) chain = _mm256_setzero_ps();
  for (int64_t r = 0; r < rounds; ++r) {
    for (__m256& chain : chains) chain = _mm256_fmadd_ps(chain, by, by);
  }
  for (int k = 1; k < kChains; ++k) chains[0] = _mm256_add_ps(chains[0], chains[k]);
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, chains[0]);
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

// Bytes, whose products 16 bits hold for a while.
uint32_t MultiplyIntegers(int64_t rounds, int8_t one) {
  const __m256i pairs = _mm256_set1_epi16(1);
  const __m256i signed_by = _mm256_set1_epi8(one);
  __m256i by = signed_by;
  __m256i chains[kChains];
  for (__m256i& chain : chains) chain = _mm256_setzero_si256();
  for (int64_t r = 0; r < rounds; ++r) {
    for (__m256i& chain : chains) {
      __m256i run = _mm256_setzero_si256();
      for (int i = 0; i < kRun; ++i) {
        // The factor is another each time, as far as the compiler knows: else it would multiply
        // once.
        asm volatile("" : "+x"(by));
        run = _mm256_add_epi16(run, _mm256_maddubs_epi16(by, signed_by));
      }
      chain = _mm256_add_epi32(chain, _mm256_madd_epi16(run, pairs));
    }
  }
  for (int k = 1; k < kChains; ++k) chains[0] = _mm256_add_epi32(chains[0], chains[k]);
  alignas(32) uint32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), chains[0]);
  uint32_t sum = 0;
  for (uint32_t lane : lanes) sum += lane;
  return sum;
}

}  // namespace

const RooflineKernels kRooflineAvx2 = {Read, MultiplyFloats, kChains * 8, MultiplyIntegers,
                                       32 * kChains* kRun};

}  // namespace mla
