// Weighted sums of a tile's values, heads by elements: a warp sums its own elements of all of a
// tile's tokens. Weights are the left operand, as the scores' products have them; rows the right
// one: with g = lane / 4 and t = lane % 4, packed rows' products of 32 elements are such that a
// lane reads of a line of eight bytes' pairs what belongs to its token pairs, and ends up with
// eight neighbouring elements of a head (LatentElement).
#ifndef MLA_KERNELS_ATTENTION_GPU_LATENT_SUMS_H_
#define MLA_KERNELS_ATTENTION_GPU_LATENT_SUMS_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_floats.h"
#include "kernels/attention/gpu_fragments.h"
#include "kernels/attention/gpu_latent.h"
#include "kernels/attention/gpu_latent_query.h"
#include "kernels/attention/gpu_partial.h"

namespace mla::MLA_GPU {

constexpr int kSumSteps = kPageTokens / 16;  // of a tile

// A warp's sums and the state of its lanes' rows: heads g and g + 8 of every sixteen.
template <int kHeads, int kValueTiles>
struct LatentSums {
  float of[kHeads][kValueTiles][4];
  // Of minima, weighted, of the warp's groups of elements, where rows have some: `of` is of fields,
  // as they lie, then.
  float minima[kHeads][4];
  float reference[kHeads][2];  // weights are relative to 2^ of it, a whole number; the same in all
  float total[kHeads][2];      // of the lane's tokens
};

template <CacheType kType>
struct LatentValues {
  // Where a lane's lines begin of 32 elements from `element` on, of tokens 4t to 4t + 3 of 16.
  MLA_DEVICE static int At(const GpuLatentArray& array, int slot, int element) {
    const int g = Lane() / 4, t = Lane() % 4;
    const int line = kType == CacheType::kInt8   ? 2 * (g / 2)
                     : kType == CacheType::kInt4 ? g / 2
                                                 : g / 4;
    return slot + array.to + (element / Fields<kType>::kBlock + line) * kLatentPitch<kType> +
           t * 16;
  }
  // Of 16 tokens the right operands of four products: of elements as LatentElement has them.
  MLA_DEVICE static void Load(int at, uint32_t (&to)[4][2]) {
    const int g = Lane() / 4;
    const uint32_t digits = static_cast<uint32_t>(g % 2 * 0x2222) + 0x4400u;
    [[maybe_unused]] const uint32_t mask = 0x00030003u << (g / 2 % 2 * 4);
    const Quad first = LoadShared<Quad>(at);
    Quad second = {};
    if constexpr (kType == CacheType::kInt8) second = LoadShared<Quad>(at + kLatentPitch<kType>);
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {  // of the four tokens
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        const uint32_t pick = digits + static_cast<uint32_t>(0x1111 * j);
        const uint32_t two = PickBytes(first.word[2 * half], first.word[2 * half + 1], pick);
        if constexpr (kType == CacheType::kInt8) {
          const uint32_t more = PickBytes(second.word[2 * half], second.word[2 * half + 1], pick);
          constexpr uint32_t kExponent = kOneByte & 0xff00ff00u;
          PickPair<kType>((two & 0x00ff00ffu) | kExponent, &to[j][half], nullptr);
          PickPair<kType>((more & 0x00ff00ffu) | kExponent, &to[2 + j][half], nullptr);
        } else if constexpr (kType == CacheType::kInt2) {
          to[j][half] = two & mask;
          to[2 + j][half] = two & (mask << 2);
        } else {
          PickPair<kType>(two, &to[j][half], &to[2 + j][half]);
        }
      }
    }
  }
};

// A step's weights as the left operand, every sixteen heads'.
template <int kHeads>
MLA_DEVICE void LoadLatentWeights(int weights, int step, Quad (&by)[kHeads]) {
  MLA_UNROLL
  for (int m = 0; m < kHeads; ++m) {
    by[m] = LoadShared<Quad>(weights + (step * kHeads + m) * kFragment + Lane() * 16);
  }
}

// Adds a tile's of rows of floats. `element`: the warp's first, of the row. Products of elements
// beyond the row's end are of some of its other ones: nobody wants them. kWoven: weights are as
// those of packed rows.
template <MmaFloat kFloat, bool kWoven, int kHeads, int kValueTiles>
MLA_DEVICE void SumLatentFloats(const GpuLatentArray& array, int slot, int weights, int element,
                                LatentSums<kHeads, kValueTiles>* sums) {
  constexpr int kSixteens = kValueTiles / 2;
  const int last = (array.strips - 1) * kPartElements;
  const int matrix = Lane() / 8, row = Lane() % 8, half = matrix % 2;
  const int token = kWoven ? row / 2 * 4 + half * 2 + row % 2 : half * 8 + row;
  int rows[kSixteens];
  MLA_UNROLL
  for (int i = 0; i < kSixteens; ++i) {
    const int wanted = element + i / 2 * kPartElements;
    const int one = (wanted < last ? wanted : last) + i % 2 * 16 + matrix / 2 * 8;
    rows[i] = slot + array.to + token * array.pitch + (one < array.last ? one : array.last) * 2;
  }
  MLA_UNROLL_BY(2)
  for (int step = 0; step < kSumSteps; ++step) {
    Quad by[kHeads];
    LoadLatentWeights(weights, step, by);
    MLA_UNROLL
    for (int i = 0; i < kSixteens; ++i) {
      uint32_t values[4];
      LoadMatricesTransposed(values, rows[i] + step * 16 * array.pitch);
      MLA_UNROLL
      for (int m = 0; m < kHeads; ++m) {
        Mma<kFloat>(sums->of[m][2 * i], by[m].word, {values[0], values[1]});
        Mma<kFloat>(sums->of[m][2 * i + 1], by[m].word, {values[2], values[3]});
      }
    }
  }
}

