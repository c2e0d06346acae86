#include "cache/page_places.h"

namespace mla {
namespace {

// Arrays of kPageTokens rows or scales keep every start at a multiple of 64 bytes, whatever their
// lengths.
void PlaceArrays(CacheType rope, CacheType latent, int32_t group, const LayerLayout& layout,
                 int32_t tokens, PagePlaces* places) {
  auto place = [&](CacheType type, int32_t length) {
    RowArray array{MakeRowFormat(type, length, group), places->page_bytes, 0};
    const int64_t values =
        array.format.packed() ? array.format.page_value_bytes() : array.format.stride * tokens;
    array.scales = array.values + values;
    places->page_bytes = array.scales + array.format.page_scale_bytes();
    return array;
  };
  if (layout.rope_dim > 0) {
    for (int32_t g = 0; g < layout.rope_groups; ++g) {
      places->rope.push_back(place(rope, layout.rope_dim));
    }
  }
  for (const Segment& segment : layout.segments) {
    places->latent.push_back(place(latent, segment.length));
  }
  if (latent != CacheType::kInt4 && latent != CacheType::kInt2) return;
  // Finer queries for the rotary rows alone would change nothing: a conversion's KL divergence from
  // its f16 cache was 0.0053 and 0.0052 (int4), 0.204 and 0.201 (int2) with 12 bits and with 7.
  for (RowArray& array : places->rope) array.format.query_digits = array.format.packed() ? 1 : 0;
}

}  // namespace

PagePlaces PlaceRows(const CacheOptions& options, const LayerLayout& layout) {
  PagePlaces places;
  PlaceArrays(options.rope, options.latent, options.group, layout, kPageTokens, &places);
  places.scalars = places.page_bytes;
  if (layout.key_scalar) {
    places.page_bytes +=
        int64_t{layout.kv_heads} * kPageTokens * static_cast<int64_t>(sizeof(float));
  }
  return places;
}

PagePlaces PlaceExactRows(const CacheOptions& options, const LayerLayout& layout, int32_t tokens) {
  auto exact = [](CacheType type) { return IsFloat(type) ? type : CacheType::kF16; };
  PagePlaces places;
  PlaceArrays(exact(options.rope), exact(options.latent), options.group, layout, tokens, &places);
  places.scalars = places.page_bytes;
  return places;
}

CacheOptions WindowOptions(const CacheOptions& options) {
  CacheOptions out = options;
  if (IsFloat(options.rope) && IsFloat(options.latent)) out.residual = out.sink = 0;
  return out;
}

}  // namespace mla
