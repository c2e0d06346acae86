// Flash decoding of a latent that is key and value of all heads, which is what conversions and
// DeepSeek's form have, in the shape of the machine: everything that a layer's tables would say is
// a number of the launch or of the template, a tile is a page, a warp scores tokens of its own with
// all heads (gpu_latent_scores.h) and sums elements of its own of all tokens (gpu_latent_sums.h),
// and only weights go from one to the other, through shared memory, between two barriers a tile.
//
// Weights are relative to a reference that all warps share, a whole power of two near the largest
// score so far. A tile whose scores stay below kLag more than that is weighed without anybody's
// asking; where some warp's do not, which is seldom beyond the first tiles, all agree on a new one.
// Weights that are 2^-10 of the largest or less may lose bits of their halves: 2^-21 of the largest
// each, at most.
#ifndef MLA_KERNELS_ATTENTION_GPU_LATENT_KERNEL_H_
#define MLA_KERNELS_ATTENTION_GPU_LATENT_KERNEL_H_

#include <cstdint>
#include <iterator>
#include <utility>

#include "cuda/simt.h"
#include "kernels/attention/gpu.h"
#include "kernels/attention/gpu_floats.h"
#include "kernels/attention/gpu_latent.h"
#include "kernels/attention/gpu_latent_query.h"
#include "kernels/attention/gpu_latent_rows.h"
#include "kernels/attention/gpu_latent_scores.h"
#include "kernels/attention/gpu_latent_sums.h"
#include "kernels/attention/gpu_latent_work.h"
#include "kernels/attention/gpu_partial.h"
#include "kernels/attention/gpu_query.h"
#include "kernels/attention/gpu_sums.h"

namespace mla::MLA_GPU {

template <int kWarps, int kHeads, int kValueTiles, CacheType kType>
struct LatentKernel {
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kColumns = kHeads * 16;
  static constexpr int kEights = 8 / kWarps;  // of a tile's tokens that a warp scores
  static constexpr bool kPacked = !IsFloat(kType);
  static constexpr MmaFloat kFloat = FloatOf(kType);
  static constexpr int kBlocks = GpuLatentShape{kWarps, kHeads, kValueTiles}.blocks();
  using Sums = LatentSums<kHeads, kValueTiles>;

  struct Shared {
    GpuColumn* the_columns;
    uint16_t* weights;  // fragments of the left operand, [kSumSteps][kHeads]
    float* references;  // [warps][columns]: what warps would have
    float* totals;      // [warps][columns]
    uint8_t* flags;     // [warps]: whether one is a new one
    float* factors;     // as in gpu_shared.h
    uint8_t* queries;   // fragments (gpu_latent_query.h)
    uint8_t* sums;
    uint8_t* slots;
  };

  MLA_DEVICE static Shared Place(const GpuLatentSizes& sizes) {
    Shared s = {};
    s.the_columns = reinterpret_cast<GpuColumn*>(SharedMemory());
    s.weights = reinterpret_cast<uint16_t*>(s.the_columns + kColumns);
    s.references = reinterpret_cast<float*>(s.weights + kSumSteps * kHeads * 256);
    s.totals = s.references + kWarps * kColumns;
    s.flags = reinterpret_cast<uint8_t*>(s.totals + kWarps * kColumns);
    s.factors = reinterpret_cast<float*>(s.flags + 64);
    s.queries = reinterpret_cast<uint8_t*>(s.factors + kColumns);
    s.sums = s.queries + kHeads * sizes.query_strips * 2 * kFragment;
    s.slots = s.sums + kHeads * sizes.sum_blocks * 2 * kFragment;
    return s;
  }

  const LatentArgs& args;
  const Shared& s;
  const LatentWork& work;

  MLA_DEVICE const AttendArgs& attend() const { return args.attend; }

  MLA_DEVICE LatentQueries Queries() const {
    return {SharedAddress(s.queries), args.latent.query_strips, SharedAddress(s.sums),
            args.latent.sum_blocks};
  }

