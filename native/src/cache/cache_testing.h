// For tests: cache options in a line, a layout, rows through the codec.
#ifndef MLA_CACHE_CACHE_TESTING_H_
#define MLA_CACHE_CACHE_TESTING_H_

#include <cstdint>
#include <random>
#include <vector>

#include "cache/layout.h"
#include "cache/row_codec.h"

namespace mla {

// One type for all rows.
inline CacheOptions Of(CacheType type, int32_t residual = 0, int32_t sink = 0) {
  CacheOptions options;
  options.latent = options.rope = type;
  options.residual = residual;
  options.sink = sink;
  return options;
}

// Two rotary groups, two segments of odd sizes, key scalars.
inline LayerLayout TwoSegments() {
  LayerLayout layout;
  layout.heads = 4;
  layout.kv_heads = 2;
  layout.rope_groups = 2;
  layout.rope_dim = 6;
  layout.latent = 40;
  layout.segments = {{0, 33}, {33, 7}};
  layout.key_segment = {0, 0};
  layout.value_segment = {1, 1};
  layout.key_scalar = true;
  return layout;
}

inline std::vector<float> RandomRow(std::mt19937& random, int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<size_t>(n));
  for (float& x : row) x = normal(random);
  return row;
}

// What the cache gives back of a row.
inline std::vector<float> ThroughCodec(const RowFormat& format, const std::vector<float>& row) {
  std::vector<uint8_t> page(static_cast<size_t>(format.page_value_bytes()), 0xee);
  std::vector<uint16_t> scales(static_cast<size_t>(format.page_scale_bytes() / 2) + 1);
  std::vector<float> back(row.size());
  EncodeRow(format, row.data(), page.data(), scales.data());
  DecodeRow({format, page.data(), scales.data(), 1}, 0, back.data());
  return back;
}

}  // namespace mla
#endif  // MLA_CACHE_CACHE_TESTING_H_
