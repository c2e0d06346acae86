// Flash decoding over packed rows. A block walks the tiles of its split: rows come into shared
// memory while others are worked on (gpu_tile.h), are scored with tensor cores as tokens by heads
// (gpu_scores.h), and summed, weighted, as elements by heads (gpu_sums.h): heads are the narrow
// side of a product, eight to a column of products, so that few heads waste little. Warps share a
// tile's scores by tokens and strips of elements, its sums by strips of values. Where all rows are
// floats their matrices are loaded as they lie, which is a kernel of its own.
//
// What bounds it, as an H200 showed: not memory, but what a tile costs each warp besides its
// products - finding it, asking for the next one, barriers, the softmax - at two warps or four a
// scheduler that have little to hide each other's latency with. So tiles are as long as shared
// memory allows, and what can be done once for all splits (queries) or by copies in bulk is.
#include <iterator>
#include <utility>

#include "cuda/simt.h"
#include "kernels/attention/gpu.h"
#include "kernels/attention/gpu_group_work.h"
#include "kernels/attention/gpu_latent_work.h"
#include "kernels/attention/gpu_merge.h"
#include "kernels/attention/gpu_query.h"
#include "kernels/attention/gpu_scores.h"
#include "kernels/attention/gpu_shared.h"
#include "kernels/attention/gpu_softmax.h"
#include "kernels/attention/gpu_sums.h"
#include "kernels/attention/gpu_tile.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {
namespace {

// How many blocks a processor's registers are for: as many as sums and scores leave room for.
template <int kWarps, int kTiles, int kStrips>
struct Blocks {
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kRegisters = 16 * kTiles * kStrips + 8 * kTiles + 80;  // sums, scores, rest
  static constexpr int kCount = kThreads * kRegisters > 32768 ? 1 : 65536 / (kThreads * kRegisters);
};

// Grid: tasks, groups of splits, sequences.
template <int kWarps, int kTiles, int kStrips, GpuRows kRows>
MLA_KERNEL_OF((Blocks<kWarps, kTiles, kStrips>::kThreads),
              (Blocks<kWarps, kTiles, kStrips>::kCount))
void Attend(const AttendArgs a) {
  constexpr bool kPacked = kRows == GpuRows::kPacked;
  constexpr int kColumns = kTiles * 8;
  const Shared s = PlaceShared<kPacked>(a.sizes, kColumns);
  const int32_t* from = a.call.tables + a.call.tables[BlockX()];
  for (int i = ThreadIndex(); i < from[0]; i += BlockThreads()) {
    reinterpret_cast<int32_t*>(s.task)[i] = from[i];
  }
  const bool bulk = a.sizes.bulk != 0;
  if (bulk && ThreadIndex() < a.sizes.slots) InitCopyBarrier(s.barriers + ThreadIndex());
  WaitForEarlier();
  LetLaterStart();
  const int sequence = BlockZ(), position = a.call.positions[sequence];
  if (position < 0) return;
  const Work planned = PlanWork(a, *reinterpret_cast<const GpuTask*>(from), sequence, position);
  const int split = BlockY();
  if (split >= planned.splits) return;
  if (ThreadIndex() == 0) *s.work = planned;  // which registers have no room for
  SyncBlock();
  const Work& work = *s.work;
  const GpuTask& task = s.the_task();
  const int begin = split * work.tiles_a_split;
  const int end = begin + work.tiles_a_split < work.total ? begin + work.tiles_a_split : work.total;
  LoadQueries<kRows>(a, s, kColumns, sequence);
  // Pieces come in their order, tile by tile; this is the next one to be asked for.
  struct {
    int tile, piece, slot;
  } next = {begin, 0, 0};
  const auto ask = [&] {
    if (next.tile < end) {
      const Tile tile = TileAt(a, task, work, next.tile);
      if (ThreadIndex() == 0) s.tiles[next.slot] = tile;
      const GpuTileForm& form = task.forms[tile.form];
      const GpuTilePiece& piece = s.Piece(form, next.piece);
      LoadPiece(piece, s.Runs(piece), form.tokens, tile, s.slots + next.slot * a.sizes.slot_bytes,
                bulk ? s.barriers + next.slot : nullptr, WarpIndex(), kWarps);
      if (++next.piece == form.pieces) {
        next.piece = 0;
        ++next.tile;
      }
      next.slot = next.slot + 1 == a.sizes.slots ? 0 : next.slot + 1;
    }
    CommitCopies();
  };
  MLA_UNROLL_BY(1)
  for (int i = 1; i < a.sizes.slots; ++i) ask();
  for (int c = ThreadIndex(); c < kColumns; c += kWarps * kWarp) {
    s.maxima[c] = -Infinity();
    s.totals[c] = 0.0f;
  }
  // The queries, all of a block's warps'.
  if (a.sizes.slots > 2) {
    WaitCopies<2>();
  } else if (a.sizes.slots == 2) {
    WaitCopies<1>();
  } else {
    WaitCopies<0>();
  }
  SyncBlock();

  Sums<kTiles, kStrips> sums = {};
  sums.type = CacheType::kF16;
  int slot = 0, turn = 0;
  for (int t = begin; t < end; ++t) {
    int p = 0, pieces = 0;
    do {
      // Behind this barrier all are through with the slot that is asked for next.
      if (a.sizes.slots > 2) {
        WaitCopies<1>();
      } else if (a.sizes.slots == 2) {
        WaitCopies<0>();
      }
      SyncBlock();
      ask();
      if (a.sizes.slots == 1) {
        WaitCopies<0>();
        SyncBlock();
      }
      if (bulk) WaitCopyBarrier(s.barriers + slot, turn);
      const Tile tile = s.tiles[slot];
      const GpuTileForm& form = task.forms[tile.form];
      pieces = form.pieces;
      const GpuTilePiece& piece = s.Piece(form, p);
      const uint8_t* memory = s.slots + slot * a.sizes.slot_bytes;
      const TileView view = ViewTile(piece, form.tokens, SharedAddress(memory));
      if (++slot == a.sizes.slots) {
        slot = 0;
        turn ^= 1;
      }
      if (p < form.score_pieces) {
        const int pitch = QueryPitch(a.sizes.query_pitch, kPacked);
        if (form.tokens == 16) {
          ScorePiece<kWarps, kTiles, 1, kRows>(s, pitch, piece, view, p == 0);
        } else {
          ScorePiece<kWarps, kTiles, 2, kRows>(s, pitch, piece, view, p == 0);
        }
        if (p + 1 < form.score_pieces) continue;
        SyncBlock();
        Weigh<kWarps, kTiles, kRows>(a, s, work, tile, piece, memory, form.tokens);
        SyncBlock();
        Rescale(s, &sums);
      }
      if (piece.value_end > piece.value_begin) {
        SumPiece<kWarps, kRows>(s, piece, view, &sums);
      }
    } while (++p < pieces);
  }
  WaitCopies<0>();
  SyncBlock();
  if constexpr (kPacked) ChangeType(CacheType::kF16, &sums);
  Finish<kWarps, kRows>(a, s, work, split, sums);
}

MLA_KERNEL void Merge(const AttendArgs a) {
  MergeSplits(a, [&](int sequence, int position) {
    const int32_t* tables = a.call.tables;
    const GpuTask& task = *reinterpret_cast<const GpuTask*>(tables + tables[0]);
    return PlanWork(a, task, sequence, position).splits;
  });
}

// Grid: groups of rows (query, head), sequences. A warp a row.
constexpr int kPrepareWarps = 4;
MLA_KERNEL void PrepareQueries(const AttendArgs a) {
  WaitForEarlier();
  LetLaterStart();
  const int sequence = BlockY(), row = BlockX() * kPrepareWarps + WarpIndex();
  if (a.call.positions[sequence] < 0 || row >= a.sizes.queries * a.sizes.heads) return;
  const int query = row / a.sizes.heads, head = row % a.sizes.heads;
  uint8_t* to = PreparedQuery(a, sequence, query, head);
  uint32_t* sums = reinterpret_cast<uint32_t*>(to + a.sizes.query_pitch * 16);
  float* factor = reinterpret_cast<float*>(sums + a.sizes.query_pitch / 4);
  if (a.sizes.bfloats != 0) {
    PrepareQuery<MmaFloat::kBfloat>(a, sequence, query, head, to, sums, factor);
  } else {
    PrepareQuery<MmaFloat::kHalf>(a, sequence, query, head, to, sums, factor);
  }
}

// Whether the plan's variant is this one.
template <int kWarps, int kColumns, int kStrips>
bool LaunchVariant(GpuStream& stream, const AttendArgs& args) {
  const GpuAttentionPlan& plan = *args.call.plan;
  const GpuAttentionVariant& variant = plan.variant();
  if (variant.warps != kWarps || variant.columns != kColumns || variant.strips != kStrips) {
    return false;
  }
  const Grid grid = {args.sizes.tasks, args.splits, args.call.sequences};
  const auto launch = [&](auto kernel) {
    Launch(stream, grid, variant.threads(), plan.shared_bytes(), kernel, args);
  };
  switch (variant.rows) {
    case GpuRows::kPacked:
      launch(Attend<kWarps, kColumns / 8, kStrips, GpuRows::kPacked>);
      break;
    case GpuRows::kHalves:
      launch(Attend<kWarps, kColumns / 8, kStrips, GpuRows::kHalves>);
      break;
    case GpuRows::kBfloats:
      launch(Attend<kWarps, kColumns / 8, kStrips, GpuRows::kBfloats>);
      break;
  }
  return true;
}

template <size_t... kIndices>
void LaunchAttend(GpuStream& stream, const AttendArgs& args, std::index_sequence<kIndices...>) {
  static_cast<void>(
      (LaunchVariant<kGpuAttentionShapes[kIndices].warps, kGpuAttentionShapes[kIndices].columns,
                     kGpuAttentionShapes[kIndices].strips>(stream, args) ||
       ...));
}

}  // namespace

void Launch(GpuStream& stream, const GpuAttention& call) {
  const GpuAttentionPlan& plan = *call.plan;
  const AttendArgs args = {call, plan.sizes(),
                           plan.MostSplits(call.sequences, call.bucket, call.window),
                           plan.FillingSplits(call.sequences),
                           plan.PartialBytes(call.sequences, call.bucket, call.window)};
  if (args.sizes.prepared != 0) {
    const int rows = args.sizes.queries * args.sizes.heads;
    Launch(stream, {(rows + kPrepareWarps - 1) / kPrepareWarps, call.sequences},
           kPrepareWarps * kWarp, 0, PrepareQueries, args);
  }
  if (plan.latent() != nullptr) {
    return plan.latent()->group.values > 0 ? LaunchGroups(stream, args)
                                           : LaunchLatent(stream, args);
  }
  LaunchAttend(stream, args, std::make_index_sequence<std::size(kGpuAttentionShapes)>());
  if (args.splits > 1) LaunchMerge(stream, args, Merge);
}

}  // namespace mla::MLA_GPU
