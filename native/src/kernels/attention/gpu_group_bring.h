// How tiles come into the slots of a block of the group kernel, by the group that does nothing
// else: floats as they are, packed rows unpacked.
#ifndef MLA_KERNELS_ATTENTION_GPU_GROUP_BRING_H_
#define MLA_KERNELS_ATTENTION_GPU_GROUP_BRING_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_group_block.h"
#include "kernels/attention/gpu_group_rows.h"
#include "kernels/attention/gpu_group_work.h"

namespace mla::MLA_GPU {

template <int kStrips, bool kFew, CacheType kType>
struct GroupTiles {
  using Block = GroupBlock<kFew>;
  static constexpr bool kPacked = !IsFloat(kType);

  const Block& block;

  // By the group that brings them.
  MLA_DEVICE void BringTiles() const {
    typename Block::Pages pages;
    int t = block.begin;
    if constexpr (kPacked) {
      UnpackTiles(&pages);
      if (t < PackedEnd()) t = PackedEnd();
    }
    MLA_UNROLL_BY(1)
    for (; t < block.end; ++t) {
      const int i = t - block.begin;
      const uint8_t* page = pages.At(block, t);
      WaitUntilFree(i);
      const LatentTile tile = GroupTileAt(block.attend(), block.work, t);
      Name(tile, i);
      BringFloats(tile, page, i);
    }
  }
  MLA_DEVICE void WaitUntilFree(int i) const {
    const int slot = i % kGroupSlots;
    if (i >= kGroupSlots) WaitTurn(block.s.state->free + slot, block.TurnOf(i - kGroupSlots));
  }

  // What slot's tile is, for those that score it.
  MLA_DEVICE void Name(const LatentTile& tile, int i) const {
    if (ThreadIndex() != Block::kMultiply) return;
    block.s.state->tiles[i % kGroupSlots] = tile;
    ArriveTurn(block.s.state->full + i % kGroupSlots);
  }

  // A tile of floats.
  MLA_DEVICE void BringFloats(const LatentTile& tile, const uint8_t* page, int i) const {
    const GpuLatentForm& form = block.FormOf(tile);
    BringGroupFloats(form.rope, tile, page, block.SlotOf(i), block.sizes().values);
    BringGroupFloats(form.latent, tile, page, block.SlotOf(i), 0);
    if (tile.whole()) {
      ArriveAfterCopies(block.s.state->full + i % kGroupSlots);
    } else {
      CommitCopies();
      WaitCopies<0>();
      ShowGroupMmas();
      ArriveTurn(block.s.state->full + i % kGroupSlots);
    }
  }

  // A thread unpacks every second strip of 32 elements of a token.
  static constexpr int kMine = kStrips * 2;
  MLA_DEVICE void UnpackTiles(typename Block::Pages* pages) const {
    const GpuLatentForm& rows = block.args.latent.forms[kRowsForm];
    const auto whole_strips = [](const GpuLatentArray& array, int words) {
      return array.chunks % (words * (kPageTokens * kBlockBytes / 16)) == 0;
    };
    const bool whole =
        whole_strips(rows.latent, kStripWords<kType>) &&
        (RopeType() == CacheType::kF16 ||
         whole_strips(rows.rope,
                      RopeType() == kType ? kStripWords<kType> : kStripWords<CacheType::kInt8>));
    if constexpr (kFew) {
      if (block.sizes().stages > 0) {
        return whole ? UnpackStages<false>(pages) : UnpackStages<true>(pages);
      }
    }
    return whole ? UnpackPages<false>(pages) : UnpackPages<true>(pages);
  }
  MLA_DEVICE int PackedEnd() const {
    return block.work.tiles[kRowsForm] < block.end ? block.work.tiles[kRowsForm] : block.end;
  }
  MLA_DEVICE CacheType RopeType() const {
    return static_cast<CacheType>(block.args.latent.forms[kRowsForm].rope.type);
  }
  // What a thread of those that unpack has.
  struct Share {
    MLA_DEVICE Share()
        : token(ThreadIndex() % kPageTokens),
          half(Shuffle(ThreadIndex() % kGroup / kPageTokens, 0)) {}
    MLA_DEVICE bool Asked(const LatentTile& tile) const {
      return token >= tile.begin && token < tile.end;
    }
    int token, half;
  };