  // Scores of a tile of the cache's rows.
  MLA_DEVICE void ScoreRows(int slot, LatentScores<kHeads, kEights>* scores) const {
    const GpuLatentForm& form = args.latent.forms[kRowsForm];
    const LatentQueries queries = Queries();
    const int rope_strips = form.rope.strips;
    if constexpr (!kPacked) {
      const int token = WarpIndex() * (kEights * 8);
      if (rope_strips > 0) ScoreFloatRows<kFloat>(queries, form.rope, slot, 0, token, scores);
      ScoreFloatRows<kFloat>(queries, form.latent, slot, rope_strips, token, scores);
    } else {
      const CacheType rope = static_cast<CacheType>(form.rope.type);
      if (rope == kType) {
        ScorePacked<kType>(queries, form.rope, slot, 0, scores);
      } else if (rope == CacheType::kF16) {
        ScoreWindowRows(queries, form.rope, slot, 0, TwoHalves(1.0f), scores);
      } else if (rope == CacheType::kInt8) {
        ScorePacked<CacheType::kInt8>(queries, form.rope, slot, 0, scores);
      }
      ScorePacked<kType>(queries, form.latent, slot, rope_strips, scores);
      if constexpr (HasMinima(kType)) ScoreLatentMinima(queries, form, slot, scores);
    }
  }
  // Of the window's.
  MLA_DEVICE void ScoreWindow(const GpuLatentForm& form, int slot,
                              LatentScores<kHeads, kEights>* scores) const {
    const GpuLatentForm& rows = args.latent.forms[kRowsForm];
    const LatentQueries queries = Queries();
    const auto unfit = [](const GpuLatentArray& array) {
      return TwoHalves(1.0f / FitOf(static_cast<CacheType>(array.type)));
    };
    ScoreWindowRows(queries, form.rope, slot, 0, unfit(rows.rope), scores);
    ScoreWindowRows(queries, form.latent, slot, form.rope.strips, unfit(rows.latent), scores);
  }
  MLA_DEVICE static uint32_t TwoHalves(float x) { return PackHalves(x, x); }

