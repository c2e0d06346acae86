#include "kernels/roofline/implementations.h"

namespace mla {
namespace {

// Chains that do not wait for one another, each as wide as most machines' least registers.
constexpr int kChains = 12;
constexpr int kFloats = kChains * 4;
constexpr int kShorts = kChains * 8;

uint64_t Read(const void* data, int64_t bytes) {
  constexpr int kLanes = 16;
  const uint64_t* words = static_cast<const uint64_t*>(data);
  uint64_t sums[kLanes] = {};
  for (int64_t i = 0; i < bytes / 8; i += kLanes) {
    for (int l = 0; l < kLanes; l += 8) __builtin_prefetch(words + i + l + 64);
    for (int l = 0; l < kLanes; ++l) sums[l] += words[i + l];
  }
  uint64_t sum = 0;
  for (uint64_t lane : sums) sum += lane;
  return sum;
}

float MultiplyFloats(int64_t rounds, float one) {
  float lanes[kFloats] = {};
  for (int64_t r = 0; r < rounds; ++r) {
    for (float& lane : lanes) lane = lane * one + one;
  }
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

uint32_t MultiplyIntegers(int64_t rounds, int8_t one) {
  uint16_t lanes[kShorts] = {};
  const uint16_t by = static_cast<uint16_t>(one);
  for (int64_t r = 0; r < rounds; ++r) {
    for (uint16_t& lane : lanes) lane = static_cast<uint16_t>(lane * by + by);
  }
  uint32_t sum = 0;
  for (uint16_t lane : lanes) sum += lane;
  return sum;
}

}  // namespace

const RooflineKernels kRooflineGeneric = {Read, MultiplyFloats, kFloats, MultiplyIntegers, kShorts};

}  // namespace mla