// The same of packed rows. kAll: all of the warp's elements are the row's; else strips behind its
// last one are left out.
template <CacheType kType, bool kAll, int kHeads, int kValueTiles>
MLA_DEVICE void SumPackedLatent(const GpuLatentArray& array, int slot, int weights, int element,
                                LatentSums<kHeads, kValueTiles>* sums) {
  constexpr int kParts = kValueTiles / 4;
  constexpr int kLine = kPartElements / Fields<kType>::kBlock * kLatentPitch<kType>;
  constexpr int kNumberLine = Fields<kType>::kNumbers * kPageTokens * 2;
  const int g = Lane() / 4, t = Lane() % 4;
  const int parts = array.strips - element / kPartElements;
  int rows = LatentValues<kType>::At(array, slot, element);
  int numbers = slot + array.number_to + t * 8;
  int scales[kParts], minima = 0;
  MLA_UNROLL
  for (int part = 0; part < kParts; ++part) {
    scales[part] = numbers + ((element + part * kPartElements) >> array.group_shift) * kNumberLine;
  }
  if constexpr (HasMinima(kType)) {
    const int wanted = (element >> array.group_shift) + (g < kParts ? g : 0);
    const int group = wanted < array.number_lines / 2 ? wanted : array.number_lines / 2 - 1;
    minima = numbers + (group * 2 + 1) * (kPageTokens * 2);
  }
  MLA_UNROLL_BY(2)
  for (int step = 0; step < kSumSteps; ++step) {
    Quad by[kHeads];
    LoadLatentWeights(weights, step, by);
    MLA_UNROLL
    for (int part = 0; part < kParts; ++part) {
      if (!kAll && part >= parts) continue;
      uint32_t values[4][2];
      LatentValues<kType>::Load(rows + part * kLine + step * 64, values);
      const FourHalves scale = LoadShared<FourHalves>(scales[part] + step * 32);
      MLA_UNROLL
      for (int m = 0; m < kHeads; ++m) {
        uint32_t scaled[4];
        MLA_UNROLL
        for (int i = 0; i < 4; ++i) scaled[i] = MulAddHalves(by[m].word[i], scale.word[i / 2], 0);
        MLA_UNROLL
        for (int i = 0; i < 4; ++i) Mma(sums->of[m][part * 4 + i], scaled, values[i]);
      }
    }
    if constexpr (HasMinima(kType)) {
      const FourHalves of = LoadShared<FourHalves>(minima + step * 32);
      MLA_UNROLL
      for (int m = 0; m < kHeads; ++m) Mma(sums->minima[m], by[m].word, {of.word[0], of.word[1]});
    }
  }
}

// Either, of rows of this type in a kernel for packed rows or one for floats.
template <CacheType kType, bool kPackedKernel, int kHeads, int kValueTiles>
MLA_DEVICE void SumLatent(const GpuLatentArray& array, int slot, int weights, int element,
                          LatentSums<kHeads, kValueTiles>* sums) {
  if constexpr (IsFloat(kType)) {
    SumLatentFloats<FloatOf(kType), kPackedKernel>(array, slot, weights, element, sums);
  } else if (element + kValueTiles * 8 <= array.strips * kPartElements) {
    SumPackedLatent<kType, true>(array, slot, weights, element, sums);
  } else {
    SumPackedLatent<kType, false>(array, slot, weights, element, sums);
  }
}

// --- results ---

// A lane's eight elements of a row of 32, from 8t on: which product and which of its columns, and
// what a field's sum is multiplied with.
template <CacheType kType>
MLA_DEVICE float LatentUnit(int element) {
  if (!HasMinima(kType)) return 1.0f;
  const bool high = element >= 4;
  const bool later = kType == CacheType::kInt2 && Lane() % 2 == 1;  // of 16, four bits up
  const float low = later ? 0x1p20f : 0x1p24f;
  return high ? low / static_cast<float>(1 << Fields<kType>::kBits) : low;
}

// Of part `part`, row g (half 0) or g + 8 of sixteen `m`.
template <CacheType kType, int kHeads, int kValueTiles>
MLA_DEVICE EightFloats LatentEight(const LatentSums<kHeads, kValueTiles>& sums, int m, int half,
                                   int part, float minimum) {
  EightFloats eight;
  MLA_UNROLL
  for (int i = 0; i < 8; ++i) {
    // Element high * 4 + column * 2 + j.
    const float sum = sums.of[m][part * 4 + i / 4 * 2 + i % 2][2 * half + i / 2 % 2];
    eight.of[i] = sum * LatentUnit<kType>(i) + minimum;
  }
  return eight;
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_LATENT_SUMS_H_
