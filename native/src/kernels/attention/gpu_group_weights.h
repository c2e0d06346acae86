// Scores of a tile and the weights that become of them, by a block's first group for the first two
// (gpu_group_kernel.h). Weights are relative to a reference, as in gpu_latent_kernel.h.
//
// Many columns are a product's rows, by tokens: a warp has sixteen of them, and its lanes a row's
// tokens, so that nobody is asked for a reference. Few columns are a product's columns, and its
// rows a tile's tokens, of which a warp has sixteen: nothing is multiplied for columns that there
// are not.
#ifndef MLA_KERNELS_ATTENTION_GPU_GROUP_WEIGHTS_H_
#define MLA_KERNELS_ATTENTION_GPU_GROUP_WEIGHTS_H_

#include <cstdint>
#include <type_traits>

#include "cuda/simt.h"
#include "kernels/attention/gpu_floats.h"
#include "kernels/attention/gpu_group_block.h"
#include "kernels/attention/gpu_query.h"

namespace mla::MLA_GPU {

// Columns of a warp whose references have changed, g and g + 8 of its sixteen: what sums before are
// multiplied with.
struct GroupChange {
  bool any;
  float by[2];
};

// kFloat: what rows are.
template <bool kFew, MmaFloat kFloat>
struct GroupWeights {
  using Block = GroupBlock<kFew>;
  using Change = GroupChange;
  static constexpr int kSteps = kPageTokens / 16;

  const Block& block;

  struct Row {
    float reference[2];  // of columns g and g + 8 of the warp's sixteen
    float total[2];      // of the lane's tokens
  };
  // A tile's: columns by tokens, or where columns are few tokens by columns.
  template <int kTiles>
  MLA_DEVICE void Score(int i, float (&scores)[kTiles][4]) const {
    const int slot = block.SlotOf(i), strips = block.sizes().strips;
    BeginGroupMmas();
    MLA_UNROLL_BY(1)
    for (int strip = 0; strip < strips; ++strip) {
      const int query = block.s.queries + strip * Block::kQueryBytes,
                at = slot + strip * kGroupStripBytes;
      MLA_UNROLL
      for (int step = 0; step < 4; ++step) {
        if constexpr (kFew) {
          GroupMmaShared<kFloat>(scores, at, query, step);
        } else {
          GroupMmaShared<kFloat>(scores, query, at, step);
        }
      }
    }
    CommitGroupMmas();
    WaitGroupMmas<0>();
  }

  // Of tile i, scored: weights as the left operand of four products of 16 tokens.
  MLA_DEVICE Change Weigh(int i, float (&scores)[8][4], Row* row,
                          uint32_t (&weights)[kSteps][4]) const {
    const int warp = WarpIndex(), g = Lane() / 4, t = Lane() % 4;
    const LatentTile& tile = block.s.state->tiles[i % kGroupSlots];
    const bool whole = block.attend().sizes.queries == 1 && tile.whole();
    Change change = {false, {1.0f, 1.0f}};
    MLA_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int c = warp * 16 + h * 8 + g;
      const float factor = block.s.factors[c];
      Tokens seen = {};
      if (!whole) {
        // Not from a register of those that are scarce.
        const int position = block.attend().call.positions[BlockZ()];
        seen = Seen(block.attend(), tile.form, position + block.s.columns[c].query);
      }
      float largest = -Infinity();
      MLA_UNROLL
      for (int e = 0; e < 8; ++e) {
        MLA_UNROLL
        for (int j = 0; j < 2; ++j) {
          float& x = scores[e][2 * h + j];
          x *= factor;
          if (!whole) {
            const int position = tile.first + e * 8 + 2 * t + j;
            if (position < seen.begin || position >= seen.end) x = -Infinity();
          }
          largest = Max(largest, x);
        }
      }
      largest = MaxOver(largest, 4);
      const float before = row->reference[h];
      if (largest > before + kLag) {
        change.any = true;
        row->reference[h] = Ceil(largest);
        change.by[h] = before == -Infinity() ? 0.0f : Exp2(before - row->reference[h]);
      }
      const float base = row->reference[h] == -Infinity() ? 0.0f : row->reference[h] - kBelow;
      row->total[h] *= change.by[h];
      MLA_UNROLL
      for (int e = 0; e < 8; ++e) {
        float first = Exp2(scores[e][2 * h] - base);
        float second = Exp2(scores[e][2 * h + 1] - base);
        weights[e / 2][e % 2 * 2 + h] = PackWeights<kFloat>(&first, &second);
        row->total[h] += first + second;
      }
    }
    change.any = AnyLane(change.any);
    return change;
  }

