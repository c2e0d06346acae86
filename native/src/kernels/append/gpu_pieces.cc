#include <algorithm>

#include "cache/page_places.h"
#include "kernels/append/gpu.h"

namespace mla {
namespace {

constexpr int32_t kGroupsOfAPiece = 4;

// The arrays of one kind, rotary or latent, in pages of each kind.
struct Arrays {
  const std::vector<RowArray>& rows;
  const std::vector<RowArray>& exact;
  const std::vector<RowArray>& first;
};

void AddPieces(const Arrays& arrays, size_t array, int32_t group, GpuAppendPiece piece,
               std::vector<GpuAppendPiece>* pieces) {
  piece.rows = arrays.rows[array];
  piece.exact = arrays.exact[array];
  piece.first = arrays.first[array];
  const int32_t length = piece.rows.format.length, most = kGroupsOfAPiece * group;
  for (piece.begin = 0; piece.begin < length; piece.begin += most) {
    piece.count = std::min(most, length - piece.begin);
    pieces->push_back(piece);
  }
}

}  // namespace

std::vector<GpuAppendPiece> PlanGpuAppend(const CacheOptions& options, const LayerLayout& layout,
                                          bool norms_keys) {
  const PagePlaces rows = PlaceRows(options, layout);
  const PagePlaces exact = PlaceExactRows(options, layout, kPageTokens);
  const PagePlaces first = PlaceExactRows(options, layout, options.sink);
  // Of every segment, the KV head whose uncompressed keys it has.
  std::vector<int32_t> normed(layout.segments.size(), -1);
  std::vector<int32_t> rest(static_cast<size_t>(layout.kv_heads), 0);
  for (int32_t g = 0; norms_keys && !layout.key_scalar && g < layout.kv_heads; ++g) {
    const int32_t segment = layout.key_segment[static_cast<size_t>(g)];
    if (segment < 0) continue;
    normed[static_cast<size_t>(segment)] = g;
    rest[static_cast<size_t>(g)] = layout.segments[static_cast<size_t>(segment)].offset;
  }
  std::vector<GpuAppendPiece> pieces;
  for (size_t g = 0; g < rows.rope.size(); ++g) {
    GpuAppendPiece piece = {};
    piece.rope_group = static_cast<int32_t>(g);
    piece.source = piece.rope_group * layout.rope_dim;
    piece.kv_head = norms_keys ? piece.rope_group : -1;
    if (norms_keys) piece.rest = rest[g];
    AddPieces({rows.rope, exact.rope, first.rope}, g, options.group, piece, &pieces);
  }
  for (size_t s = 0; s < layout.segments.size(); ++s) {
    GpuAppendPiece piece = {};
    piece.rope_group = -1;
    piece.source = piece.rest = layout.segments[s].offset;
    piece.kv_head = normed[s];
    piece.weight = layout.rope_dim;
    AddPieces({rows.latent, exact.latent, first.latent}, s, options.group, piece, &pieces);
  }
  return pieces;
}

}  // namespace mla
