// What a block of the group kernel has in its shared memory and works on (gpu_group_kernel.h).
#ifndef MLA_KERNELS_ATTENTION_GPU_GROUP_BLOCK_H_
#define MLA_KERNELS_ATTENTION_GPU_GROUP_BLOCK_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_group.h"
#include "kernels/attention/gpu_group_rows.h"
#include "kernels/attention/gpu_group_work.h"
#include "kernels/attention/gpu_query.h"

namespace mla::MLA_GPU {

struct GroupState {
  uint8_t changed[4];             // of a group's warps: whether references have
  uint8_t flags[4];               // of few columns: whether scores are beyond reach
  TurnBarrier full[kGroupSlots];  // a slot is
  TurnBarrier free[kGroupSlots];
  TurnBarrier weighed, read;      // a tile's weights are there, and nobody reads them any more
  TurnBarrier asked;              // queries are there
  LatentTile tiles[kGroupSlots];  // which slots hold
  CopyBarrier staged[kGroupStages];
};
static_assert(sizeof(GroupState) <= kGroupStateBytes);

// kFew: columns are few.
template <bool kFew>
struct GroupBlock {
  static constexpr int kColumns = kFew ? kFewGroupColumns : kGroupColumns;
  static constexpr int kQueryBytes = kColumns * 128;  // of a strip
  static constexpr int kMultiply = 2 * kGroup;        // threads that multiply, then
  static constexpr int kBring = kGroup;               // those that bring tiles
  static constexpr int kThreads = kMultiply + kBring;

  struct Shared {
    int queries, slots, weights;  // addresses
    GpuColumn* columns;
    float* factors;     // [columns], as in gpu_shared.h
    float* references;  // [columns]
    float* totals;      // [columns]
    float* changes;     // [columns]: what sums before are multiplied with
    GroupState* state;
    uint8_t* stages;  // [stages]
  };

  MLA_DEVICE static Shared Place(const GpuGroupSizes& sizes) {
    uint8_t* const begin = SharedMemory();
    uint8_t* const slots = begin + sizes.strips * kQueryBytes;
    uint8_t* const weights = slots + kGroupSlots * sizes.strips * kGroupStripBytes;
    Shared s = {};
    s.queries = SharedAddress(begin);
    s.slots = SharedAddress(slots);
    s.weights = SharedAddress(weights);
    s.columns = reinterpret_cast<GpuColumn*>(weights + kGroupWeightBytes);
    s.factors = reinterpret_cast<float*>(s.columns + kGroupColumns);
    s.references = s.factors + kGroupColumns;
    s.totals = s.references + kGroupColumns;
    s.changes = s.totals + kGroupColumns;
    uint8_t* const state = reinterpret_cast<uint8_t*>(s.changes + kGroupColumns);
    s.state = reinterpret_cast<GroupState*>(state);
    s.stages = state + kGroupStateBytes;
    return s;
  }

  const GroupArgs& args;
  const Shared& s;
  const GroupWork& work;
  int begin, end;  // tiles

  MLA_DEVICE const AttendArgs& attend() const { return args.attend; }
  MLA_DEVICE const GpuGroupSizes& sizes() const { return args.latent.group; }
  MLA_DEVICE const GpuLatentForm& FormOf(const LatentTile& tile) const {
    return args.latent.forms[tile.form];
  }
  // Of the split's tile `i`: its slot, and which turn of that it has.
  MLA_DEVICE int SlotOf(int i) const {
    return s.slots + i % kGroupSlots * sizes().strips * kGroupStripBytes;
  }
  MLA_DEVICE static int TurnOf(int i) { return i / kGroupSlots % 2; }

  // Pages of tiles in their order. A lane has that of every 32nd, so that it is there when the tile
  // is asked for.
  struct Pages {
    uint64_t mine = 0;

    MLA_DEVICE const uint8_t* At(const GroupBlock& block, int tile) {
      const int number = (tile - block.begin) % kWarp;
      if (number == 0 && tile + Lane() < block.end) {
        const AttendArgs& a = block.attend();
        mine = reinterpret_cast<uint64_t>(PageOf(a, a.call.pages[block.work.sequence],
                                                 GroupTileAt(a, block.work, tile + Lane())));
      }
      return reinterpret_cast<const uint8_t*>(Shuffle(mine, number));
    }
  };

  // By one thread, before a barrier of all.
  MLA_DEVICE void MakeBarriers() const {
    GroupState* state = s.state;
    for (int i = 0; i < kGroupSlots; ++i) {
      MakeTurns(state->full + i, kBring + 1);  // and what it is
      MakeTurns(state->free + i, kMultiply);
    }
    MakeTurns(&state->weighed, kGroup);
    MakeTurns(&state->read, (kFew ? 2 : 1) * kGroup);
    MakeTurns(&state->asked, kMultiply);
    for (int i = 0; i < sizes().stages; ++i) InitCopyBarrier(state->staged + i);
  }

  // Zeros where nothing else will be, by all threads.
  MLA_DEVICE void Clear() const {
    const int slots = sizes().clear != 0 ? kGroupSlots * kGroupStripBytes : 0;
    const int units = sizes().strips * (kQueryBytes + slots) / 16;
    for (int i = ThreadIndex(); i < units; i += kThreads) StoreShared(s.queries + i * 16, Quad{});
  }

  // Prepared queries and their factors, a warp a column, by the groups that multiply.
  MLA_DEVICE void BringQueries() const {
    const GpuLatentArray& rope = args.latent.forms[kRowsForm].rope;
    // Where eight elements lie, of rotary ones in whole strips of 32, then of the latent's.
    const auto place = [&](int c, int unit) {
      const int rope_units = rope.strips * (kScoreStrip / 8);
      const bool is_rope = unit < rope_units;
      if (!is_rope) unit -= rope_units;
      const int strip = (is_rope ? sizes().values : 0) + unit / 8;
      return s.queries + strip * kQueryBytes + GroupUnitAt(0, unit % 8, c);
    };
    const int units = args.latent.query_strips * (kScoreStrip / 8);
    MLA_UNROLL_BY(1)
    for (int c = WarpIndex(); c < kColumns; c += kMultiply / kWarp) {
      const GpuColumn column = s.columns[c];
      if (column.head < 0) continue;
      const uint8_t* from = PreparedQuery(attend(), BlockZ(), column.query, column.head);
      for (int i = Lane(); i < units; i += kWarp) CopyAsync(place(c, i), from + i * 16);
      // Behind it, and behind the sums of its strips.
      if (Lane() == 0) CopyWordAsync(s.factors + c, from + attend().sizes.query_pitch * 17);
    }
    CommitCopies();
    WaitCopies<0>();
    ShowGroupMmas();
    ArriveTurn(&s.state->asked);
  }
};

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_GROUP_BLOCK_H_