  // From the first group to the second one.
  MLA_DEVICE void HandOn(int i, const Change& change, const uint32_t (&weights)[kSteps][4]) const {
    if (i > 0) WaitTurn(&block.s.state->read, (i - 1) % 2);
    MLA_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      const uint32_t(&w)[4] = weights[step];
      StoreShared(WeightsAt(step), Quad{{w[0], w[1], w[2], w[3]}});
    }
    if (Lane() % 4 == 0) {
      block.s.changes[WarpIndex() * 16 + Lane() / 4] = change.by[0];
      block.s.changes[WarpIndex() * 16 + 8 + Lane() / 4] = change.by[1];
    }
    if (Lane() == 0) block.s.state->changed[WarpIndex()] = change.any ? 1 : 0;
    ArriveTurn(&block.s.state->weighed);
  }
  MLA_DEVICE int WeightsAt(int step) const {
    return block.s.weights + ((WarpIndex() % 4 * kSteps + step) * kWarp + Lane()) * 16;
  }

  // By the second group, and where columns are few by the first one, too.
  MLA_DEVICE Change TakeOver(int i, uint32_t (&weights)[kSteps][4]) const {
    WaitTurn(&block.s.state->weighed, i % 2);
    const int warp = WarpIndex() % 4;
    Change change = {false, {1.0f, 1.0f}};
    if (!kFew || warp == 0) {
      MLA_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        if constexpr (kFew) {
          LoadMatricesTransposed(weights[step], FewWeightsAt(step));
        } else {
          const Quad quad = LoadShared<Quad>(WeightsAt(step));
          MLA_UNROLL
          for (int k = 0; k < 4; ++k) weights[step][k] = quad.word[k];
        }
      }
      const int c = warp * 16 + Lane() / 4;
      change = {block.s.state->changed[warp] != 0, {block.s.changes[c], block.s.changes[c + 8]}};
    }
    ArriveTurn(&block.s.state->read);
    return change;
  }
  // Few columns' weights lie token by token, [16 columns] each.
  MLA_DEVICE int FewWeightsAt(int step) const {
    const int matrix = Lane() / 8, token = step * 16 + matrix / 2 * 8 + Lane() % 8;
    return block.s.weights + token * 32 + matrix % 2 * 16;
  }

  // What a lane keeps of few columns: 8n + 2t + j, of all tokens of a warp's sixteen. References
  // are the same in all lanes that have the column.
  struct FewColumns {
    float reference[2][2];
    float total[2][2];  // of the lane's tokens
  };

  // Scores a tile and weighs the scores, for both groups. A warp's tokens are its own, so that all
  // agree on new references where some warp's scores are beyond reach, which is seldom.
  MLA_DEVICE void WeighFew(int i, FewColumns* columns) const {
    float scores[2][4] = {};
    Score(i, scores);
    const int warp = WarpIndex(), g = Lane() / 4, t = Lane() % 4;
    const LatentTile& tile = block.s.state->tiles[i % kGroupSlots];
    const bool whole = block.attend().sizes.queries == 1 && tile.whole();
    bool above = false;
    MLA_UNROLL
    for (int n = 0; n < 2; ++n) {
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        const int c = 8 * n + 2 * t + j;
        const float factor = block.s.factors[c];
        Tokens seen = {};
        if (!whole) {
          const int position = block.attend().call.positions[BlockZ()];
          seen = Seen(block.attend(), tile.form, position + block.s.columns[c].query);
        }
        MLA_UNROLL
        for (int half = 0; half < 2; ++half) {
          float& x = scores[n][2 * half + j];
          x *= factor;
          if (!whole) {
            const int position = tile.first + warp * 16 + half * 8 + g;
            if (position < seen.begin || position >= seen.end) x = -Infinity();
          }
          above = above || x > columns->reference[n][j] + kLag;
        }
      }
    }
    above = AnyLane(above);
    if (Lane() == 0) block.s.state->flags[warp] = above ? 1 : 0;
    SyncGroup();
    const bool changed = LoadShared<uint32_t>(SharedAddress(block.s.state->flags)) != 0;
    if (i > 0) WaitTurn(&block.s.state->read, (i - 1) % 2);
    if (changed) Agree(scores, columns);
    if (warp == 0 && Lane() == 0) block.s.state->changed[0] = changed ? 1 : 0;
    MLA_UNROLL
    for (int n = 0; n < 2; ++n) {
      MLA_UNROLL
      for (int half = 0; half < 2; ++half) {
        float weights[2];
        MLA_UNROLL
        for (int j = 0; j < 2; ++j) {
          const float reference = columns->reference[n][j];
          const float base = reference == -Infinity() ? 0.0f : reference - kBelow;
          weights[j] = Exp2(scores[n][2 * half + j] - base);
        }
        const int token = warp * 16 + half * 8 + g;
        StoreShared(block.s.weights + token * 32 + n * 16 + t * 4,
                    PackWeights<kFloat>(&weights[0], &weights[1]));
        MLA_UNROLL
        for (int j = 0; j < 2; ++j) columns->total[n][j] += weights[j];
      }
    }
    ArriveTurn(&block.s.state->weighed);
  }
  MLA_DEVICE void Agree(const float (&scores)[2][4], FewColumns* columns) const {
    const int g = Lane() / 4, t = Lane() % 4;
    MLA_UNROLL
    for (int n = 0; n < 2; ++n) {
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        float largest = Max(scores[n][j], scores[n][2 + j]);
        MLA_UNROLL
        for (int mask = 4; mask < kWarp; mask *= 2) {
          largest = Max(largest, ShuffleXor(largest, mask));
        }
        if (g == 0) block.s.totals[WarpIndex() * Block::kColumns + 8 * n + 2 * t + j] = largest;
      }
    }
    SyncGroup();
    MLA_UNROLL
    for (int n = 0; n < 2; ++n) {
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        const int c = 8 * n + 2 * t + j;
        float largest = -Infinity();
        MLA_UNROLL
        for (int w = 0; w < 4; ++w) largest = Max(largest, block.s.totals[w * Block::kColumns + c]);
        float& reference = columns->reference[n][j];
        float change = 1.0f;
        if (largest > reference + kLag) {
          const float before = reference;
          reference = Ceil(largest);
          change = before == -Infinity() ? 0.0f : Exp2(before - reference);
        }
        columns->total[n][j] *= change;
        if (WarpIndex() == 0 && g == 0) block.s.changes[c] = change;
      }
    }
    SyncGroup();  // behind which totals are others'
  }

  using Columns = std::conditional_t<kFew, FewColumns, Row>;
  MLA_DEVICE static void Begin(Row* row) { *row = {{-Infinity(), -Infinity()}, {0.0f, 0.0f}}; }
  MLA_DEVICE static void Begin(FewColumns* columns) {
    MLA_UNROLL
    for (int k = 0; k < 4; ++k) {
      columns->reference[k / 2][k % 2] = -Infinity();
      columns->total[k / 2][k % 2] = 0.0f;
    }
  }
  // Totals and references, for both groups.
  MLA_DEVICE void End(const Row& row) const {
    MLA_UNROLL
    for (int h = 0; h < 2; ++h) {
      const float total = SumOver(row.total[h], 4);
      const int c = WarpIndex() * 16 + h * 8 + Lane() / 4;
      if (Lane() % 4 == 0) {
        block.s.totals[c] = total;
        block.s.references[c] = row.reference[h];
      }
    }
  }
  MLA_DEVICE void End(const FewColumns& columns) const {
    MLA_UNROLL
    for (int n = 0; n < 2; ++n) {
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        float total = columns.total[n][j];
        MLA_UNROLL
        for (int mask = 4; mask < kWarp; mask *= 2) total += ShuffleXor(total, mask);
        const int c = 8 * n + 2 * (Lane() % 4) + j;
        if (Lane() / 4 == 0) {
          block.s.totals[WarpIndex() * Block::kColumns + c] = total;
          if (WarpIndex() == 0) block.s.references[c] = columns.reference[n][j];
        }
      }
    }
  }
  MLA_DEVICE float TotalOf(int c) const {
    float total = block.s.totals[c];
    MLA_UNROLL
    for (int w = 1; w < 4 && kFew; ++w) total += block.s.totals[w * Block::kColumns + c];
    return total;
  }
};

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_GROUP_WEIGHTS_H_
