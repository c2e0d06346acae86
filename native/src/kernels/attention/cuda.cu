// Flash decoding over packed rows. A unit of threads, a block or for short rows a warp, walks the
// tiles of its split: rows come into shared memory while others are worked on (gpu_tile.h), are
// scored with tensor cores as tokens by heads (gpu_fragments.h), and summed, weighted, as elements
// by heads: heads are the narrow side of a product, eight to a column of products, so that few
// heads waste little. Warps share a tile's scores by strips of elements, its sums by strips of
// values.
//
// What bounds it, counted in sm_90's code and not measured: 32 elements of 32 tokens cost a warp,
// at 16 columns, of int4 87 instructions to score and 85 to sum, of int2 93 and 89, of f16 67 and
// 92; a third of packed ones' is addresses. A processor issues 4 a clock, and of an H200's memory
// it gets about 19 bytes a clock. f16 has 2,048 bytes of these in 108 clocks, and 40 of
// instructions: memory bounds it. int4 with its numbers has 640 in 34, int2 384 in 20: where a row
// is key and value, 43 and 46 clocks of instructions bound them, 2.5 and 2.4 times as fast as f16;
// where it is only one of them (plain models), memory bounds int4 and nearly int2.
#include <algorithm>

#include "cuda/simt.h"
#include "kernels/attention/gpu.h"
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
  static constexpr int kThreads = kWarps == 1 ? 128 : kWarps * 32;
  static constexpr int kRegisters = 16 * kTiles * kStrips + 8 * kTiles + 80;  // sums, scores, rest
  static constexpr int kCount = kThreads * kRegisters > 32768 ? 1 : 65536 / (kThreads * kRegisters);
};

// Grid: tasks, groups of splits, sequences.
template <int kWarps, int kTiles, int kStrips>
MLA_KERNEL_OF((Blocks<kWarps, kTiles, kStrips>::kThreads),
              (Blocks<kWarps, kTiles, kStrips>::kCount))