  // In powers of two; those that a row does not see are -infinity.
  template <CacheType kRows>
  MLA_DEVICE void Finish(const LatentTile& tile, LatentScores<kHeads, kEights>* scores) const {
    const int g = Lane() / 4, t = Lane() % 4;
    constexpr float kUnit = HasMinima(kRows) ? 0x1p24f : 1.0f;
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int h = 0; h < 2; ++h) {
        const float factor = s.factors[m * 16 + h * 8 + g];
        MLA_UNROLL
        for (int e = 0; e < kEights; ++e) {
          MLA_UNROLL
          for (int j = 0; j < 2; ++j) {
            float& x = scores->rest[m][e][2 * h + j];
            x = (scores->fields[m][e][2 * h + j] * kUnit + x) * factor;
          }
        }
      }
    }
    if (attend().sizes.queries == 1 && tile.whole()) return;
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int h = 0; h < 2; ++h) {
        const int column = m * 16 + h * 8 + g;
        const Tokens seen = Seen(attend(), tile.form, work.position + s.the_columns[column].query);
        MLA_UNROLL
        for (int e = 0; e < kEights; ++e) {
          MLA_UNROLL
          for (int j = 0; j < 2; ++j) {
            const int position =
                tile.first + LatentToken<kPacked, kEights>(WarpIndex() * kEights + e, 2 * t + j);
            float& x = scores->rest[m][e][2 * h + j];
            if (position < seen.begin || position >= seen.end) x = -Infinity();
          }
        }
      }
    }
  }

  // Scores to weights, for all warps behind the barrier within.
  MLA_DEVICE void Weigh(const LatentScores<kHeads, kEights>& scores, Sums* sums) const {
    const int g = Lane() / 4, t = Lane() % 4, warp = WarpIndex();
    float own[kHeads][2], total[kHeads][2];
    bool above = false;
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int h = 0; h < 2; ++h) {
        float largest = -Infinity();
        MLA_UNROLL
        for (int e = 0; e < kEights; ++e) {
          largest = Max(largest, Max(scores.rest[m][e][2 * h], scores.rest[m][e][2 * h + 1]));
        }
        largest = MaxOver(largest, 4);
        const bool more = largest > sums->reference[m][h] + kLag;
        above = above || more;
        own[m][h] = more ? Ceil(largest) : sums->reference[m][h];
      }
    }
    uint32_t weights[kHeads][kEights][2];
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int h = 0; h < 2; ++h) {
        const float base = own[m][h] == -Infinity() ? 0.0f : own[m][h] - kBelow;
        total[m][h] = 0.0f;
        float each[kEights][2];
        MLA_UNROLL
        for (int e = 0; e < kEights; ++e) {
          MLA_UNROLL
          for (int j = 0; j < 2; ++j) each[e][j] = Exp2(scores.rest[m][e][2 * h + j] - base);
        }
        MLA_UNROLL
        for (int e = 0; e < kEights; ++e) {
          // Of neighbouring tokens.
          weights[m][e][h] = kPacked && kEights == 2
                                 ? PackWeights<kFloat>(&each[0][e], &each[1][e])
                                 : PackWeights<kFloat>(&each[e][0], &each[e][1]);
        }
        MLA_UNROLL
        for (int e = 0; e < kEights; ++e) total[m][h] += each[e][0] + each[e][1];
      }
    }
    StoreWeights(weights);
    above = AnyLane(above);
    if (Lane() == 0) s.flags[warp] = above ? 1 : 0;
    if (t == 0) {
      MLA_UNROLL
      for (int m = 0; m < kHeads; ++m) {
        s.references[warp * kColumns + m * 16 + g] = own[m][0];
        s.references[warp * kColumns + m * 16 + 8 + g] = own[m][1];
      }
    }
    SyncBlock();
    uint32_t flags = 0;
    MLA_UNROLL
    for (int i = 0; i < kWarps; i += 4) flags |= LoadShared<uint32_t>(SharedAddress(s.flags) + i);
    if (flags == 0) {
      MLA_UNROLL
      for (int m = 0; m < kHeads; ++m) {
        MLA_UNROLL
        for (int h = 0; h < 2; ++h) sums->total[m][h] += total[m][h];
      }
      return;
    }
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int h = 0; h < 2; ++h) {
        const float before = sums->reference[m][h];
        float now = before;
        MLA_UNROLL
        for (int w = 0; w < kWarps; w += 4) {
          now = Max(now, s.references[(w + t) * kColumns + m * 16 + h * 8 + g]);
        }
        now = MaxOver(now, 4);
        const float earlier = before == -Infinity() ? 0.0f : Exp2(before - now);
        const float mine = own[m][h] == -Infinity() ? 0.0f : Exp2(own[m][h] - now);
        MLA_UNROLL
        for (int i = 0; i < kValueTiles; ++i) {
          MLA_UNROLL
          for (int j = 0; j < 2; ++j) sums->of[m][i][2 * h + j] *= earlier;
        }
        MLA_UNROLL
        for (int j = 0; j < 2; ++j) sums->minima[m][2 * h + j] *= earlier;
        sums->total[m][h] = sums->total[m][h] * earlier + total[m][h] * mine;
        sums->reference[m][h] = now;
        const uint32_t two = PackFloats<kFloat>(mine, mine);
        MLA_UNROLL
        for (int e = 0; e < kEights; ++e) {
          weights[m][e][h] = MulFloats<kFloat>(weights[m][e][h], two);
        }
      }
    }
    StoreWeights(weights);
    SyncBlock();
  }

  // Of step token / 16 a lane's registers of Mma's left operand: rows g and g + 8, of the first or
  // the second eight of tokens.
  MLA_DEVICE void StoreWeights(const uint32_t (&weights)[kHeads][kEights][2]) const {
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int e = 0; e < kEights; ++e) {
        const int eight = WarpIndex() * kEights + e;
        uint32_t* to = reinterpret_cast<uint32_t*>(s.weights) +
                       ((eight / 2 * kHeads + m) * kWarp + Lane()) * 4 + eight % 2 * 2;
        *reinterpret_cast<FourHalves*>(to) = {{weights[m][e][0], weights[m][e][1]}};
      }
    }
  }

  // Splits from `split` on, of `each` tiles: tiles [begin, end) of the cache's rows, or of the
  // window's.
  template <CacheType kRows>
  MLA_DEVICE void Run(int split, int each, int begin, int end, bool load_queries) const {
    // Where all are floats, so are the cache's rows.
    constexpr bool kWindow = kPacked && kRows == CacheType::kF16;
    const int slots = kWindow ? args.latent.float_slots : args.latent.slots;
    const int slot_bytes = kWindow ? args.latent.float_slot_bytes : args.latent.slot_bytes;
    const Tokens asked = AskedFor(attend(), work.position, kRowsForm);
    const auto tile_at = [&](int index) {
      if constexpr (kWindow) return WindowTile(attend(), work, index);
      return RowsTile(work, asked, index);
    };
    // A lane has the page of every 32nd tile, so that it is there when the tile is asked for.
    uint8_t* const* const table = attend().call.pages[work.sequence];
    uint64_t pages = 0;
    int next = begin;
    const int slots_begin = SharedAddress(s.slots), slots_end = slots_begin + slots * slot_bytes;
    int next_slot = slots_begin;
    const auto bring = [&] {
      if (next < end) {
        const int number = (next - begin) % kWarp;
        if (number == 0 && next + Lane() < end) {
          pages = reinterpret_cast<uint64_t>(PageOf(attend(), table, tile_at(next + Lane())));
        }
        const uint8_t* page = reinterpret_cast<const uint8_t*>(Shuffle(pages, number));
        const LatentTile tile = tile_at(next);
        const GpuLatentForm& form = FormOf<kWindow>(tile);
        BringArray<kThreads>(form.rope, tile, page, next_slot);
        if constexpr (IsFloat(kRows)) {
          BringFloats<kThreads>(form.latent, tile, page, next_slot);
        } else {
          BringPacked<kThreads>(form.latent, tile, page, next_slot, kLatentPitch<kRows>);
        }
        ++next;
        next_slot += slot_bytes;
        if (next_slot == slots_end) next_slot = slots_begin;
      }
      CommitCopies();
    };
    MLA_UNROLL_BY(1)
    for (int i = 1; i < slots; ++i) bring();
    if (load_queries) {
      LoadLatentQueries<kFloat, kPacked, HasMinima(kType)>(
          attend(), args.latent.forms[kRowsForm], Queries(), s.the_columns, kColumns, work.sequence,
          s.queries, s.sums, s.factors);
    }
    Sums sums;
    Begin(&sums);
    const int element = WarpIndex() * (kValueTiles * 8);
    int slot = slots_begin;
    int done = 0;  // tiles of the split
    MLA_UNROLL_BY(1)
    for (int t = begin; t < end; ++t) {
      if (slots > 2) {
        WaitCopies<1>();
      } else if (slots == 2) {
        WaitCopies<0>();
      }
      SyncBlock();
      bring();
      if (slots == 1) {
        WaitCopies<0>();
        SyncBlock();
      }
      const LatentTile tile = tile_at(t);
      const GpuLatentForm& form = FormOf<kWindow>(tile);
      LatentScores<kHeads, kEights> scores = {};
      if constexpr (kWindow) {
        ScoreWindow(form, slot, &scores);
      } else {
        ScoreRows(slot, &scores);
      }
      Finish<kRows>(tile, &scores);
      Weigh(scores, &sums);
      if (element < attend().sizes.value_length) {
        SumLatent<kRows, kPacked>(form.latent, slot, SharedAddress(s.weights), element, &sums);
      }
      slot += slot_bytes;
      if (slot == slots_end) slot = slots_begin;
      if (++done == each || t + 1 == end) {
        Store<kRows>(split++, element, &sums);
        Begin(&sums);
        done = 0;
      }
    }
    WaitCopies<0>();
    SyncBlock();  // behind which others have the slots
  }

  MLA_DEVICE static void Begin(Sums* sums) {
    *sums = {};
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int h = 0; h < 2; ++h) sums->reference[m][h] = -Infinity();
    }
  }

  // Both forms of a window have their rows in the same places of a slot.
  template <bool kWindow>
  MLA_DEVICE const GpuLatentForm& FormOf(const LatentTile& tile) const {
    if constexpr (!kWindow) return args.latent.forms[kRowsForm];
    return args.latent.forms[tile.form == kFirstForm ? kFirstForm : kExactForm];
  }

  // Weighted means, to where they belong: of a sequence with one split these are the results.
  template <CacheType kRows>
  MLA_DEVICE void Store(int split, int element, Sums* sums) const {
    const int g = Lane() / 4, t = Lane() % 4;
    const GpuAttention& call = attend().call;
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int h = 0; h < 2; ++h) {
        const float total = SumOver(sums->total[m][h], 4);
        if (t == 0) s.totals[WarpIndex() * kColumns + m * 16 + h * 8 + g] = total;
      }
    }
    SyncBlock();
    constexpr int kParts = kValueTiles / 4;
    const int shift = args.latent.forms[kRowsForm].latent.group_shift;
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int h = 0; h < 2; ++h) {
        const int c = m * 16 + h * 8 + g;
        float total = 0.0f;
        MLA_UNROLL_BY(4)
        for (int w = 0; w < kWarps; ++w) total += s.totals[w * kColumns + c];
        const float by = total == 0.0f ? 0.0f : 1.0f / total;
        const GpuColumn column = s.the_columns[c];
        float* row = nullptr;
        float* out = nullptr;
        if (column.head >= 0) {
          if (work.splits == 1) {
            out = call.out + work.sequence * call.out_sequence + column.query * call.out_query +
                  column.head * call.out_head;
          } else {
            row = PartialRow(attend(), work.sequence, split, column.query, column.head);
            if (WarpIndex() == 0 && t == 0) {
              row[0] = sums->reference[m][h];
              row[1] = total;
            }
          }
        }
        MLA_UNROLL
        for (int part = 0; part < kParts; ++part) {
          const int first = element + part * kPartElements;
          float minimum = 0.0f;
          if constexpr (HasMinima(kRows)) {
            const int group = (first >> shift) - (element >> shift);
            const int from = g * 4 + group / 2;
            const float even = Shuffle(sums->minima[m][2 * h], from);
            const float odd = Shuffle(sums->minima[m][2 * h + 1], from);
            minimum = group % 2 == 0 ? even : odd;
          }
          EightFloats eight;
          if constexpr (IsFloat(kRows)) {
            eight = GatherEight(*sums, m, h, part);
          } else {
            eight = LatentEight<kRows>(*sums, m, h, part, minimum);
          }
          MLA_UNROLL
          for (float& x : eight.of) x *= by;
          if (column.head >= 0) StoreEight(out, row, first + 8 * t, eight);
        }
      }
    }
  }

  // Of a row's 32 floats that four lanes have in twos the eight from 8t on.
  MLA_DEVICE static EightFloats GatherEight(const Sums& sums, int m, int half, int part) {
    const int t = Lane() % 4;
    float mine[4][2];  // of eights 0 to 3 elements 2t, 2t + 1
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) {
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) mine[i][j] = sums.of[m][part * 4 + i][2 * half + j];
    }
    // Lanes change places with eights, a bit of their number at a time.
    MLA_UNROLL
    for (int bit = 1; bit < 4; bit *= 2) {
      const bool upper = (t & bit) != 0;
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) {
        if ((i & bit) != 0) continue;
        MLA_UNROLL
        for (int j = 0; j < 2; ++j) {
          float& low = mine[i][j];
          float& high = mine[i + bit][j];
          const float other = ShuffleXor(upper ? low : high, bit);
          (upper ? low : high) = other;
        }
      }
    }
    EightFloats eight;
    MLA_UNROLL
    for (int i = 0; i < 8; ++i) eight.of[i] = mine[i / 2][i % 2];
    return eight;
  }

  // Elements from `element` on, a multiple of eight, of the result or of the split's. Of the latter
  // whole units are written, which the merge reads.
  MLA_DEVICE void StoreEight(float* out, float* row, int element, const EightFloats& eight) const {
    const int length = attend().sizes.value_length;
    if (element >= length) return;
    if (out == nullptr) {
      StoreEightMeans<kFloat>(row, element, eight);
      return;
    }
    MLA_UNROLL
    for (int i = 0; i < 8; i += 2) {
      StoreTwo(out + element + i, eight.of[i], eight.of[i + 1], length - element - i);
    }
  }
};

