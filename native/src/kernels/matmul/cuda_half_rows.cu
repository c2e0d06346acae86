#include <algorithm>

#include "cuda/simt.h"
#include "kernels/matmul/gpu_half_rows.h"
#include "kernels/matmul/gpu_input.h"

namespace mla::MLA_GPU {
namespace {

// The power of two that brings `largest` into [2^14, 2^15), as far as it and its inverse are normal
// floats.
MLA_DEVICE float ScaleToHalves(float largest) {
  const int exponent = static_cast<int>(BitsOfFloat(largest) >> 23) - 127;
  const int by = 14 - exponent > 126 ? 126 : 14 - exponent;
  return FloatOfBits(static_cast<uint32_t>(127 + by) << 23);
}

// A block has a row. It reads it again rather than to hold it: rows are of any length, and in the
// caches by then.
MLA_KERNEL void PrepareHalfRows(const HalfRowsArgs a) {
  WaitForEarlier();
  LetLaterStart();
  float* by_warp = reinterpret_cast<float*>(SharedMemory());
  const int warps = BlockThreads() / kWarp;
  const int64_t i = BlockX() / a.heads, h = BlockX() % a.heads;
  const float* x = a.input.x + i * a.input.stride + h * a.head_stride;
  const float* by =
      a.input.kind == GpuInput::Kind::kSwiGlu ? a.input.by + i * a.input.stride : a.input.by;
  const float factor = a.input.kind == GpuInput::Kind::kNorm
                           ? InverseRms(x, a.cols, a.input.epsilon, by_warp)
                           : 1.0f;
  float largest = 0.0f, broken = 0.0f;
  for (int64_t c = ThreadIndex(); c < a.cols; c += BlockThreads()) {
    const float value = InputAt(a.input, x, by, c, factor);
    largest = Max(largest, Abs(value));
    broken += value * 0.0f;
  }
  largest = MaxOver(largest, kWarp);
  broken = SumOver(broken, kWarp);
  SyncBlock();  // by_warp may be in use
  if (Lane() == 0) {
    by_warp[WarpIndex()] = largest;
    by_warp[warps + WarpIndex()] = broken;
  }
  SyncBlock();
  for (int w = 0; w < warps; ++w) {
    largest = Max(largest, by_warp[w]);
    broken += by_warp[warps + w];
  }
  const float scale = ScaleToHalves(largest);
  if (ThreadIndex() == 0) a.rows.scales[BlockX()] = 1.0f / scale + broken;
  const int64_t words = ChunksOf(a.cols) * (kChunk / 2);
  uint32_t* to = reinterpret_cast<uint32_t*>(a.rows.halves) + BlockX() * words;
  for (int64_t w = ThreadIndex(); w < words; w += BlockThreads()) {
    const int64_t c = w / (kChunk / 2) * kChunk + ElementOfWord(static_cast<int>(w % (kChunk / 2)));
    const float low = c < a.cols ? InputAt(a.input, x, by, c, factor) * scale : 0.0f;
    const float high = c + 2 < a.cols ? InputAt(a.input, x, by, c + 2, factor) * scale : 0.0f;
    to[w] = PackHalves(low, high);
  }
}

}  // namespace

void LaunchHalfRows(GpuStream& stream, const HalfRowsArgs& args) {
  const int64_t words = ChunksOf(args.cols) * (kChunk / 2);
  const int threads = static_cast<int>(std::min<int64_t>(words, kBlockThreads));
  Launch(stream, {args.n * args.heads}, threads, 2 * threads / kWarp * 4, PrepareHalfRows, args);
}

}  // namespace mla::MLA_GPU
