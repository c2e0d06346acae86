// Scores of a tile: heads by tokens, a warp its own tokens with all heads, so that nothing of them
// is added across warps. Queries are the left operand, 16 of them; rows the right one, as they lie
// in shared memory: with g = lane / 4 and t = lane % 4, a lane has of column g's token
// (LatentToken), for a strip of 32 elements, 8t to 8t + 7 where rows are packed, and Mma's own
// order where they are floats.
//
// A field of int4 or int2 is a half as it lies: in the lowest bits of one it is u * 2^-24,
// subnormal, which tensor cores multiply exactly; in the next ones it is 2^kBits times that, and
// the query's elements that meet those are the smaller (gpu_latent_query.h). So two elements cost
// 1 1/2 instructions. Scales meet products of a strip; minima are multiplied by themselves, with
// the sums of queries' strips.
#ifndef MLA_KERNELS_ATTENTION_GPU_LATENT_SCORES_H_
#define MLA_KERNELS_ATTENTION_GPU_LATENT_SCORES_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_fragments.h"
#include "kernels/attention/gpu_latent.h"
#include "kernels/attention/gpu_latent_query.h"

namespace mla::MLA_GPU {

// Sums of products by heads: two of them, so that products of a tile need not wait for each other.
// While rows have minima, `fields` are those of their fields, in units of 2^-24, and `rest` what is
// in units of one.
template <int kHeads, int kEights>
struct LatentScores {
  float fields[kHeads][kEights][4];
  float rest[kHeads][kEights][4];
};

// How many strips' loads are under way together: as many as registers have room for beside so many
// products of a strip.
constexpr int StripsAtOnce(int products) { return products > 2 ? 1 : 4 / products; }

// Which token of the tile is column `n` of its product of eight number `eight`. Of packed rows they
// are woven such that a lane reads those of its two eights at once, and has weights of four
// neighbouring tokens, 4t to 4t + 3 of sixteen, as sums read them (gpu_latent_sums.h).
template <bool kPacked, int kEights>
MLA_DEVICE int LatentToken(int eight, int n) {
  if constexpr (!kPacked) return eight * 8 + n;
  const int sixteen = eight / 2 * 16;
  if constexpr (kEights == 2) return sixteen + 2 * n + eight % 2;
  return sixteen + n / 2 * 4 + eight % 2 * 2 + n % 2;
}

template <CacheType kType>
struct LatentLines {
  // Lines of 4 bytes a token in a strip of 32 elements.
  static constexpr int kStrip = kScoreStrip / Fields<kType>::kBlock;
  // The first of those that lane t = 0 to 3 has eight elements of.
  MLA_DEVICE static int Of(int t) {
    return kType == CacheType::kInt8 ? 2 * t : kType == CacheType::kInt4 ? t : t / 2;
  }
};

// A lane's eight elements of a token's row, in one word or two, as the right operand of two
// products of 16 elements.
template <CacheType kType>
MLA_DEVICE void UnpackScores(const uint32_t (&words)[2], uint32_t (&to)[4]) {
  const uint32_t word = kType == CacheType::kInt2 ? words[0] >> Lane() % 2 * 4 : words[0];
  constexpr uint32_t kUpper = kType == CacheType::kInt8 ? kOneByte : 0;
  PickPair<kType>(Bytes(word, kUpper, 0x4140), &to[0], &to[2]);
  PickPair<kType>(Bytes(word, kUpper, 0x4342), &to[1], &to[3]);
  if constexpr (kType == CacheType::kInt8) {
    PickPair<kType>(Bytes(words[1], kOneByte, 0x4140), &to[2], nullptr);
    PickPair<kType>(Bytes(words[1], kOneByte, 0x4342), &to[3], nullptr);
  }
}

// Words of a lane's tokens at `at`, one of each eight.
template <int kEights>
MLA_DEVICE void LoadEach(int at, uint32_t (&to)[kEights]) {
  static_assert(kEights <= 2);
  if constexpr (kEights == 2) {
    const FourHalves two = LoadShared<FourHalves>(at);
    to[0] = two.word[0];
    to[1] = two.word[1];
  } else {
    to[0] = LoadShared<uint32_t>(at);
  }
}

// Of column 2t + j of eight `e`, of halves of four tokens, or of two.
template <int kEights>
MLA_DEVICE float ScaleOf(const uint32_t (&scales)[kEights], int e, int j) {
  const uint32_t pair = scales[kEights == 2 ? j : 0];
  const bool upper = (kEights == 2 ? e : j) == 1;
  return HalfToFloat(static_cast<uint16_t>(upper ? pair >> 16 : pair));
}

// kStrips strips from `first` on of a row, a multiple of as many; `line`: the lane's part of the
// first strip's lines, `query` of its fragments, `numbers` of the row's. Everything is loaded
// before anything is used.
template <CacheType kType, int kStrips, int kHeads, int kEights>
MLA_DEVICE void ScorePackedStrips(const LatentQueries& queries, const GpuLatentArray& array,
                                  int line, int numbers, int first, int query,
                                  LatentScores<kHeads, kEights>* scores) {
  constexpr int kNumberLine = Fields<kType>::kNumbers * kPageTokens * 2;
  const int strip_shift = array.group_shift - 5;
  numbers += (first >> strip_shift) * kNumberLine;
  uint32_t words[kStrips][2][kEights], scales[kStrips][kEights];
  Quad heads[kStrips][2];
  MLA_UNROLL
  for (int i = 0; i < kStrips; ++i) {
    const int at = line + i * LatentLines<kType>::kStrip * kLatentPitch<kType>;
    LoadEach(at, words[i][0]);
    if constexpr (kType == CacheType::kInt8) LoadEach(at + kLatentPitch<kType>, words[i][1]);
    LoadEach(numbers + (i >> strip_shift) * kNumberLine, scales[i]);
    MLA_UNROLL
    for (int step = 0; step < 2 && kHeads == 1; ++step) {
      heads[i][step] = LoadQueryStep(queries, query, 0, i, step);
    }
  }
  MLA_UNROLL
  for (int i = 0; i < kStrips; ++i) {
    uint32_t rows[kEights][4];
    MLA_UNROLL
    for (int e = 0; e < kEights; ++e) {
      UnpackScores<kType>({words[i][0][e], words[i][1][e]}, rows[e]);
    }
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int step = 0; step < 2 && kHeads > 1; ++step) {
        heads[i][step] = LoadQueryStep(queries, query, m, i, step);
      }
      MLA_UNROLL
      for (int e = 0; e < kEights; ++e) {
        float products[4];
        MmaOf(products, heads[i][0].word, {rows[e][0], rows[e][1]});
        Mma(products, heads[i][1].word, {rows[e][2], rows[e][3]});
        float(&to)[4] = HasMinima(kType) ? scores->fields[m][e] : scores->rest[m][e];
        MLA_UNROLL
        for (int d = 0; d < 4; ++d) to[d] += ScaleOf(scales[i], e, d % 2) * products[d];
      }
    }
  }
}

