// Launches what gpu_group_kernel.h has for a layer's type, each of which is compiled in a file of
// its own, and the merge of its splits.
#include "cuda/simt.h"
#include "kernels/attention/gpu_group_work.h"
#include "kernels/attention/gpu_merge.h"
#include "kernels/attention/gpu_rows_type.h"

namespace mla::MLA_GPU {
namespace {

MLA_KERNEL void MergeGroups(const AttendArgs a) {
  MergeSplits(
      a, [&](int sequence, int position) { return PlanGroupWork(a, sequence, position).splits; });
}

}  // namespace

void LaunchGroups(GpuStream& stream, const AttendArgs& attend) {
  const GroupArgs args = {attend, *attend.call.plan->latent()};
  const Grid grid = {attend.sizes.tasks, attend.splits, attend.call.sequences};
  WithRowsType(args.latent, [&]<CacheType kType>() { LaunchGroupsOf<kType>(stream, args, grid); });
  if (attend.splits > 1) LaunchMerge(stream, attend, MergeGroups);
}

}  // namespace mla::MLA_GPU
