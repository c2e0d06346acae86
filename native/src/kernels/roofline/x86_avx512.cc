#include <immintrin.h>
#include <stdint.h>

#include "kernels/roofline/implementations.h"

namespace mla {
namespace {

// More than two multiplications a cycle would need, which each take five: chains are not in step,
// and ten of them gave an Intel Xeon 80 % of its peak.
constexpr int kChains = 14;

uint64_t Read(const void* data, int64_t bytes) {
  const __m512i* words = static_cast<const __m512i*>(data);
  __m512i sums[8];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (int64_t i = 0; i < bytes / 64; i += 8) {
    for (int k = 0; k < 8; ++k) {
      _mm_prefetch(words + i + k + 8, _MM_HINT_T0);
      sums[k] = _mm512_add_epi64(sums[k], _mm512_load_si512(words + i + k));
    }
  }
  for (int k = 1; k < 8; ++k) sums[0] = _mm512_add_epi64(sums[0], sums[k]);
  // Not by _mm512_reduce_add_epi64: it adds signed numbers, which may not overflow.
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, sums[0]);
  uint64_t sum = 0;
  for (uint64_t lane : lanes) sum += lane;
  return sum;
}

float MultiplyFloats(int64_t rounds, float one) {
  const __m512 by = _mm512_set1_ps(one);
  __m512 chains[kChains];
  for (__m512& chain : chains) chain = _mm512_setzero_ps();
  for (int64_t r = 0; r < rounds; ++r) {
    for (__m512& chain : chains) chain = _mm512_fmadd_ps(chain, by, by);
  }
  for (int k = 1; k < kChains; ++k) chains[0] = _mm512_add_ps(chains[0], chains[k]);
  return _mm512_reduce_add_ps(chains[0]);
}

uint32_t MultiplyIntegers(int64_t rounds, int8_t one) {
  const __m512i by = _mm512_set1_epi8(one);
  __m512i chains[kChains];
  for (__m512i& chain : chains) chain = _mm512_setzero_si512();
  for (int64_t r = 0; r < rounds; ++r) {
    for (__m512i& chain : chains) chain = _mm512_dpbusd_epi32(chain, by, by);
  }
  for (int k = 1; k < kChains; ++k) chains[0] = _mm512_add_epi32(chains[0], chains[k]);
  alignas(64) uint32_t lanes[16];
  _mm512_store_si512(lanes, chains[0]);
  uint32_t sum = 0;
  for (uint32_t lane : lanes) sum += lane;
  return sum;
}

}  // namespace

const RooflineKernels kRooflineAvx512 = {Read, MultiplyFloats, kChains * 16, MultiplyIntegers,
                                         kChains * 64};

}  // namespace mla
