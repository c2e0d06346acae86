// Flash decoding of a latent that is key and value of all heads, by groups of four warps that
// multiply matrices in shared memory (simt.h's GroupMma*): compute capability 9.0, for long latents
// or many heads. Up to 64 pairs of head and query are a product's rows, padded where there are
// fewer; a tile is a page, of which a block has two in shared memory as halves or bf16
// (gpu_group_rows.h).
//
// The first group scores a tile, weighs the scores and sums half of the latent's strips; the second
// one sums the others, with weights through shared memory; the rest brings tiles, which where rows
// are packed is to unpack them. Groups wait for each other by barriers of turns: a slot is filled,
// or free again; weights are there, or read. Few columns are scored as columns instead of rows, for
// less to read (gpu_group_weights.h).
#ifndef MLA_KERNELS_ATTENTION_GPU_GROUP_KERNEL_H_
#define MLA_KERNELS_ATTENTION_GPU_GROUP_KERNEL_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu.h"
#include "kernels/attention/gpu_floats.h"
#include "kernels/attention/gpu_group.h"
#include "kernels/attention/gpu_group_block.h"
#include "kernels/attention/gpu_group_bring.h"
#include "kernels/attention/gpu_group_weights.h"
#include "kernels/attention/gpu_group_work.h"
#include "kernels/attention/gpu_partial.h"
#include "kernels/attention/gpu_sums.h"

namespace mla::MLA_GPU {

// Sums of kStrips strips of values a group; kFew: columns are few; kFloat: what rows are.
template <int kStrips, bool kFew, MmaFloat kFloat>
struct GroupSums {
  using Block = GroupBlock<kFew>;
  using Weights = GroupWeights<kFew, kFloat>;
  using Sums = float[kStrips][8][4];

  const Block& block;

  MLA_DEVICE static void Rescale(const GroupChange& change, Sums& sums) {
    if (!change.any) return;
    MLA_UNROLL
    for (int i = 0; i < kStrips; ++i) {
      MLA_UNROLL
      for (int e = 0; e < 8; ++e) {
        MLA_UNROLL
        for (int d = 0; d < 4; ++d) sums[i][e][d] *= change.by[d / 2];
      }
    }
  }

  // Asks for the sums of tile i of strips from `first` on; of those beyond the last the last's
  // again, which nobody wants.
  MLA_DEVICE void AddTile(int i, int first, const uint32_t (&weights)[Weights::kSteps][4],
                          Sums& sums) const {
    const int slot = block.SlotOf(i), last = block.sizes().values - 1;
    BeginGroupMmas();
    MLA_UNROLL
    for (int k = 0; k < kStrips; ++k) {
      const int strip = first + k < last ? first + k : last;
      MLA_UNROLL
      for (int step = 0; step < Weights::kSteps; ++step) {
        GroupMmaRows<kFloat>(sums[k], weights[step], slot + strip * kGroupStripBytes, step);
      }
    }
    CommitGroupMmas();
  }
  MLA_DEVICE int FirstStrip(int group) const { return group * ((block.sizes().values + 1) / 2); }

  // The first group's work.
  MLA_DEVICE void ScoreAndSum(int split) const {
    const Weights weighing = {block};
    Sums sums = {};
    typename Weights::Columns columns;
    weighing.Begin(&columns);
    const int tiles = block.end - block.begin;
    uint32_t weights[Weights::kSteps][4] = {};
    WaitTurn(&block.s.state->asked, 0);
    MLA_UNROLL_BY(1)
    for (int i = 0; i < tiles; ++i) {
      WaitTurn(block.s.state->full + i % kGroupSlots, block.TurnOf(i));
      ShowGroupMmas();
      GroupChange change;
      if constexpr (kFew) {
        weighing.WeighFew(i, &columns);
        change = weighing.TakeOver(i, weights);
      } else {
        float scores[8][4] = {};
        weighing.Score(i, scores);
        change = weighing.Weigh(i, scores, &columns, weights);
        weighing.HandOn(i, change, weights);
      }
      Rescale(change, sums);
      AddTile(i, FirstStrip(0), weights, sums);
      WaitGroupMmas<0>();
      ArriveTurn(block.s.state->free + i % kGroupSlots);
    }
    WaitTurn(&block.s.state->read, (tiles - 1) % 2);  // nobody falls a whole turn behind
    weighing.End(columns);
    ArriveTurn(&block.s.state->weighed);
    WaitTurn(&block.s.state->weighed, tiles % 2);
    Store(split, FirstStrip(0), FirstStrip(1), sums);
  }

  // The second group's.
  MLA_DEVICE void SumOnly(int split) const {
    const Weights weighing = {block};
    Sums sums = {};
    uint32_t weights[Weights::kSteps][4] = {};
    const int tiles = block.end - block.begin;
    MLA_UNROLL_BY(1)
    for (int i = 0; i < tiles; ++i) {
      const GroupChange change = weighing.TakeOver(i, weights);
      WaitTurn(block.s.state->full + i % kGroupSlots, block.TurnOf(i));
      ShowGroupMmas();
      Rescale(change, sums);
      AddTile(i, FirstStrip(1), weights, sums);
      WaitGroupMmas<0>();
      ArriveTurn(block.s.state->free + i % kGroupSlots);
    }
    WaitTurn(&block.s.state->weighed, tiles % 2);
    Store(split, FirstStrip(1), block.sizes().values - FirstStrip(1), sums);
  }