// Grid: tasks, groups of splits, sequences.
template <int kWarps, int kHeads, int kValueTiles, CacheType kType>
MLA_KERNEL_OF((LatentKernel<kWarps, kHeads, kValueTiles, kType>::kThreads),
              (LatentKernel<kWarps, kHeads, kValueTiles, kType>::kBlocks))
void AttendLatent(const LatentArgs a) {
  using K = LatentKernel<kWarps, kHeads, kValueTiles, kType>;
  const typename K::Shared s = K::Place(a.latent);
  const int32_t* from = a.attend.call.tables + a.attend.call.tables[BlockX()];
  constexpr int kColumnIntegers = sizeof(GpuColumn) / 4;
  for (int i = ThreadIndex(); i < K::kColumns * kColumnIntegers; i += K::kThreads) {
    reinterpret_cast<int32_t*>(s.the_columns)[i] = from[i];
  }
  for (int i = ThreadIndex(); s.sums + i * 16 < s.slots; i += K::kThreads) {
    StoreShared(s.sums + i * 16, {});
  }
  WaitForEarlier();
  LetLaterStart();
  const int sequence = BlockZ(), position = a.attend.call.positions[sequence];
  if (position < 0) return;
  const LatentWork work = PlanLatentWork(a.attend, sequence, position);
  const int first = BlockY() * a.splits_a_block;
  if (first >= work.splits) return;
  const int last = first + a.splits_a_block < work.splits ? first + a.splits_a_block : work.splits;
  SyncBlock();
  const K kernel = {a, s, work};
  if (first < work.row_splits) {
    const int splits = last < work.row_splits ? last : work.row_splits;
    const int end = splits * work.tiles_a_split, tiles = work.tiles[kRowsForm];
    kernel.template Run<kType>(first, work.tiles_a_split, first * work.tiles_a_split,
                               end < tiles ? end : tiles, true);
  }
  if constexpr (K::kPacked) {
    const int begin = first > work.row_splits ? first : work.row_splits;
    if (begin < last) {
      const int end = (last - work.row_splits) * kFloatTiles;
      const int tiles = work.tiles[kFirstForm] + work.tiles[kExactForm];
      kernel.template Run<CacheType::kF16>(begin, kFloatTiles,
                                           (begin - work.row_splits) * kFloatTiles,
                                           end < tiles ? end : tiles, begin == first);
    }
  }
}

// Those of a type, of which cuda_latent_<type>.cu has this.
template <CacheType kType, size_t... kShapes>
void LaunchAnyShape(GpuStream& stream, const LatentArgs& args, const Grid& grid,
                    std::index_sequence<kShapes...>) {
  const GpuAttentionPlan& plan = *args.attend.call.plan;
  const GpuLatentShape& wanted = plan.latent_shape();
  const auto launch = [&]<size_t kShape>() {
    constexpr GpuLatentShape kIs = kGpuLatentShapes[kShape];
    if (wanted != kIs) return false;
    Launch(stream, grid, kIs.warps * kWarp, plan.shared_bytes(),
           AttendLatent<kIs.warps, kIs.heads, kIs.value_tiles, kType>, args);
    return true;
  };
  static_cast<void>((launch.template operator()<kShapes>() || ...));
}
template <CacheType kType>
void LaunchLatentOf(GpuStream& stream, const LatentArgs& args, const Grid& grid) {
  LaunchAnyShape<kType>(stream, args, grid,
                        std::make_index_sequence<std::size(kGpuLatentShapes)>());
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_LATENT_KERNEL_H_
