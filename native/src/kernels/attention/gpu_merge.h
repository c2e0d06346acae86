// How a sequence's splits become its results.
#ifndef MLA_KERNELS_ATTENTION_GPU_MERGE_H_
#define MLA_KERNELS_ATTENTION_GPU_MERGE_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_partial.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

constexpr int kMergeWarps = 8;
constexpr int kMergeElements = kWarp * kUnitElements;  // a block

// out = sum of shares * means / sum of shares, share = 2^(maximum - largest maximum) * total.
// Grid: rows (query, head), groups of elements, sequences. A warp adds every eighth split in order,
// then they are added in the order of warps. `splits_of` says how many a sequence has, by its
// number and position.
template <typename SplitsOf>
MLA_DEVICE void MergeSplits(const AttendArgs& a, const SplitsOf& splits_of) {
  WaitForEarlier();
  LetLaterStart();
  const int sequence = BlockZ(), position = a.call.positions[sequence];
  if (position < 0) return;
  const int32_t* tables = a.call.tables;
  const int query = BlockX() / a.sizes.heads, head = BlockX() % a.sizes.heads;
  const int length = tables[a.sizes.tasks + head], first = BlockY() * kMergeElements;
  const int splits = splits_of(sequence, position);
  if (splits == 1 || first >= length) return;
  float* sums = reinterpret_cast<float*>(SharedMemory());  // [warps][elements]
  float* shares = sums + kMergeWarps * kMergeElements;     // [splits]
  float maximum = -Infinity();
  for (int i = Lane(); i < splits; i += kWarp) {
    maximum = Max(maximum, PartialRow(a, sequence, i, query, head)[0]);
  }
  maximum = MaxOver(maximum, kWarp);
  float total = 0.0f;
  for (int i = Lane(); i < splits; i += kWarp) {
    const float* partial = PartialRow(a, sequence, i, query, head);
    const float share = Exp2(partial[0] - maximum) * partial[1];
    if (WarpIndex() == 0) shares[i] = share;
    total += share;
  }
  total = SumOver(total, kWarp);
  SyncBlock();
  const int element = first + Lane() * kUnitElements;
  float mine[kUnitElements] = {};
  // A loop for either, whose loads are under way together.
  const auto add = [&](auto load) {
    MLA_UNROLL_BY(4)
    for (int i = WarpIndex(); i < splits; i += kMergeWarps) {
      const EightFloats means = load(PartialRow(a, sequence, i, query, head));
      MLA_UNROLL
      for (int j = 0; j < kUnitElements; ++j) mine[j] += shares[i] * means.of[j];
    }
  };
  if (element < length) {
    if (a.sizes.bfloats != 0) {
      add([&](const float* row) { return LoadEightMeans<MmaFloat::kBfloat>(row, element); });
    } else {
      add([&](const float* row) { return LoadEightMeans<MmaFloat::kHalf>(row, element); });
    }
  }
  float* to = sums + WarpIndex() * kMergeElements + Lane() * kUnitElements;
  MLA_UNROLL
  for (int j = 0; j < kUnitElements; ++j) to[j] = mine[j];
  SyncBlock();
  const int e = first + ThreadIndex();
  if (e >= length) return;
  float sum = 0.0f;
  for (int w = 0; w < kMergeWarps; ++w) sum += sums[w * kMergeElements + ThreadIndex()];
  a.call
      .out[sequence * a.call.out_sequence + query * a.call.out_query + head * a.call.out_head + e] =
      sum / total;
}
static_assert(kMergeElements == kMergeWarps * kWarp, "a thread an element at the end");

inline void LaunchMerge(GpuStream& stream, const AttendArgs& args, void (*kernel)(AttendArgs)) {
  const Grid grid = {args.sizes.queries * args.sizes.heads,
                     (args.sizes.value_length + kMergeElements - 1) / kMergeElements,
                     args.call.sequences};
  Launch(stream, grid, kMergeWarps * kWarp, (args.splits + kMergeWarps * kMergeElements) * 4,
         kernel, args);
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_MERGE_H_