  // One strip of rotary elements, of the latent's type or int8, in words for either.
  using RopeWords = PackedWords<kStripWords<CacheType::kInt8>>;
  MLA_DEVICE bool HasRope(const Share& share) const {
    return RopeType() != CacheType::kF16 &&
           share.half < block.args.latent.forms[kRowsForm].rope.strips;
  }
  template <bool kClamped, typename Page>
  MLA_DEVICE void LoadRope(Page page, const Share& share, bool asked, RopeWords* to) const {
    if (!HasRope(share)) return;
    const GpuLatentArray& array = block.args.latent.forms[kRowsForm].rope;
    if (RopeType() == CacheType::kInt8) {
      PackedRow<CacheType::kInt8, Page>(array, page, share.half, share.token, asked)
          .template Load<kClamped>(0, to);
    } else {
      PackedRow<kType, Page>(array, page, share.half, share.token, asked)
          .template Load<kClamped>(0, to);
    }
  }
  MLA_DEVICE void StoreRope(const GroupPlace& place, const Share& share, int slot,
                            const RopeWords& rope) const {
    if (!HasRope(share)) return;
    const int at = slot + block.sizes().values * kGroupStripBytes;
    if (RopeType() == CacheType::kInt8) {
      place.template Store<CacheType::kInt8>(at, rope);
    } else {
      place.template Store<kType>(at, rope);
    }
  }

  // Pages come to shared memory in bulk, two tiles ahead.
  template <bool kClamped>
  MLA_DEVICE void UnpackStages(typename Block::Pages* pages) const {
    const GpuLatentForm& rows = block.args.latent.forms[kRowsForm];
    const Share share;
    const GroupPlace place(share.token, share.half);
    const int packed = PackedEnd();
    const auto ask = [&](int i) {
      if (block.begin + i >= packed) return;
      const uint8_t* page = pages->At(block, block.begin + i);
      if (ThreadIndex() != Block::kMultiply) return;
      CopyBarrier* barrier = block.s.state->staged + i % kGroupStages;
      ExpectCopies(barrier, block.sizes().stage_bytes);
      CopyBulk(block.s.stages + i % kGroupStages * block.sizes().stage_bytes, page,
               block.sizes().stage_bytes, barrier);
    };
    MLA_UNROLL
    for (int i = 0; i < kGroupStages; ++i) ask(i);
    SyncGroup();  // behind which all know what to wait for
    MLA_UNROLL_BY(1)
    for (int i = 0; block.begin + i < packed; ++i) {
      const LatentTile tile = GroupTileAt(block.attend(), block.work, block.begin + i);
      const int page = SharedAddress(block.s.stages) + i % kGroupStages * block.sizes().stage_bytes;
      const bool asked = share.Asked(tile);
      WaitCopyBarrier(block.s.state->staged + i % kGroupStages, i / kGroupStages % 2);
      WaitUntilFree(i);
      Name(tile, i);
      const int slot = block.SlotOf(i);
      if (RopeType() == CacheType::kF16) {
        StoreFloats(rows.rope, tile, page, slot + block.sizes().values * kGroupStripBytes);
      }
      RopeWords rope = {};
      LoadRope<kClamped>(page, share, asked, &rope);
      StoreRope(place, share, slot, rope);
      // Loads of a strip go before the stores of the one before it.
      const PackedRow<kType, int> row(rows.latent, page, share.half, share.token, asked);
      PackedWords<kStripWords<kType>> latent[2] = {};
      row.template Load<kClamped>(0, &latent[0]);
      MLA_UNROLL
      for (int k = 0; k < kMine; ++k) {
        if (2 * k + share.half >= rows.latent.strips) continue;
        if (k + 1 < kMine && 2 * (k + 1) + share.half < rows.latent.strips) {
          row.template Load<kClamped>(k + 1, &latent[(k + 1) % 2]);
        }
        place.template Store<kType>(slot + k * kGroupStripBytes, latent[k % 2]);
      }
      ShowGroupMmas();
      ArriveTurn(block.s.state->full + i % kGroupSlots);
      SyncGroup();  // behind which nobody reads the stage
      ask(i + kGroupStages);
    }
  }
  // Of a page that lies in shared memory.
  MLA_DEVICE void StoreFloats(const GpuLatentArray& array, const LatentTile& tile, int page,
                              int strip) const {
    for (int i = ThreadIndex() % kGroup; i < kPageTokens * array.chunks; i += Block::kBring) {
      const int token = i / array.chunks, unit = i % array.chunks;
      Quad quad = {};
      if (token >= tile.begin && token < tile.end) {
        quad = LoadShared<Quad>(page + array.source + token * array.source_row + unit * 16);
      }
      StoreShared(strip + GroupUnitAt(0, unit, token), quad);
    }
  }

