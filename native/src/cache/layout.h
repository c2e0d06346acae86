// How one layer's token lies in the cache: which rows, which slices, which types, how many bytes.
#ifndef MLA_CACHE_LAYOUT_H_
#define MLA_CACHE_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "cache/row_format.h"
#include "tensor/status.h"

namespace mla {

struct CacheOptions {
  CacheType latent = CacheType::kF16;
  CacheType rope = CacheType::kF16;
  int32_t group = 32;
  int32_t residual = 0;
  int32_t sink = 0;

  bool operator==(const CacheOptions&) const = default;
};

// A slice of the latent that is scored or summed as one: quantization groups start at its first
// element.
struct Segment {
  int32_t offset;  // in elements of the latent
  int32_t length;
};

// What a layer caches for each token (DESIGN, "One attention form"). Segments are disjoint,
// ascending, and cover the latent; a KV head's key range and value range are each one of them, and
// may be the same one.
struct LayerLayout {
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t rope_groups = 0;  // G: 1 or kv_heads (or 0 with rope_dim 0)
  int32_t rope_dim = 0;     // R a group, even
  int32_t latent = 0;       // C
  std::vector<Segment> segments;
  std::vector<int32_t> key_segment;    // [kv_heads], -1 where the head has no latent key
  std::vector<int32_t> value_segment;  // [kv_heads]
  bool key_scalar = false;             // a cached scalar a KV head multiplies the score

  int32_t key_length(int32_t kv_head) const;  // 0 where there is none
  int32_t value_length(int32_t kv_head) const;
  int32_t rope_group(int32_t kv_head) const { return rope_groups == 1 ? 0 : kv_head; }
};

// Errors name the field that contradicts another, and what was expected.
Status CheckLayout(const LayerLayout& layout);

}  // namespace mla
#endif  // MLA_CACHE_LAYOUT_H_
