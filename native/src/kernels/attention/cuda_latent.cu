// Launches what gpu_latent_kernel.h has for a layer's type, each of which is compiled in a file of
// its own, and the merge of its splits.
#include "cuda/simt.h"
#include "kernels/attention/gpu_latent_work.h"
#include "kernels/attention/gpu_merge.h"
#include "kernels/attention/gpu_rows_type.h"

namespace mla::MLA_GPU {
namespace {

MLA_KERNEL void MergeLatent(const AttendArgs a) {
  MergeSplits(
      a, [&](int sequence, int position) { return PlanLatentWork(a, sequence, position).splits; });
}

}  // namespace

void LaunchLatent(GpuStream& stream, const AttendArgs& attend) {
  const GpuAttentionPlan& plan = *attend.call.plan;
  // As many blocks as run at once, if splits are enough.
  const int64_t splits = int64_t{attend.sizes.tasks} * attend.splits * attend.call.sequences;
  const int32_t each = static_cast<int32_t>((splits + plan.blocks() - 1) / plan.blocks());
  const LatentArgs args = {attend, *plan.latent(), each};
  const Grid grid = {attend.sizes.tasks, (attend.splits + each - 1) / each, attend.call.sequences};
  WithRowsType(args.latent, [&]<CacheType kType>() { LaunchLatentOf<kType>(stream, args, grid); });
  if (attend.splits > 1) LaunchMerge(stream, attend, MergeLatent);
}

}  // namespace mla::MLA_GPU
