// Weighted sums of a tile's values, elements by columns, kept in registers over a split, and how
// they become results.
#ifndef MLA_KERNELS_ATTENTION_GPU_SUMS_H_
#define MLA_KERNELS_ATTENTION_GPU_SUMS_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_floats.h"
#include "kernels/attention/gpu_fragments.h"
#include "kernels/attention/gpu_partial.h"
#include "kernels/attention/gpu_shared.h"
#include "kernels/attention/gpu_tables.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

// A warp's sums: of strips warp, warp + kWarps, .. of 64 elements, four products each. While rows
// have minima, of fields in units as they lie, and of minima by themselves.
template <int kTiles, int kStrips>
struct Sums {
  float of[kStrips][4][kTiles][4];
  float minima[kTiles][2];  // of lanes 4j to 4j + 3: those of the j-th 32 elements
  CacheType type;           // of the fields: kInt4, kInt2; kF16: these are sums as they are
};

// Fields' sums and minima to sums as they are.
template <CacheType kType, int kTiles, int kStrips>
MLA_DEVICE void LeaveFields(Sums<kTiles, kStrips>* sums) {
  const int t = Lane() % 4;
  const float by[2] = {1.0f / SumUnit<kType>(0), 1.0f / SumUnit<kType>(1)};
  MLA_UNROLL
  for (int n = 0; n < kTiles; ++n) {
    MLA_UNROLL
    for (int j = 0; j < 2; ++j) {
      const float own = sums->minima[n][j];
      MLA_UNROLL
      for (int i = 0; i < 2 * kStrips; ++i) {
        const float minimum = Shuffle(own, 4 * i + t);
        MLA_UNROLL
        for (int m = 0; m < 2; ++m) {
          float(&of)[4] = sums->of[i / 2][i % 2 * 2 + m][n];
          of[j] = of[j] * by[0] + minimum;
          of[2 + j] = of[2 + j] * by[1] + minimum;
        }
      }
      sums->minima[n][j] = 0.0f;
    }
  }
}

template <CacheType kType, int kTiles, int kStrips>
MLA_DEVICE void EnterFields(Sums<kTiles, kStrips>* sums) {
  const float units[2] = {SumUnit<kType>(0), SumUnit<kType>(1)};
  MLA_UNROLL
  for (int i = 0; i < kStrips * 4 * kTiles * 4; ++i) {
    const float unit = units[i % 4 / 2];
    sums->of[i / (16 * kTiles)][i / (4 * kTiles) % 4][i / 4 % kTiles][i % 4] *= unit;
  }
}

// Brings the sums to what a type's rows are added to.
template <int kTiles, int kStrips>
MLA_DEVICE void ChangeType(CacheType type, Sums<kTiles, kStrips>* sums) {
  if (type == sums->type) return;
  const auto change = [&](CacheType of, auto call) {
    if (of == CacheType::kInt4) call(TypeConstant<CacheType::kInt4>());
    if (of == CacheType::kInt2) call(TypeConstant<CacheType::kInt2>());
  };
  change(sums->type, [&](auto of) { LeaveFields<decltype(of)::value>(sums); });
  change(type, [&](auto of) { EnterFields<decltype(of)::value>(sums); });
  sums->type = type;
}

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
    MLA_UNROLL
    for (int j = 0; j < 2; ++j) sums->minima[n][j] *= by[j];
  }
}

// Where the minima of a lane's 32 elements among the warp's strips are, of tokens from 4t on.
struct MinimaPlace {
  bool there;
  int at;
};

template <CacheType kType, int kWarps, int kStrips>
MLA_DEVICE MinimaPlace PlaceMinima(const TileView& tile, const GpuTileArray& array, int begin,
                                   int end) {
  const int g = Lane() / 4, t = Lane() % 4;
  const int strip = WarpIndex() + kWarps * (g / 2);
  const int element = array.Eight(strip * kValueStrip + g % 2 * kPartElements);
  const auto numbers = NumberPlace<kType>::At(tile, array, 4 * t);
  return {g < 2 * kStrips && strip >= begin && strip < end,
          numbers.Of(array, 0, element) + numbers.line};
}

// Weighted.
template <int kTiles, int kStrips>
MLA_DEVICE void SumMinima(const MinimaPlace& place, int token, const FourHalves (&weights)[kTiles],
                          Sums<kTiles, kStrips>* sums) {
  FourHalves minima = {};
  if (place.there) minima = LoadShared<FourHalves>(place.at + token * 2);
  MLA_UNROLL
  for (int n = 0; n < kTiles; ++n) {
    float sum[4] = {sums->minima[n][0], sums->minima[n][1], 0.0f, 0.0f};
    Mma(sum, {minima.word[0], 0, minima.word[1], 0}, {weights[n].word[0], weights[n].word[1]});
    MLA_UNROLL
    for (int j = 0; j < 2; ++j) sums->minima[n][j] = sum[j];
  }
}