// A row. `strip`: the query's first.
template <CacheType kType, int kHeads, int kEights>
MLA_DEVICE void ScorePacked(const LatentQueries& queries, const GpuLatentArray& array, int slot,
                            int strip, LatentScores<kHeads, kEights>* scores) {
  using Lines = LatentLines<kType>;
  constexpr int kAtOnce = StripsAtOnce(kHeads * kEights);
  constexpr int kLine = Lines::kStrip * kLatentPitch<kType>;
  const int g = Lane() / 4, t = Lane() % 4, eight = WarpIndex() * kEights;
  int line = slot + array.to + Lines::Of(t) * kLatentPitch<kType> +
             LatentToken<true, kEights>(eight, g) * 4;
  int query = queries.units + strip * 2 * kFragment + Lane() * 16;
  const int numbers = slot + array.number_to + LatentToken<true, kEights>(eight, 2 * t) * 2;
  int i = 0;
  MLA_UNROLL_BY(1)
  for (; i + kAtOnce <= array.strips; i += kAtOnce) {
    ScorePackedStrips<kType, kAtOnce>(queries, array, line, numbers, i, query, scores);
    line += kAtOnce * kLine;
    query += kAtOnce * 2 * kFragment;
  }
  if constexpr (kAtOnce > 1) {
    MLA_UNROLL_BY(1)
    for (; i < array.strips; ++i) {
      ScorePackedStrips<kType, 1>(queries, array, line, numbers, i, query, scores);
      line += kLine;
      query += 2 * kFragment;
    }
  }
}

// Minima times the sums of queries' strips, of rotary rows where these have some, and of the
// latent, whose numbers lie behind theirs then (gpu_latent_plan.cc): products over 16 strips.
template <int kHeads, int kEights>
MLA_DEVICE void ScoreLatentMinima(const LatentQueries& queries, const GpuLatentForm& form, int slot,
                                  LatentScores<kHeads, kEights>* scores) {
  const int g = Lane() / 4, t = Lane() % 4;
  const int rope_sums = RopeSums(form);
  const GpuLatentArray& first = rope_sums > 0 ? form.rope : form.latent;
  const int last = rope_sums + form.latent.strips - 1;
  const int shift = form.latent.group_shift - 5;
  constexpr int kGroup = 2 * kPageTokens * 2;
  // Of two tokens that are loaded together, of which a lane has both or one.
  const int token = LatentToken<true, kEights>(WarpIndex() * kEights, g) & ~1;
  const int numbers = slot + first.number_to + (kPageTokens + token) * 2;
  MLA_UNROLL_BY(1)
  for (int block = 0; block < queries.sum_blocks; ++block) {
    uint32_t minima[kEights][2];
    MLA_UNROLL
    for (int k = 0; k < 2; ++k) {
      uint32_t two[2];
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        // Beyond the last any: sums are zeros there.
        const int wanted = block * 16 + 8 * k + 2 * t + j;
        two[j] = LoadSharedWord(numbers + ((wanted < last ? wanted : last) >> shift) * kGroup);
      }
      MLA_UNROLL
      for (int e = 0; e < kEights; ++e) {
        const bool upper = kEights == 2 ? e == 1 : g % 2 == 1;
        minima[e][k] = PickBytes(two[0], two[1], upper ? 0x7632 : 0x5410);
      }
    }
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      const int at = queries.sums + (m * queries.sum_blocks + block) * 2 * kFragment + Lane() * 16;
      const Quad most = LoadShared<Quad>(at), rest = LoadShared<Quad>(at + kFragment);
      MLA_UNROLL
      for (int e = 0; e < kEights; ++e) {
        Mma(scores->rest[m][e], most.word, minima[e]);
        Mma(scores->rest[m][e], rest.word, minima[e]);
      }
    }
  }
}

