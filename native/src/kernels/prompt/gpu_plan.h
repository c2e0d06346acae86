// How a layer's context is expanded for a prompt, and what scratch that needs.
#ifndef MLA_KERNELS_PROMPT_GPU_PLAN_H_
#define MLA_KERNELS_PROMPT_GPU_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "cache/cache_view.h"
#include "cache/layout.h"
#include "cuda/gpu_stream.h"
#include "kernels/attention/gpu_seen.h"

namespace mla {

// Context that a block of threads has in shared memory at a time.
inline constexpr int32_t kPromptTileTokens = 64;
// Rows (pairs of a query and a head) of a block: so many at least.
inline constexpr int32_t kPromptRows = 64;

// What a token's row of an array becomes: elements [begin, end) of keys, of values or of latents,
// zeros behind the array's. Both are multiples of four.
struct GpuExpandPiece {
  enum Target : int32_t { kKeys, kValues, kLatents };

  RowArray rows[kRowForms];  // where it is in pages of each form; of length 0: nothing but zeros
  Target target;
  int32_t begin, end;
  int32_t kv_head, kv_heads;  // which get it: the first, and how many
};

// Elements of a head's key: R, zeros up to a multiple of four, the others, zeros up to one of 16.
struct GpuPromptSizes {
  int32_t heads, kv_heads;
  int32_t rope_dim, rope_elements, nope_dim, key_elements;
  int32_t value_length, value_elements;
  // Ranks of what is up-projected, 0: nothing is. A token's latents: those of keys, then those of
  // values from value_latent on.
  int32_t key_rank, value_rank;
  int32_t value_latent, latent_elements;
  int32_t residual, sink;
  bool key_scalar;
  int64_t page_scalars;  // CacheView::scalars

  constexpr int32_t group() const { return heads / kv_heads; }
};

// Scratch of `tokens`, in bytes from its beginning.
struct GpuPromptPlaces {
  int64_t keys;      // [kv_heads][tokens][key_elements] halves
  int64_t values;    // [kv_heads][tokens][value_elements] halves
  int64_t scalars;   // [kv_heads][tokens] floats
  int64_t latents;   // [tokens][latent_elements] floats
  int64_t products;  // of GpuHeadMatMul
  int64_t states;    // [value parts][queries][heads] pairs of maximum and total
  int64_t bytes;
};

// A run of neighbouring tokens of one form. In scratch it begins at row `at`, which is a multiple
// of kPromptTileTokens.
struct GpuPromptSection {
  int32_t form, position, tokens, at;
};

// What is expanded at a time, of at most every form one section.
struct GpuPromptBatch {
  int32_t count;
  GpuPromptSection sections[kRowForms];

  // Rows of scratch up to the last section's last token.
  constexpr int32_t rows() const {
    return count == 0 ? 0 : sections[count - 1].at + sections[count - 1].tokens;
  }
};

class GpuPromptPlan {
 public:
  // Up-projected keys have key_up elements besides the rotary ones, up-projected values value_up
  // elements; 0: the cache has them as they are. None where keys are longer than the stream's
  // shared memory has room for: such a layer is for absorbed attention alone.
  static std::optional<GpuPromptPlan> Create(const LayerLayout& layout, const CacheOptions& options,
                                             int32_t key_up, int32_t value_up,
                                             const GpuStream& stream);

  // For the GPU's memory.
  const std::vector<GpuExpandPiece>& pieces() const { return pieces_; }
  const GpuPromptSizes& sizes() const { return sizes_; }

  // How many tokens should be expanded at a time for `queries` after `first` tokens: all there are,
  // as far as their scratch is below 64 MiB, but 2,048 at most and 256 at least.
  int32_t Tokens(int32_t first, int32_t queries, int32_t window) const;
  int64_t WorkspaceBytes(int32_t queries, int32_t tokens) const;

  // For the launch.
  GpuPromptPlaces Places(int32_t queries, int32_t tokens) const;
  // Value elements of a block: 64 or 128.
  int32_t part_elements() const { return sizes_.value_elements > 64 ? 128 : 64; }
  int32_t parts() const;
  int32_t SharedBytes(int32_t rows) const;  // of a block of so many rows
  // All that the queries see, in order, batches of at most `tokens` rows of scratch.
  std::vector<GpuPromptBatch> Batches(int32_t first, int32_t queries, int32_t window,
                                      int32_t tokens) const;

 private:
  GpuPromptPlan() = default;
  GpuTokens Seen(int32_t form, int32_t first, int32_t queries, int32_t window) const;

  GpuPromptSizes sizes_ = {};
  std::vector<GpuExpandPiece> pieces_;
};

}  // namespace mla
#endif  // MLA_KERNELS_PROMPT_GPU_PLAN_H_
