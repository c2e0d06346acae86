// How a block of threads brings the rows that it multiplies with into its shared memory: normed or
// gated on the way, as floats, as whole numbers of 15 bits, or both.
#ifndef MLA_KERNELS_MATMUL_GPU_INPUT_H_
#define MLA_KERNELS_MATMUL_GPU_INPUT_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/matmul/gpu.h"

namespace mla::MLA_GPU {

// x = scale * (128 * high + low) for every 32 elements, high and low signed bytes: two Dot4 a four
// weights. A row's bytes lie in planes of [cols / 32][16 bytes], so that neighbouring lanes, with a
// group each, meet no bank conflicts: high bytes of a group's first and second 16 elements, then
// the low ones.
constexpr float kMostLevel = 127.0f * 128.0f;

// Where everything is in shared memory, in bytes.
struct InputPlaces {
  int64_t integers;  // [n][4 planes], 4 * cols / 2 bytes a row
  int64_t scales;    // [n][cols / 32] floats
  int64_t sums;      // [n][cols / 32] floats: of x over the group
  int64_t floats;    // [n][padded cols]
  int64_t rms;       // [warps] floats
  int64_t bytes;
};

constexpr int kBlockThreads = 256;

MLA_BOTH InputPlaces PlaceInput(int n, int64_t cols, bool integers, bool floats) {
  InputPlaces p = {};
  const int64_t groups = integers ? cols / kGpuGroup : 0;
  p.scales = n * groups * 64;
  p.sums = p.scales + n * groups * 4;
  p.floats = (p.sums + n * groups * 4 + 15) / 16 * 16;
  p.rms = p.floats + (floats ? n * GpuPaddedCols(cols) * 4 : 0);
  p.bytes = p.rms + kBlockThreads / kWarp * 4;
  return p;
}

// Whole block. The factor that a row of x is multiplied with: 1 / rms(x), the same in all threads.
MLA_DEVICE float InverseRms(const float* x, int64_t cols, float epsilon, float* by_warp) {
  float sum = 0.0f;
  for (int64_t c = ThreadIndex(); c < cols; c += BlockThreads()) sum += x[c] * x[c];
  sum = SumOver(sum, kWarp);
  SyncBlock();  // by_warp may be in use for the row before
  if (Lane() == 0) by_warp[WarpIndex()] = sum;
  SyncBlock();
  sum = 0.0f;
  for (int w = 0; w < BlockThreads() / kWarp; ++w) sum += by_warp[w];
  return Rsqrt(sum / static_cast<float>(cols) + epsilon);
}

MLA_DEVICE float InputAt(const GpuInput& input, const float* x, const float* by, int64_t c,
                         float factor) {
  switch (input.kind) {
    case GpuInput::Kind::kNorm:
      return x[c] * factor * by[c];
    case GpuInput::Kind::kSwiGlu:
      return x[c] / (1.0f + Exp(-x[c])) * by[c];
    default:
      return x[c];
  }
}

// Eight neighbouring lanes, four elements each: a group. All lanes of a warp call this; those with
// write false only take part.
MLA_DEVICE void StoreGroup(const float (&four)[4], bool write, int64_t group, int64_t groups,
                           uint8_t* planes, float* scales, float* sums) {
  float largest = 0.0f, broken = 0.0f;
  for (int i = 0; i < 4; ++i) {
    largest = Max(largest, Abs(four[i]));
    broken += four[i] * 0.0f;
  }
  largest = MaxOver(largest, 8);
  // A NaN or an infinity in the group makes it all NaN: a broken activation stays visible.
  broken = SumOver(broken, 8);
  const float scale = largest / kMostLevel + broken;
  const float inverse = scale > 0.0f ? kMostLevel / largest : 0.0f;
  uint32_t high_word = 0, low_word = 0;
  int total = 0;
  for (int i = 0; i < 4; ++i) {
    const int level = inverse > 0.0f ? RoundToInt(four[i] * inverse) : 0;
    const int high = (level + 64) >> 7, low = level - high * 128;
    high_word |= static_cast<uint32_t>(high & 255) << (8 * i);
    low_word |= static_cast<uint32_t>(low & 255) << (8 * i);
    total += level;
  }
  const float sum = SumOver(static_cast<float>(total), 8) * scale;
  if (!write) return;
  const int part = Lane() % 8;  // of the group, four elements each
  uint32_t* plane =
      reinterpret_cast<uint32_t*>(planes) + (part / 4 * groups + group) * 4 + part % 4;
  plane[0] = high_word;
  plane[2 * groups * 4] = low_word;
  if (part == 0) {
    scales[group] = scale;
    sums[group] = sum;
  }
}

// Whole block; ends with a barrier. Rows n .. kRows - 1 of the integers and floats become zeros.
template <int kRows>
MLA_DEVICE void PrepareInput(const GpuInput& input, int n, int64_t cols, bool integers, bool floats,
                             uint8_t* shared, const InputPlaces& p) {
  const int64_t groups = cols / kGpuGroup, padded = GpuPaddedCols(cols);
  for (int i = 0; i < kRows; ++i) {
    const bool there = i < n;
    const float* x = input.x + i * input.stride;
    const float* by =
        input.kind == GpuInput::Kind::kSwiGlu ? input.by + i * input.stride : input.by;
    float factor = 1.0f;
    if (there && input.kind == GpuInput::Kind::kNorm) {
      factor = InverseRms(x, cols, input.epsilon, reinterpret_cast<float*>(shared + p.rms));
    }
    if (floats) {
      float* to = reinterpret_cast<float*>(shared + p.floats) + i * padded;
      for (int64_t c = ThreadIndex(); c < padded; c += BlockThreads()) {
        to[c] = there && c < cols ? InputAt(input, x, by, c, factor) : 0.0f;
      }
    }
    if (!integers) continue;
    uint8_t* planes = shared + p.integers + i * groups * 64;
    float* scales = reinterpret_cast<float*>(shared + p.scales) + i * groups;
    float* sums = reinterpret_cast<float*>(shared + p.sums) + i * groups;
    const int64_t quads = groups * 8;
    // Whole warps go round together: StoreGroup exchanges values.
    for (int64_t first = WarpIndex() * kWarp; first < quads; first += BlockThreads()) {
      const int64_t quad = first + Lane();
      float four[4] = {};
      if (there && quad < quads) {
        for (int j = 0; j < 4; ++j) four[j] = InputAt(input, x, by, quad * 4 + j, factor);
      }
      StoreGroup(four, quad < quads, quad / 8, groups, planes, scales, sums);
    }
  }
  SyncBlock();
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_MATMUL_GPU_INPUT_H_