// Floats, with queries in Mma's order.
template <MmaFloat kFloat, int kStrips, int kHeads, int kEights>
MLA_DEVICE void ScoreFloatStrips(const LatentQueries& queries, const GpuLatentArray& array,
                                 int rows, int first, int query,
                                 LatentScores<kHeads, kEights>* scores) {
  uint32_t tokens[kStrips][kEights][4];
  Quad heads[kStrips][2];
  MLA_UNROLL
  for (int i = 0; i < kStrips; ++i) {
    const int wanted = (first + i) * kScoreStrip + Lane() / 8 * kUnitElements;
    const int at = rows + (wanted < array.last ? wanted : array.last) * 2;
    MLA_UNROLL
    for (int e = 0; e < kEights; ++e) LoadMatrices(tokens[i][e], at + e * 8 * array.pitch);
    MLA_UNROLL
    for (int step = 0; step < 2 && kHeads == 1; ++step) {
      heads[i][step] = LoadQueryStep(queries, query, 0, i, step);
    }
  }
  MLA_UNROLL
  for (int i = 0; i < kStrips; ++i) {
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      MLA_UNROLL
      for (int step = 0; step < 2; ++step) {
        if constexpr (kHeads > 1) heads[i][step] = LoadQueryStep(queries, query, m, i, step);
        MLA_UNROLL
        for (int e = 0; e < kEights; ++e) {
          Mma<kFloat>(step == 0 ? scores->fields[m][e] : scores->rest[m][e], heads[i][step].word,
                      {tokens[i][e][2 * step], tokens[i][e][2 * step + 1]});
        }
      }
    }
  }
}
template <MmaFloat kFloat, int kHeads, int kEights>
MLA_DEVICE void ScoreFloatRows(const LatentQueries& queries, const GpuLatentArray& array, int slot,
                               int strip, int token, LatentScores<kHeads, kEights>* scores) {
  constexpr int kAtOnce = StripsAtOnce(kHeads * kEights);
  const int rows = slot + array.to + (token + Lane() % 8) * array.pitch;
  int query = queries.units + strip * 2 * kFragment + Lane() * 16;
  int i = 0;
  MLA_UNROLL_BY(1)
  for (; i + kAtOnce <= array.strips; i += kAtOnce) {
    ScoreFloatStrips<kFloat, kAtOnce>(queries, array, rows, i, query, scores);
    query += kAtOnce * 2 * kFragment;
  }
  if constexpr (kAtOnce > 1) {
    MLA_UNROLL_BY(1)
    for (; i < array.strips; ++i) {
      ScoreFloatStrips<kFloat, 1>(queries, array, rows, i, query, scores);
      query += 2 * kFragment;
    }
  }
}

// Floats of a window, with queries as packed rows need them: `unfit`, two halves, is what brings
// the second step's elements to what they are.
template <int kHeads, int kEights>
MLA_DEVICE void ScoreWindowRows(const LatentQueries& queries, const GpuLatentArray& array, int slot,
                                int strip, uint32_t unfit, LatentScores<kHeads, kEights>* scores) {
  const int g = Lane() / 4, t = Lane() % 4;
  int rows[kEights];
  MLA_UNROLL
  for (int e = 0; e < kEights; ++e) {
    const int token = LatentToken<true, kEights>(WarpIndex() * kEights + e, g);
    rows[e] = slot + array.to + token * array.pitch;
  }
  MLA_UNROLL_BY(1)
  for (int i = 0; i < array.strips; ++i) {
    const int wanted = i * kScoreStrip + t * kUnitElements;
    const int at = (wanted < array.last ? wanted : array.last) * 2;
    MLA_UNROLL
    for (int m = 0; m < kHeads; ++m) {
      const int query = queries.units + Lane() * 16;
      const Quad first = LoadQueryStep(queries, query, m, strip + i, 0);
      Quad second = LoadQueryStep(queries, query, m, strip + i, 1);
      MLA_UNROLL
      for (int j = 0; j < 4; ++j) second.word[j] = MulAddHalves(second.word[j], unfit, 0);
      MLA_UNROLL
      for (int e = 0; e < kEights; ++e) {
        const Quad row = LoadShared<Quad>(rows[e] + at);
        Mma(scores->rest[m][e], first.word, {row.word[0], row.word[1]});
        Mma(scores->rest[m][e], second.word, {row.word[2], row.word[3]});
      }
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_LATENT_SCORES_H_
