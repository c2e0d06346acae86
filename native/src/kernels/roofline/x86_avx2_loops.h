// Reading and multiplying floats in AVX2, for the files of the instruction sets that have it.
#ifndef MLA_KERNELS_ROOFLINE_X86_AVX2_LOOPS_H_
#define MLA_KERNELS_ROOFLINE_X86_AVX2_LOOPS_H_

#include <immintrin.h>
#include <stdint.h>

namespace mla {
namespace {

// More than two multiplications a cycle would need, which each take five: chains are not in step.
constexpr int kChains = 14;

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

uint32_t SumLanes(__m256i sums) {
  alignas(32) uint32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums);
  uint32_t sum = 0;
  for (uint32_t lane : lanes) sum += lane;
  return sum;
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_ROOFLINE_X86_AVX2_LOOPS_H_
