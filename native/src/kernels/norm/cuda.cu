#include "cuda/simt.h"
#include "kernels/norm/gpu.h"

namespace mla::MLA_GPU {
namespace {

constexpr int kWarps = 4;

// A warp has a row of a head.
MLA_KERNEL void RmsNorm(const GpuRmsNorm a) {
  WaitForEarlier();
  LetLaterStart();
  const int row = BlockX() * kWarps + WarpIndex();
  const bool there = row < a.n * a.heads;
  const int i = there ? row / a.heads : 0, h = there ? row % a.heads : 0;
  const float* x = a.x + i * a.x_stride + h * a.x_head_stride;
  float sum = 0.0f;
  if (there) {
    for (int64_t c = Lane(); c < a.length; c += kWarp) sum += x[c] * x[c];
  }
  sum = SumOver(sum, kWarp);
  if (!there) return;
  const float scale = Rsqrt(sum / static_cast<float>(a.length) + a.epsilon);
  const float* weight = a.weight + h * a.weight_head_stride;
  float* out = a.out + i * a.out_stride + h * a.out_head_stride;
  for (int64_t c = Lane(); c < a.length; c += kWarp) out[c] = x[c] * scale * weight[c];
}

}  // namespace

void Launch(GpuStream& stream, const GpuRmsNorm& args) {
  if (args.n == 0) return;
  const int blocks = (args.n * args.heads + kWarps - 1) / kWarps;
  Launch(stream, {blocks}, kWarps * kWarp, 0, RmsNorm, args);
}

}  // namespace mla::MLA_GPU