  // Pages come through registers, from the second-level cache, where they are brought some tiles
  // ahead. A tile's last loads are asked for behind its last stores: what is waited for are all
  // loads that are under way.
  static constexpr int kPagesAhead = 3;
  static constexpr int kAtOnce = kStripWords<kType> > 4 ? kMine / 2 : kMine;
  template <bool kClamped>
  MLA_DEVICE void UnpackPages(typename Block::Pages* pages) const {
    const GpuLatentForm& rows = block.args.latent.forms[kRowsForm];
    const Share share;
    const GroupPlace place(share.token, share.half);
    const int packed = PackedEnd();
    if (block.begin >= packed) return;
    PackedWords<kStripWords<kType>> latent[kAtOnce] = {};
    RopeWords rope = {};
    LatentTile tile = GroupTileAt(block.attend(), block.work, block.begin);
    const uint8_t* page = pages->At(block, block.begin);
    PrefetchPages(*pages, 0);
    const auto load = [&](int first) {
      const PackedRow<kType, const uint8_t*> row(rows.latent, page, share.half, share.token,
                                                 share.Asked(tile));
      MLA_UNROLL
      for (int k = 0; k < kAtOnce; ++k) {
        if (2 * (first + k) + share.half < rows.latent.strips) {
          row.template Load<kClamped>(first + k, &latent[k]);
        }
      }
    };
    LoadRope<kClamped>(page, share, share.Asked(tile), &rope);
    load(0);
    MLA_UNROLL_BY(1)
    for (int i = 0; block.begin + i < packed; ++i) {
      WaitUntilFree(i);
      Name(tile, i);
      const int slot = block.SlotOf(i);
      if (RopeType() == CacheType::kF16) {
        BringGroupFloats(rows.rope, tile, page, slot, block.sizes().values);
        CommitCopies();
      }
      StoreRope(place, share, slot, rope);
      MLA_UNROLL
      for (int first = 0; first < kMine; first += kAtOnce) {
        MLA_UNROLL
        for (int k = 0; k < kAtOnce; ++k) {
          if (2 * (first + k) + share.half < rows.latent.strips) {
            place.template Store<kType>(slot + (first + k) * kGroupStripBytes, latent[k]);
          }
        }
        if (first + kAtOnce < kMine) {
          load(first + kAtOnce);
        } else if (block.begin + i + 1 < packed) {
          tile = GroupTileAt(block.attend(), block.work, block.begin + i + 1);
          page = pages->At(block, block.begin + i + 1);
          LoadRope<kClamped>(page, share, share.Asked(tile), &rope);
          load(0);
          PrefetchPages(*pages, i + 1);
        }
      }
      if (RopeType() == CacheType::kF16) WaitCopies<0>();
      ShowGroupMmas();
      ArriveTurn(block.s.state->full + i % kGroupSlots);
    }
  }

  // The cache's rows of the tile kPagesAhead after tile i, and at first of those between.
  MLA_DEVICE void PrefetchPages(const typename Block::Pages& pages, int i) const {
    const int from = i == 0 ? 1 : kPagesAhead;
    const int packed = PackedEnd();
    MLA_UNROLL_BY(1)
    for (int ahead = from; ahead <= kPagesAhead; ++ahead) {
      // Of the pages that lanes have.
      const bool known = i % kWarp + ahead < kWarp && block.begin + i + ahead < packed;
      const uint64_t page = Shuffle(pages.mine, (i + ahead) % kWarp);
      if (known && ThreadIndex() == Block::kMultiply) {
        PrefetchRow(block.args.latent.forms[kRowsForm].latent,
                    reinterpret_cast<const uint8_t*>(page));
        PrefetchRow(block.args.latent.forms[kRowsForm].rope,
                    reinterpret_cast<const uint8_t*>(page));
      }
    }
  }
  MLA_DEVICE static void PrefetchRow(const GpuLatentArray& array, const uint8_t* page) {
    if (array.strips == 0 || static_cast<CacheType>(array.type) == CacheType::kF16) return;
    Prefetch(page + array.source, array.chunks * 16);
    Prefetch(page + array.number_source, array.number_lines * (kPageTokens * 2));
  }
};

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_GROUP_BRING_H_
