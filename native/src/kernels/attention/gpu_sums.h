// Weighted sums of a tile's values, elements by columns, kept in registers over a split, and how
// they become results.
#ifndef MLA_KERNELS_ATTENTION_GPU_SUMS_H_
#define MLA_KERNELS_ATTENTION_GPU_SUMS_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_fragments.h"
#include "kernels/attention/gpu_shared.h"
#include "kernels/attention/gpu_tables.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

// A warp's sums: of strips warp, warp + kWarps, .. of 64 elements, four products each.
template <int kTiles, int kStrips>
struct Sums {
  float of[kStrips][4][kTiles][4];
};

template <int kTiles, int kStrips>
MLA_DEVICE void Rescale(const Shared& s, Sums<kTiles, kStrips>* sums) {
  MLA_UNROLL
  for (int n = 0; n < kTiles; ++n) {
    const float* rescale = s.rescale + n * 8 + Lane() % 4 * 2;
    const float by[2] = {rescale[0], rescale[1]};
    if (by[0] == 1.0f && by[1] == 1.0f) continue;
    MLA_UNROLL
    for (int i = 0; i < kStrips; ++i) {
      MLA_UNROLL
      for (int m = 0; m < 4; ++m) {
        MLA_UNROLL
        for (int d = 0; d < 4; ++d) sums->of[i][m][n][d] *= by[d % 2];
      }
    }
  }
}

template <CacheType kType, int kWarps, int kTiles, int kStrips>
MLA_DEVICE void SumStrips(const Shared& s, const TileView& tile, const GpuTileArray& array,
                          int begin, int end, Sums<kTiles, kStrips>* sums) {
  const int warp = kWarps == 1 ? 0 : WarpIndex();
  const int g = Lane() / 4, t = Lane() % 4;
  MLA_UNROLL_BY(1)
  for (int token = 0; token < tile.tokens; token += 16) {
    FourHalves weights[kTiles];
    MLA_UNROLL
    for (int n = 0; n < kTiles; ++n) {
      weights[n] = *reinterpret_cast<const FourHalves*>(s.weights + (n * 8 + g) * kWeightPitch +
                                                        token + 4 * t);
    }
    MLA_UNROLL
    for (int i = 0; i < kStrips; ++i) {
      const int strip = warp + kWarps * i;
      if (strip < begin || strip >= end) continue;
      SumFragments fragments;
      LoadSums<kType>(tile, array, strip, token, &fragments);
      MLA_UNROLL
      for (int m = 0; m < 4; ++m) {
        MLA_UNROLL
        for (int n = 0; n < kTiles; ++n) {
          Mma(sums->of[i][m][n], fragments.a[m], {weights[n].word[0], weights[n].word[1]});
        }
      }
    }
  }
}

template <int kWarps, int kTiles, int kStrips>
MLA_DEVICE void SumPiece(const Shared& s, const GpuTilePiece& piece, const TileView& tile,
                         Sums<kTiles, kStrips>* sums) {
  const GpuTileArray value = piece.value;
  WithType<2>(value, [&](auto type) {
    SumStrips<decltype(type)::value, kWarps>(s, tile, value, piece.value_begin, piece.value_end,
                                             sums);
  });
}

MLA_DEVICE float* PartialRow(const AttendArgs& a, int sequence, int split, int query, int head) {
  const int64_t row =
      ((int64_t{sequence} * a.splits + split) * a.sizes.queries + query) * a.sizes.heads + head;
  return static_cast<float*>(a.call.workspace) + row * a.sizes.partial_floats();
}

MLA_DEVICE void StoreEight(float* to, const float (&values)[8], int n) {
  if (n >= 8 && reinterpret_cast<uintptr_t>(to) % 16 == 0) {
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      Quad quad;
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) quad.word[i] = BitsOfFloat(values[half * 4 + i]);
      reinterpret_cast<Quad*>(to)[half] = quad;
    }
    return;
  }
  MLA_UNROLL
  for (int i = 0; i < 8; ++i) {
    if (i < n) to[i] = values[i];
  }
}

// Weighted means, to where they belong: of a sequence with one split these are the results.
template <int kWarps, int kTiles, int kStrips>
MLA_DEVICE void Finish(const AttendArgs& a, const Shared& s, const Work& work, int split,
                       const Sums<kTiles, kStrips>& sums) {
  const GpuTask& task = s.the_task();
  const GpuAttention& call = a.call;
  const int warp = kWarps == 1 ? 0 : WarpIndex();
  const int g = Lane() / 4, t = Lane() % 4;
  const bool whole = work.splits == 1;
  MLA_UNROLL
  for (int n = 0; n < kTiles; ++n) {
    MLA_UNROLL
    for (int j = 0; j < 2; ++j) {
      const int c = n * 8 + 2 * t + j;
      const GpuColumn column = s.columns()[c];
      if (column.head < 0) continue;
      const float total = s.totals[c];
      const float by = total == 0.0f ? 0.0f : 1.0f / total;  // zero: a split that saw nothing
      float* out = nullptr;
      Quad* partial = nullptr;
      if (whole) {
        out = call.out + work.sequence * call.out_sequence + column.query * call.out_query +
              column.head * call.out_head + task.value_begin;
      } else {
        float* row = PartialRow(a, work.sequence, split, column.query, column.head);
        if (warp == 0 && g == 0 && task.value_begin == 0) {
          row[0] = s.maxima[c];
          row[1] = total;
        }
        partial = reinterpret_cast<Quad*>(row) + 1 + task.value_begin / kUnitElements;
      }
      MLA_UNROLL
      for (int i = 0; i < kStrips; ++i) {
        const int element = (warp + kWarps * i) * kValueStrip + 8 * g;
        if (element >= task.value_length) continue;
        float values[8];
        MLA_UNROLL
        for (int m = 0; m < 4; ++m) {
          values[2 * m] = sums.of[i][m][n][j] * by;
          values[2 * m + 1] = sums.of[i][m][n][2 + j] * by;
        }
        if (whole) {
          StoreEight(out + element, values, task.value_length - element);
        } else {
          Quad halves;
          MLA_UNROLL
          for (int m = 0; m < 4; ++m) {
            halves.word[m] = PackHalves(values[2 * m], values[2 * m + 1]);
          }
          partial[element / kUnitElements] = halves;
        }
      }
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_SUMS_H_