  // Weighted means, to where they belong: of a sequence with one split these are the results.
  MLA_DEVICE void Store(int split, int first, int strips,
                        const float (&sums)[kStrips][8][4]) const {
    if (kFew && WarpIndex() % 4 > 0) return;
    const int g = Lane() / 4, t = Lane() % 4, length = block.attend().sizes.value_length;
    const GpuAttention& call = block.attend().call;
    MLA_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int c = WarpIndex() % 4 * 16 + h * 8 + g;
      const GpuColumn column = block.s.columns[c];
      if (column.head < 0) continue;
      const float total = Weights{block}.TotalOf(c);
      const float by = total == 0.0f ? 0.0f : 1.0f / total;
      float* out = nullptr;
      float* row = nullptr;
      if (block.work.splits == 1) {
        out = call.out + BlockZ() * call.out_sequence + column.query * call.out_query +
              column.head * call.out_head;
      } else {
        row = PartialRow(block.attend(), BlockZ(), split, column.query, column.head);
        if (first == 0 && t == 0) {
          row[0] = block.s.references[c];
          row[1] = total;
        }
      }
      MLA_UNROLL
      for (int i = 0; i < kStrips; ++i) {
        MLA_UNROLL
        for (int e = 0; e < 8; ++e) {
          const int element = (first + i) * kGroupElements + e * 8 + 2 * t;
          // Of the splits' whole units are written, which the merge reads.
          if (i >= strips || element / kUnitElements * kUnitElements >= length) continue;
          const float x = sums[i][e][2 * h] * by, y = sums[i][e][2 * h + 1] * by;
          if (out != nullptr) {
            StoreTwo(out + element, x, y, length - element);
          } else {
            StoreTwoMeans<kFloat>(row, element, x, y);
          }
        }
      }
    }
  }
};

// Of a thread, of those that multiply and those that bring tiles.
struct GroupRegisters {
  int multiply, bring;
};
constexpr GroupRegisters RegistersOf(CacheType type) {
  return IsFloat(type) ? GroupRegisters{216, 72} : GroupRegisters{208, 88};
}

template <int kStrips, bool kFew, CacheType kType>
MLA_DEVICE void AttendAsGroups(const GroupArgs& a) {
  using Block = GroupBlock<kFew>;
  constexpr int kThreads = Block::kThreads;
  constexpr GroupRegisters kRegisters = RegistersOf(kType);
  // Or those that take some wait forever: a block begins with as many for each, in eights.
  static_assert(kRegisters.multiply * 2 + kRegisters.bring <= 65536 / kThreads / 8 * 8 * 3);
  const typename Block::Shared s = Block::Place(a.latent.group);
  const int32_t* from = a.attend.call.tables + a.attend.call.tables[BlockX()];
  constexpr int kColumnIntegers = sizeof(GpuColumn) / 4;
  for (int i = ThreadIndex(); i < Block::kColumns * kColumnIntegers; i += kThreads) {
    reinterpret_cast<int32_t*>(s.columns)[i] = from[i];
  }
  for (int i = ThreadIndex(); i < Block::kColumns; i += kThreads) s.factors[i] = 0.0f;
  GroupWork work = {};
  Block block = {a, s, work, 0, 0};
  block.Clear();
  WaitForEarlier();
  LetLaterStart();
  const int sequence = BlockZ(), position = a.attend.call.positions[sequence];
  if (position < 0) return;
  work = PlanGroupWork(a.attend, sequence, position);
  const int split = BlockY();
  if (split >= work.splits) return;
  block.begin = split * work.tiles_a_split;
  block.end =
      block.begin + work.tiles_a_split < work.total ? block.begin + work.tiles_a_split : work.total;
  if (ThreadIndex() == 0) block.MakeBarriers();
  SyncBlock();                                           // behind which all is clear
  const int group = Shuffle(ThreadIndex() / kGroup, 0);  // of all lanes, as the compiler sees, too
  if (group >= 2) {
    GiveRegisters<kRegisters.bring>();
    GroupTiles<kStrips, kFew, kType>{block}.BringTiles();
  } else {
    TakeRegisters<kRegisters.multiply>();
    block.BringQueries();
    const GroupSums<kStrips, kFew, FloatOf(kType)> sums = {block};
    if (group == 0) {
      sums.ScoreAndSum(split);
    } else {
      sums.SumOnly(split);
    }
  }
}

// Grid: tasks, splits, sequences. Empty for GPUs whose groups do not multiply.
template <int kStrips, bool kFew, CacheType kType>
MLA_KERNEL_OF((GroupBlock<kFew>::kThreads), 1)
void AttendGroups(const GroupArgs a) {
  if constexpr (kHasGroupMma) AttendAsGroups<kStrips, kFew, kType>(a);
}

// Those of a type, of which cuda_group_<type>.cu has this.
template <CacheType kType>
void LaunchGroupsOf(GpuStream& stream, const GroupArgs& args, const Grid& grid) {
  const GpuGroupSizes& sizes = args.latent.group;
  const auto launch = [&](void (*kernel)(GroupArgs)) {
    Launch(stream, grid, GroupBlock<false>::kThreads, args.attend.call.plan->shared_bytes(), kernel,
           args);
  };
  if (sizes.columns == kFewGroupColumns) {
    // Those of other types are the latent kernel's (gpu_latent_plan.cc).
    if constexpr (!HasMinima(kType)) launch(AttendGroups<4, true, kType>);
  } else if (sizes.values <= 4) {
    launch(AttendGroups<2, false, kType>);
  } else {
    launch(AttendGroups<4, false, kType>);
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_GROUP_KERNEL_H_
