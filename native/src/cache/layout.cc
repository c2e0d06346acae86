#include "cache/layout.h"

#include <string>

namespace mla {
namespace {

Status Invalid(std::string what) {
  return {MLA_INVALID_ARGUMENT, "cache layout: " + std::move(what)};
}

std::string Shown(const char* name, int64_t value) {
  return std::string(name) + " = " + std::to_string(value);
}

Status CheckSegmentMap(const char* name, const std::vector<int32_t>& map, int32_t kv_heads,
                       int32_t least, size_t segments) {
  if (map.size() != static_cast<size_t>(kv_heads)) {
    return Invalid(Shown(name, static_cast<int64_t>(map.size())) +
                   " entries, expected one a KV head (" + std::to_string(kv_heads) + ")");
  }
  for (int32_t segment : map) {
    if (segment < least || segment >= static_cast<int32_t>(segments)) {
      return Invalid(Shown(name, segment) + ", expected " + std::to_string(least) + " .. " +
                     std::to_string(static_cast<int64_t>(segments) - 1));
    }
  }
  return Status::Ok();
}

}  // namespace

int32_t LayerLayout::key_length(int32_t kv_head) const {
  const int32_t segment = key_segment[static_cast<size_t>(kv_head)];
  return segment < 0 ? 0 : segments[static_cast<size_t>(segment)].length;
}

int32_t LayerLayout::value_length(int32_t kv_head) const {
  const int32_t segment = value_segment[static_cast<size_t>(kv_head)];
  return segment < 0 ? 0 : segments[static_cast<size_t>(segment)].length;
}

Status CheckLayout(const LayerLayout& layout) {
  if (layout.heads < 1 || layout.kv_heads < 1 || layout.heads % layout.kv_heads != 0) {
    return Invalid(Shown("heads", layout.heads) + ", " + Shown("kv_heads", layout.kv_heads) +
                   ", expected a positive multiple of a positive number");
  }
  if (layout.rope_dim < 0 || layout.rope_dim % 2 != 0) {
    return Invalid(Shown("rope_dim", layout.rope_dim) + ", expected an even number");
  }
  const bool no_rope = layout.rope_groups == 0 && layout.rope_dim == 0;
  if (!no_rope && layout.rope_groups != 1 && layout.rope_groups != layout.kv_heads) {
    return Invalid(Shown("rope_groups", layout.rope_groups) + ", expected 1 or " +
                   Shown("kv_heads", layout.kv_heads) + " (0 where rope_dim is 0)");
  }
  int64_t covered = 0;
  for (const Segment& segment : layout.segments) {
    if (segment.offset != covered || segment.length < 1) {
      return Invalid("a segment at " + std::to_string(segment.offset) + " of length " +
                     std::to_string(segment.length) + ", expected a positive length from " +
                     std::to_string(covered) + " on");
    }
    covered += segment.length;
  }
  if (covered != layout.latent) {
    return Invalid("segments cover " + std::to_string(covered) + " elements of " +
                   Shown("latent", layout.latent));
  }
  Status keys = CheckSegmentMap("key_segment", layout.key_segment, layout.kv_heads, -1,
                                layout.segments.size());
  if (!keys.ok()) return keys;
  return CheckSegmentMap("value_segment", layout.value_segment, layout.kv_heads, 0,
                         layout.segments.size());
}

}  // namespace mla
