// Queries of a block in shared memory as the left operand's fragments, so that a lane's registers
// of two products of 16 elements are two loads.
#ifndef MLA_KERNELS_ATTENTION_GPU_LATENT_QUERY_H_
#define MLA_KERNELS_ATTENTION_GPU_LATENT_QUERY_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_fragments.h"
#include "kernels/attention/gpu_latent.h"
#include "kernels/attention/gpu_query.h"

namespace mla::MLA_GPU {

// Bytes of a fragment, four registers of every lane.
constexpr int kFragment = kWarp * 16;

// [sixteens of heads][strips][2 steps of 16 elements] fragments. `kUnits`: a lane has eight
// neighbouring elements of a strip, as packed rows are read (gpu_latent_scores.h); else Mma's
// order. Elements that meet the upper fields of a packed row's bytes, which are the second step's
// then, are so much the smaller.
struct LatentQueries {
  int units;  // in shared memory
  int strips;
  // [sixteens of heads][blocks of 16 strips][2]: of strips' sums what they are as halves, and what
  // these lack; of the strips of rows that have minima, zeros behind them.
  int sums;
  int sum_blocks;
};

// A lane's registers of a step of a strip, of sixteen `m` of heads. `query`: where the lane's of
// the first sixteen's strip 0 are.
MLA_DEVICE Quad LoadQueryStep(const LatentQueries& queries, int query, int m, int strip, int step) {
  return LoadShared<Quad>(query + ((m * queries.strips + strip) * 2 + step) * kFragment);
}

// What upper fields' elements are multiplied with.
MLA_DEVICE float FitOf(CacheType type) {
  return type == CacheType::kInt4 ? 1.0f / 16 : type == CacheType::kInt2 ? 1.0f / 4 : 1.0f;
}

// Writes columns' queries.
template <bool kUnits>
class LatentQueryWriter {
 public:
  MLA_DEVICE LatentQueryWriter(const GpuLatentForm& rows, const LatentQueries& queries,
                               uint8_t* units, uint8_t* sums, int column)
      : strips_(queries.strips),
        rope_strips_(rows.rope.strips),
        rope_sums_(RopeSums(rows)),
        rope_fit_(FitOf(static_cast<CacheType>(rows.rope.type))),
        fit_(FitOf(static_cast<CacheType>(rows.latent.type))) {
    const int g = column % 8, half = column / 8 % 2, m = column / 16;
    units_ = units + m * strips_ * 2 * kFragment + g * 64 + half * 4;
    sums_ = sums + m * queries.sum_blocks * 2 * kFragment + g * 64 + half * 4;
  }

  // Word `i` of the query: elements 2i and 2i + 1.
  MLA_DEVICE void Store(int i, uint32_t pair) const {
    const int strip = i / 16, word = i % 16;
    if (strip >= strips_) return;
    int step, t, later;  // of 16 elements, of four lanes, of a lane's two words
    if constexpr (kUnits) {
      t = word / 4;
      step = word % 4 / 2;
      later = word % 2;
      if (step == 1) {
        const float by = strip < rope_strips_ ? rope_fit_ : fit_;
        pair = MulAddHalves(pair, PackHalves(by, by), 0);
      }
    } else {
      step = word / 8;
      later = word % 8 / 4;
      t = word % 4;
    }
    *reinterpret_cast<uint32_t*>(units_ + (strip * 2 + step) * kFragment + t * 16 + later * 8) =
        pair;
  }
  MLA_DEVICE void StoreSum(int strip, uint32_t sum) const {
    if ((strip < rope_strips_ && rope_sums_ == 0) || strip >= strips_) return;
    const int k = strip < rope_strips_ ? strip : strip - rope_strips_ + rope_sums_;
    uint8_t* to = sums_ + k / 16 * 2 * kFragment + k % 8 / 2 * 16 + k % 16 / 8 * 8 + k % 2 * 2;
    *reinterpret_cast<uint16_t*>(to) = static_cast<uint16_t>(sum);
    *reinterpret_cast<uint16_t*>(to + kFragment) = static_cast<uint16_t>(sum >> 16);
  }

 private:
  int strips_, rope_strips_, rope_sums_;
  float rope_fit_, fit_;
  uint8_t* units_;
  uint8_t* sums_;
};

// Whole block, a warp a column. Behind a barrier after which `sums` are zeros; all is there behind
// the next one.
template <MmaFloat kFloat, bool kUnits, bool kSums>
MLA_DEVICE void LoadLatentQueries(const AttendArgs& a, const GpuLatentForm& rows,
                                  const LatentQueries& queries, const GpuColumn* columns, int count,
                                  int sequence, uint8_t* units, uint8_t* sums, float* factors) {
  MLA_UNROLL_BY(1)
  for (int c = WarpIndex(); c < count; c += BlockThreads() / kWarp) {
    const GpuColumn column = columns[c];
    const LatentQueryWriter<kUnits> writer(rows, queries, units, sums, c);
    const auto store = [&](int i, uint32_t pair) { writer.Store(i, pair); };
    const auto store_sum = [&](int strip, uint32_t sum) {
      if constexpr (kSums) writer.StoreSum(strip, sum);
    };
    if (column.head < 0) {
      for (int i = Lane(); i < queries.strips * 16; i += kWarp) store(i, 0);
      if (Lane() == 0) factors[c] = 0.0f;
    } else if (a.sizes.prepared == 0) {
      PrepareQueryTo<kFloat>(a, sequence, column.query, column.head, store, store_sum, factors + c);
    } else {
      const uint8_t* from = PreparedQuery(a, sequence, column.query, column.head);
      constexpr int kAtOnce = 4;
      MLA_UNROLL_BY(1)
      for (int first = Lane(); first < queries.strips * 4; first += kAtOnce * kWarp) {
        Quad quads[kAtOnce] = {};
        MLA_UNROLL
        for (int k = 0; k < kAtOnce; ++k) {
          const int i = first + k * kWarp;
          LoadQuad(i < queries.strips * 4, from + i * 16, &quads[k]);
        }
        MLA_UNROLL
        for (int k = 0; k < kAtOnce; ++k) {
          MLA_UNROLL
          for (int j = 0; j < 4; ++j) store((first + k * kWarp) * 4 + j, quads[k].word[j]);
        }
      }
      const uint32_t* behind = reinterpret_cast<const uint32_t*>(from + a.sizes.query_pitch * 16);
      for (int i = Lane(); i < queries.strips; i += kWarp) store_sum(i, behind[i]);
      if (Lane() == 0) factors[c] = FloatOfBits(behind[a.sizes.query_pitch / 4]);
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_LATENT_QUERY_H_
