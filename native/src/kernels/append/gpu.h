// What lies between a layer's projections and its attention on the GPU: norms of heads, rotation of
// queries and keys, and the rows of the cache, written quantized to where they belong.
#ifndef MLA_KERNELS_APPEND_GPU_H_
#define MLA_KERNELS_APPEND_GPU_H_

#include <cstdint>
#include <vector>

#include "cache/cache_view.h"
#include "cache/layout.h"
#include "cache/page_table.h"
#include "cuda/gpu_stream.h"
#include "kernels/rope/implementations.h"

namespace mla {

// Pointers are to the GPU's memory everywhere here; strides are in floats.

struct GpuRotation {
  RopeLayout layout = RopeLayout::kHalves;
  int32_t dims = 0;     // that turn, from a group's first on; the rest of its R stays as it is
  float factor = 1.0f;  // multiplies cos and sin
  const float* frequencies = nullptr;  // [groups][dims / 2]
  int64_t group_stride = 0;            // 0 where all groups have one table
};

// x / rms(x) * weight of heads: one weight vector for all (stride 0), or one for each.
struct GpuHeadNorm {
  const float* weight = nullptr;  // null: no such norm
  int64_t head_stride = 0;
};

// What one warp quantizes: up to four groups of a row of one array.
struct GpuAppendPiece {
  RowArray rows, exact, first;  // where the array is in pages of each kind
  int32_t source;               // the array's first element, in a row of rotary keys or of latents
  int32_t begin, count;         // of the array
  int32_t rope_group;           // -1: latent
  int32_t kv_head;              // whose key norm applies; -1: none
  int32_t weight;               // in the head's norm, that of the array's first element
  int32_t rest;                 // the head's elements besides the rotary ones, in a row of latents
};

// The pieces of a layer whose keys are normed here, or not.
std::vector<GpuAppendPiece> PlanGpuAppend(const CacheOptions& options, const LayerLayout& layout,
                                          bool norms_keys);

// One launch for a layer's rows of a step, of one sequence or of several whose caches have the same
// options. Rows are written as LatentCache::Write does, byte for byte, but for what stands for a
// NaN. What a recorded launch finds changed when it is replayed: positions and tables.
struct GpuAppend {
  int32_t n = 0;                            // rows
  const int32_t* positions = nullptr;       // [n]; negative: nothing is done for this row
  uint8_t* const* const* tables = nullptr;  // [n] page tables of the rows' caches

  // Rotary queries, in place; with norms or key scalars whole ones: the others follow at R. Null
  // where there is nothing to do.
  float* q = nullptr;  // [n][heads]
  int64_t q_stride = 0, q_head_stride = 0;
  const float* k = nullptr;  // [n][G * R], before norm and rotation
  int64_t k_stride = 0;
  const float* latent = nullptr;  // [n][C]
  int64_t latent_stride = 0;
  const float* k_nope = nullptr;  // [n][kv_heads][nope_dim] from the latent, for key scalars alone
  int64_t k_nope_stride = 0;

  GpuRotation rotation;
  // Of uncompressed keys; with key scalars the norm's weights go to rotary keys and to the queries'
  // others, and 1 / rms is what is cached.
  GpuHeadNorm q_norm, k_norm;
  float epsilon = 0.0f;
  bool norm_after_rotation = false;
  int32_t head_length = 0;  // of heads that are normed
  int32_t nope_dim = 0;     // of a key that is normed, besides its rotary part

  int32_t layer = 0;
  int32_t heads = 0, kv_heads = 0, rope_groups = 0, rope_dim = 0;
  const GpuAppendPiece* pieces = nullptr;
  int32_t piece_count = 0;
  PageTablePlaces places = {};
  bool window = false;  // exact rows are written
  int32_t sink = 0;     // first tokens that are written to the layer's first page
  bool key_scalar = false;
  int64_t scalars = 0;  // CacheView::scalars
};

namespace cuda {
void Launch(GpuStream& stream, const GpuAppend& args);
}  // namespace cuda
namespace emulated {
void Launch(GpuStream& stream, const GpuAppend& args);
}  // namespace emulated

}  // namespace mla
#endif  // MLA_KERNELS_APPEND_GPU_H_