void Attend(const AttendArgs a) {
  WaitForEarlier();
  LetLaterStart();
  constexpr int kColumns = kTiles * 8;
  const int sequence = BlockZ(), position = a.call.positions[sequence];
  if (position < 0) return;
  const int unit = kWarps == 1 ? WarpIndex() : 0;
  const int units = kWarps == 1 ? BlockThreads() / kWarp : 1;
  const int thread = kWarps == 1 ? Lane() : ThreadIndex();
  const Shared s = PlaceShared(a.sizes, kColumns, unit);
  const int32_t* from = a.call.tables + a.call.tables[BlockX()];
  const Work planned = PlanWork(a, *reinterpret_cast<const GpuTask*>(from), sequence, position);
  if (BlockY() * units >= planned.splits) return;
  if (ThreadIndex() == 0) *s.work = planned;  // which registers have no room for
  for (int i = ThreadIndex(); i < from[0]; i += BlockThreads()) {
    reinterpret_cast<int32_t*>(s.task)[i] = from[i];
  }
  SyncBlock();
  const Work& work = *s.work;
  const int split = BlockY() * units + unit;
  const GpuTask& task = s.the_task();
  const int begin = split * work.tiles_a_split;  // a unit without tiles ends beyond the queries
  const int end = begin + work.tiles_a_split < work.total ? begin + work.tiles_a_split : work.total;
  // Pieces come in their order, tile by tile; this is the next one to be asked for.
  struct {
    int tile, piece, slot;
  } next = {begin, 0, 0};
  const auto ask = [&] {
    if (next.tile < end) {
      const Tile tile = TileAt(a, task, work, next.tile);
      const GpuTileForm& form = task.forms[tile.form];
      const GpuTilePiece& piece = s.Piece(form, next.piece);
      LoadPiece(piece, reinterpret_cast<const GpuTileLine*>(a.call.tables) + piece.lines,
                form.tokens, tile, s.slots + next.slot * a.sizes.slot_bytes, thread, kWarps);
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

  // While the first tiles come.
  LoadQueries(a, s, kColumns, sequence);
  for (int c = thread; c < kColumns; c += kWarps * kWarp) {
    s.maxima[c] = -Infinity();
    s.totals[c] = 0.0f;
  }
  SyncBlock();
  if (split >= work.splits) return;

  Sums<kTiles, kStrips> sums = {};
  sums.type = CacheType::kF16;
  int slot = 0;
  for (int t = begin; t < end; ++t) {
    const Tile tile = TileAt(a, task, work, t);
    const GpuTileForm& form = task.forms[tile.form];
    for (int p = 0; p < form.pieces; ++p) {
      // Behind this barrier all are through with the slot that is asked for next.
      if (a.sizes.slots > 2) {
        WaitCopies<1>();
      } else if (a.sizes.slots == 2) {
        WaitCopies<0>();
      }
      SyncUnit<kWarps>();
      ask();
      if (a.sizes.slots == 1) {
        WaitCopies<0>();
        SyncUnit<kWarps>();
      }
      const GpuTilePiece& piece = s.Piece(form, p);
      const uint8_t* memory = s.slots + slot * a.sizes.slot_bytes;
      const TileView view = ViewTile(piece, form.tokens, SharedAddress(memory));
      slot = slot + 1 == a.sizes.slots ? 0 : slot + 1;
      if (p < form.score_pieces) {
        if (form.tokens == 16) {
          ScorePiece<kWarps, kTiles, 1>(s, a.sizes.query_pitch, piece, view, p == 0);
        } else {
          ScorePiece<kWarps, kTiles, 2>(s, a.sizes.query_pitch, piece, view, p == 0);
        }
        if (p + 1 < form.score_pieces) continue;
        SyncUnit<kWarps>();
        Weigh<kWarps, kTiles>(a, s, work, tile, piece, memory, form.tokens);
        SyncUnit<kWarps>();
        Rescale(s, &sums);
      }
      if (piece.value_end > piece.value_begin) {
        SumPiece<kWarps, kTiles, kStrips>(s, piece, view, &sums);
      }
    }
  }
  WaitCopies<0>();
  SyncUnit<kWarps>();
  ChangeType(CacheType::kF16, &sums);
  Finish<kWarps, kTiles, kStrips>(a, s, work, split, sums);
}

constexpr int kMergeWarps = 8;
constexpr int kMergeElements = kWarp * kUnitElements;  // a block

MLA_BOTH int MergeBytes(int splits) { return (splits + kMergeWarps * kMergeElements) * 4; }

// out = sum of shares * means / sum of shares, share = 2^(maximum - largest maximum) * total.
// Grid: rows (query, head), groups of elements, sequences. A warp adds every eighth split in order,
// then they are added in the order of warps.
MLA_KERNEL void Merge(const AttendArgs a) {
  WaitForEarlier();
  LetLaterStart();
  const int sequence = BlockZ(), position = a.call.positions[sequence];
  if (position < 0) return;
  const int32_t* tables = a.call.tables;
  const int query = BlockX() / a.sizes.heads, head = BlockX() % a.sizes.heads;
  const int length = tables[a.sizes.tasks + head], first = BlockY() * kMergeElements;
  const Work work =
      PlanWork(a, *reinterpret_cast<const GpuTask*>(tables + tables[0]), sequence, position);
  if (work.splits == 1 || first >= length) return;
  float* sums = reinterpret_cast<float*>(SharedMemory());  // [warps][elements]
  float* shares = sums + kMergeWarps * kMergeElements;     // [splits]
  float maximum = -Infinity();
  for (int i = Lane(); i < work.splits; i += kWarp) {
    maximum = Max(maximum, PartialRow(a, sequence, i, query, head)[0]);
  }
  maximum = MaxOver(maximum, kWarp);
  float total = 0.0f;
  for (int i = Lane(); i < work.splits; i += kWarp) {
    const float* partial = PartialRow(a, sequence, i, query, head);
    const float share = Exp2(partial[0] - maximum) * partial[1];
    if (WarpIndex() == 0) shares[i] = share;
    total += share;
  }
  total = SumOver(total, kWarp);
  SyncBlock();
  const int element = first + Lane() * kUnitElements;
  float mine[kUnitElements] = {};
  if (element < length) {
    MLA_UNROLL_BY(4)
    for (int i = WarpIndex(); i < work.splits; i += kMergeWarps) {
      const Quad means = LoadQuad(PartialRow(a, sequence, i, query, head) + 4 + element / 2);
      MLA_UNROLL
      for (int j = 0; j < 4; ++j) {
        mine[2 * j] += shares[i] * HalfToFloat(static_cast<uint16_t>(means.word[j]));
        mine[2 * j + 1] += shares[i] * HalfToFloat(static_cast<uint16_t>(means.word[j] >> 16));
      }
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

template <int kWarps, int kTiles, int kStrips>
void LaunchVariant(GpuStream& stream, const AttendArgs& args) {
  const GpuAttentionPlan& plan = *args.call.plan;
  const int units = plan.variant().units();
  const Grid grid = {args.sizes.tasks, (args.splits + units - 1) / units, args.call.sequences};
  Launch(stream, grid, plan.variant().threads(), plan.shared_bytes(),
         Attend<kWarps, kTiles, kStrips>, args);
}

template <int kWarps, int kStrips>
void LaunchColumns(GpuStream& stream, const AttendArgs& args) {
  switch (args.call.plan->variant().columns) {
    case 8:
      return LaunchVariant<kWarps, 1, kStrips>(stream, args);
    case 16:
      return LaunchVariant<kWarps, 2, kStrips>(stream, args);
    default:
      if constexpr (kWarps > 1) return LaunchVariant<kWarps, 4, kStrips>(stream, args);
  }
}

}  // namespace

void Launch(GpuStream& stream, const GpuAttention& call) {
  const GpuAttentionPlan& plan = *call.plan;
  const AttendArgs args = {call, plan.sizes(), plan.MostSplits(call.bucket, call.window)};
  const GpuAttentionVariant& variant = plan.variant();
  if (variant.columns == 64) {
    LaunchVariant<8, 8, 1>(stream, args);
  } else if (variant.warps == 1) {
    LaunchColumns<1, 2>(stream, args);
  } else if (variant.warps == 4) {
    LaunchColumns<4, 1>(stream, args);
  } else if (variant.strips == 1) {
    LaunchColumns<8, 1>(stream, args);
  } else {
    LaunchColumns<8, 2>(stream, args);
  }
  if (args.splits == 1) return;
  const Grid grid = {args.sizes.queries * args.sizes.heads,
                     (args.sizes.value_length + kMergeElements - 1) / kMergeElements,
                     call.sequences};
  Launch(stream, grid, kMergeWarps * kWarp, MergeBytes(args.splits), Merge, args);
}

}  // namespace mla::MLA_GPU