// Of the warp's strips, that are kStrips at most, as far as they are in [begin, end).
template <CacheType kType, GpuRows kRows, int kWarps, int kTiles, int kStrips>
MLA_DEVICE void SumStrips(const Shared& s, const TileView& tile, const GpuTileArray& array,
                          int begin, int end, Sums<kTiles, kStrips>* sums) {
  constexpr bool kPacked = kRows == GpuRows::kPacked;
  const int warp = WarpIndex();
  const WeightPlace<kPacked> place(s.weights);
  MinimaPlace minima = {};
  if constexpr (HasMinima(kType)) {
    minima = PlaceMinima<kType, kWarps, kStrips>(tile, array, begin, end);
  }
  using Strip = typename StripOf<kType, kPacked>::Type;
  Strip rows[kStrips];
  bool there[kStrips];
  MLA_UNROLL
  for (int i = 0; i < kStrips; ++i) {
    const int strip = warp + kWarps * i;
    there[i] = strip >= begin && strip < end;
    rows[i] = Strip::At(tile, array, strip);
  }
  MLA_UNROLL_BY(1)
  for (int token = 0; token < tile.tokens; token += 16) {
    FourHalves weights[kTiles];
    MLA_UNROLL
    for (int n = 0; n < kTiles; ++n) weights[n] = place.Load(n, token);
    MLA_UNROLL
    for (int i = 0; i < kStrips; ++i) {
      if (!there[i]) continue;
      SumFragments fragments;
      rows[i].Load(token, &fragments);
      MLA_UNROLL
      for (int n = 0; n < kTiles; ++n) {
        MLA_UNROLL
        for (int part = 0; part < 2; ++part) {
          const FourHalves by = rows[i].Weigh(weights[n], part, token);
          MLA_UNROLL
          for (int m = 2 * part; m < 2 * part + 2; ++m) {
            Mma<FloatOf(kRows)>(sums->of[i][m][n], fragments.a[m], {by.word[0], by.word[1]});
          }
        }
      }
    }
    if constexpr (HasMinima(kType)) SumMinima(minima, token, weights, sums);
  }
}

template <int kWarps, GpuRows kRows, int kTiles, int kStrips>
MLA_DEVICE void SumPiece(const Shared& s, const GpuTilePiece& piece, const TileView& tile,
                         Sums<kTiles, kStrips>* sums) {
  constexpr bool kPacked = kRows == GpuRows::kPacked;
  const GpuTileArray value = piece.value;
  WithType<2, kPacked>(value, [&](auto type) {
    constexpr CacheType kType = decltype(type)::value;
    if constexpr (kPacked) ChangeType(kType == CacheType::kInt8 ? CacheType::kF16 : kType, sums);
    SumStrips<kType, kRows, kWarps>(s, tile, value, piece.value_begin, piece.value_end, sums);
  });
}

MLA_DEVICE void StoreTwo(float* to, float first, float second, int n) {
  if (n >= 2 && reinterpret_cast<uintptr_t>(to) % 8 == 0) {
    *reinterpret_cast<TwoFloats*>(to) = {first, second};
    return;
  }
  if (n >= 1) to[0] = first;
  if (n >= 2) to[1] = second;
}

// A lane's means of a strip and a column: results from `out` on, or elements of a split's row from
// `begin` on, of which whole units are written, which the merge reads.
template <GpuRows kRows, typename Mean>
MLA_DEVICE void StoreMeans(const Mean& mean, int first, int length, float* out, float* row,
                           int begin) {
  constexpr bool kPacked = kRows == GpuRows::kPacked;
  MLA_UNROLL
  for (int pair = 0; pair < 4; ++pair) {
    // Packed rows' products have neighbours in twos.
    const int m = kPacked ? pair / 2 * 2 : pair, half = pair % 2;
    if constexpr (kPacked) {
      const int element = first + SumElement<true>(m, half);
      if (element / kUnitElements * kUnitElements >= length) continue;
      if (row == nullptr) {
        StoreTwo(out + element, mean(m, half), mean(m + 1, half), length - element);
      } else {
        StoreTwoMeans<FloatOf(kRows)>(row, begin + element, mean(m, half), mean(m + 1, half));
      }
    } else {
      MLA_UNROLL
      for (int upper = 0; upper < 2; ++upper) {
        const int element = first + SumElement<false>(m, upper);
        if (element / kUnitElements * kUnitElements >= length) continue;
        if (row != nullptr) {
          StoreMean<FloatOf(kRows)>(row, begin + element, mean(m, upper));
        } else if (element < length) {
          out[element] = mean(m, upper);
        }
      }
    }
  }
}

// Weighted means, to where they belong: of a sequence with one split these are the results.
template <int kWarps, GpuRows kRows, int kTiles, int kStrips>
MLA_DEVICE void Finish(const AttendArgs& a, const Shared& s, const Work& work, int split,
                       const Sums<kTiles, kStrips>& sums) {
  const GpuTask& task = s.the_task();
  const GpuAttention& call = a.call;
  const int warp = WarpIndex();
  const int g = Lane() / 4, t = Lane() % 4;
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
      float* row = nullptr;
      if (work.splits == 1) {
        out = call.out + work.sequence * call.out_sequence + column.query * call.out_query +
              column.head * call.out_head + task.value_begin;
      } else {
        row = PartialRow(a, work.sequence, split, column.query, column.head);
        if (warp == 0 && g == 0 && task.value_begin == 0) {
          row[0] = s.maxima[c];
          row[1] = total;
        }
      }
      MLA_UNROLL
      for (int i = 0; i < kStrips; ++i) {
        const auto mean = [&](int m, int half) { return sums.of[i][m][n][2 * half + j] * by; };
        StoreMeans<kRows>(mean, (warp + kWarps * i) * kValueStrip, task.value_length, out, row,
                          task.value_begin);
      }
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_SUMS_H_
