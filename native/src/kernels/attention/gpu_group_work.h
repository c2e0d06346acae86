// Which tiles a sequence has for the group kernel, and which of them a split: of the cache's rows,
// then of a window's floats, the first tokens' and the newest ones'.
#ifndef MLA_KERNELS_ATTENTION_GPU_GROUP_WORK_H_
#define MLA_KERNELS_ATTENTION_GPU_GROUP_WORK_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_group.h"
#include "kernels/attention/gpu_latent_rows.h"
#include "kernels/attention/gpu_latent_work.h"

namespace mla::MLA_GPU {

struct GroupArgs {
  AttendArgs attend;
  GpuLatentSizes latent;
};

// After queries are prepared.
void LaunchGroups(GpuStream& stream, const AttendArgs& attend);

// The kernel of rows of this type (cuda_group_<type>.cu).
template <CacheType kType>
void LaunchGroupsOf(GpuStream& stream, const GroupArgs& args, const Grid& grid);

struct GroupWork : SequenceTiles {
  int total;  // tiles
  int tiles_a_split, splits;
};

MLA_DEVICE GroupWork PlanGroupWork(const AttendArgs& a, int sequence, int position) {
  GroupWork work = {FindTiles(a, sequence, position), 0, 0, 0};
  MLA_UNROLL
  for (int form = 0; form < kRowForms; ++form) work.total += work.tiles[form];
  const int wanted = SplitsToFill(work.total, a.filling_splits);
  work.tiles_a_split = (work.total + wanted - 1) / wanted;
  work.splits = (work.total + work.tiles_a_split - 1) / work.tiles_a_split;
  return work;
}

MLA_DEVICE LatentTile GroupTileAt(const AttendArgs& a, const GroupWork& work, int index) {
  const int rows = work.tiles[kRowsForm];
  if (index >= rows) return WindowTile(a, work, index - rows);
  return RowsTile(work, AskedFor(a, work.position, kRowsForm), index);
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_GROUP_WORK_H_
