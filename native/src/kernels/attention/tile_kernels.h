// The steps of attention over one tile of cached rows: the only code that differs between
// instruction sets. Plain, so that every instruction set's file can include it.
//
// Rows are floats (f32, f16, bf16) or packed (row_format.h). Packed ones are met in integers:
// scores are dot products with queries that were quantized before (packed_query.h), sums those with
// weights rounded to 15 bits for the tile. So may floats that many queries meet (fixed_query.h). Of
// floats nothing is read beyond a row's last element.
#ifndef MLA_KERNELS_ATTENTION_TILE_KERNELS_H_
#define MLA_KERNELS_ATTENTION_TILE_KERNELS_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

enum class Isa;

// Tokens of a tile at most.
inline constexpr int32_t kTileTokens = 64;

// What a row's sums become with a tile: `before` times what they were, plus `tile` times the
// tile's.
struct Blend {
  float before, tile;
};

struct AttentionTileKernels {
  // scores[m * scores_stride + t] (+)= queries[m] · rows[t], for m < n; queries[m] has
  // rows.format.length floats. Overwrites unless `add`. Float rows.
  void (*score)(const PackedRows& rows, const float* const* queries, int32_t n, bool add,
                float* scores, int64_t scores_stride);

  // n queries for score_packed, PackedQueryBytes(format) bytes each (packed_query.h).
  void (*quantize_queries)(const RowFormat& format, const float* const* queries, int32_t n,
                           uint8_t* out);

  // scores[m * kTileTokens + t] of packed rows with n queries that were quantized together. Scores
  // from rows.count on to kTileTokens are undefined afterwards.
  void (*score_packed)(const PackedRows& rows, const uint8_t* queries, int32_t n, bool add,
                       float* scores);

  // One row of kTileTokens scores to weights, keeping the softmax online (Milakov and Gimelshein,
  // arXiv 1805.02867), the weights relative to the tile's own maximum: with x[t] = scale * (factors
  // ? factors[t] : 1) * scores[t] / ln 2 for begin <= t < end, and -infinity for the other t <
  // count, scores[t] = 2^(x[t] - max(x)), maximum' = max(maximum, x), before = 2^(maximum -
  // maximum'), tile = 2^(max(x) - maximum'), sum' = before * sum + tile * sum_t scores[t]. Where
  // begin = end scores become zero and nothing else changes. Scores from `count` to the end of its
  // vector become zero. scale > 0.
  Blend (*weigh)(float* scores, int32_t begin, int32_t end, int32_t count, float scale,
                 const float* factors, float* maximum, float* sum);

  // The same for n rows that see the same tokens, one at least, without factors. Rows of scores are
  // kTileTokens apart.
  void (*weigh_alike)(float* scores, int32_t n, int32_t begin, int32_t end, int32_t count,
                      float scale, float* maxima, float* sums, Blend* blends);

  // out[m] = before[m] * out[m] + tile[m] * sum_t weights[m * weights_stride + t] * rows[t], for m
  // < n; rows of `out` are out_stride floats apart. blends null: out[m] = the sum. Where rows are
  // packed, the weights are 0 to 1, those beyond rows.count as `weigh` leaves them, and are taken
  // as whole numbers of 15 bits; of 8 (packed_sums_simd.h) for int4 and int2 rows unless `fine`.
  void (*accumulate)(const PackedRows& rows, const float* weights, int64_t weights_stride,
                     const Blend* blends, int32_t n, bool fine, float* out, int64_t out_stride);

  // out[t] = rows[t] as floats, out_stride apart.
  void (*decode)(const PackedRows& rows, float* out, int64_t out_stride);

  // Float rows in 16-bit fixed point, for many queries: null where an instruction set multiplies no
  // more of such numbers than of floats. A query for score_fixed, FixedQuery(length).size bytes
  // (fixed_query.h).
  void (*fix_query)(const float* query, int32_t length, uint8_t* out) = nullptr;
  // scores[m * scores_stride + t] with queries query_stride bytes apart, as undefined beyond
  // rows.count as score_packed's.
  void (*score_fixed)(const PackedRows& rows, const uint8_t* queries, int64_t query_stride,
                      int32_t n, bool add, float* scores, int64_t scores_stride) = nullptr;
  // As accumulate, kTileTokens rows at most, weights 0 to 1, blends not null.
  void (*accumulate_fixed)(const PackedRows& rows, const float* weights, int64_t weights_stride,
                           const Blend* blends, int32_t n, float* out,
                           int64_t out_stride) = nullptr;
};

// Never null for a supported ISA; an ISA without its own file gets the next best.
const AttentionTileKernels& GetAttentionTileKernels(Isa isa);

const AttentionTileKernels& GenericAttentionTileKernels();
const AttentionTileKernels& Avx2AttentionTileKernels();     // x86 only
const AttentionTileKernels& AvxVnniAttentionTileKernels();  // x86 only
const AttentionTileKernels& Avx512AttentionTileKernels();   // x86 only
const AttentionTileKernels& NeonAttentionTileKernels();     // arm64 only
const AttentionTileKernels& DotprodAttentionTileKernels();  // arm64 only

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_TILE_KERNELS_H_
