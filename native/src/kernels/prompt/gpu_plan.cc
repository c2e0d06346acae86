#include "kernels/prompt/gpu_plan.h"

#include <algorithm>

#include "cache/page_places.h"
#include "kernels/attention/rounding.h"
#include "kernels/matmul/gpu.h"

namespace mla {
namespace {

constexpr int64_t kScratchBytes = int64_t{64} << 20;
constexpr int32_t kLeastTokens = 256, kMostTokens = 2048;

// The pages of every form.
class Arrays {
 public:
  Arrays(const CacheOptions& options, const LayerLayout& layout)
      : places_{PlaceRows(options, layout), PlaceExactRows(options, layout, kPageTokens),
                PlaceExactRows(options, layout, options.sink)} {}

  GpuExpandPiece Rope(int32_t group) const {
    return Of([&](const PagePlaces& p) { return p.rope[static_cast<size_t>(group)]; });
  }
  GpuExpandPiece Latent(int32_t segment) const {
    return Of([&](const PagePlaces& p) { return p.latent[static_cast<size_t>(segment)]; });
  }
  int64_t scalars() const { return places_[kRowsForm].scalars; }

 private:
  template <typename Pick>
  GpuExpandPiece Of(const Pick& pick) const {
    GpuExpandPiece piece = {};
    for (int32_t form = 0; form < kRowForms; ++form) piece.rows[form] = pick(places_[form]);
    return piece;
  }

  const PagePlaces places_[kRowForms];  // by GpuRowForm
};

class Pieces {
 public:
  Pieces(const LayerLayout& layout, const GpuPromptSizes& sizes, const Arrays& arrays)
      : layout_(layout), sizes_(sizes), arrays_(arrays) {}

  std::vector<GpuExpandPiece> All() {
    AddRope();
    AddKeys();
    AddValues();
    return std::move(pieces_);
  }

 private:
  void Add(GpuExpandPiece piece, GpuExpandPiece::Target target, int32_t begin, int32_t end,
           int32_t kv_head, int32_t kv_heads) {
    if (begin == end) return;
    piece.target = target;
    piece.begin = begin;
    piece.end = end;
    piece.kv_head = kv_head;
    piece.kv_heads = kv_heads;
    pieces_.push_back(piece);
  }

  void AddRope() {
    if (sizes_.rope_dim == 0) return;
    const int32_t each = layout_.kv_heads / layout_.rope_groups;
    for (int32_t i = 0; i < layout_.rope_groups; ++i) {
      Add(arrays_.Rope(i), GpuExpandPiece::kKeys, 0, sizes_.rope_elements, i * each, each);
    }
  }

  void AddKeys() {
    if (sizes_.key_rank > 0) {
      Add(arrays_.Latent(layout_.key_segment[0]), GpuExpandPiece::kLatents, 0,
          RoundUp(sizes_.key_rank, 4), 0, 1);
      // The up-projection overwrites what is not behind it.
      const int32_t end = sizes_.rope_elements + sizes_.nope_dim;
      Add({}, GpuExpandPiece::kKeys, end / 4 * 4, sizes_.key_elements, 0, layout_.kv_heads);
      return;
    }
    for (int32_t g = 0; g < layout_.kv_heads; ++g) {
      const int32_t segment = layout_.key_segment[static_cast<size_t>(g)];
      Add(segment < 0 ? GpuExpandPiece{} : arrays_.Latent(segment), GpuExpandPiece::kKeys,
          sizes_.rope_elements, sizes_.key_elements, g, 1);
    }
  }

  void AddValues() {
    if (sizes_.value_rank > 0) {
      if (sizes_.value_latent == 0 && sizes_.key_rank > 0) return;  // the keys' own
      Add(arrays_.Latent(layout_.value_segment[0]), GpuExpandPiece::kLatents, sizes_.value_latent,
          sizes_.latent_elements, 0, 1);
      return;
    }
    for (int32_t g = 0; g < layout_.kv_heads; ++g) {
      Add(arrays_.Latent(layout_.value_segment[static_cast<size_t>(g)]), GpuExpandPiece::kValues, 0,
          sizes_.value_elements, g, 1);
    }
  }

  const LayerLayout& layout_;
  const GpuPromptSizes& sizes_;
  const Arrays& arrays_;
  std::vector<GpuExpandPiece> pieces_;
};

}  // namespace

std::optional<GpuPromptPlan> GpuPromptPlan::Create(const LayerLayout& layout,
                                                   const CacheOptions& options, int32_t key_up,
                                                   int32_t value_up, const GpuStream& stream) {
  const CacheOptions window = WindowOptions(options);
  const Arrays arrays(options, layout);
  GpuPromptPlan plan;
  GpuPromptSizes& s = plan.sizes_;
  s.heads = layout.heads;
  s.kv_heads = layout.kv_heads;
  s.rope_dim = layout.rope_dim;
  s.rope_elements = RoundUp(layout.rope_dim, 4);
  s.nope_dim = key_up;
  s.value_length = value_up;
  for (int32_t g = 0; g < layout.kv_heads; ++g) {
    if (key_up == 0) s.nope_dim = std::max(s.nope_dim, layout.key_length(g));
    if (value_up == 0) s.value_length = std::max(s.value_length, layout.value_length(g));
  }
  s.key_elements = RoundUp(s.rope_elements + s.nope_dim, 16);
  s.value_elements = RoundUp(s.value_length, 16);
  if (key_up > 0) s.key_rank = layout.key_length(0);
  if (value_up > 0) s.value_rank = layout.value_length(0);
  const bool joint = key_up > 0 && value_up > 0 && layout.key_segment[0] == layout.value_segment[0];
  s.latent_elements = s.value_latent = joint ? 0 : RoundUp(s.key_rank, 4);
  s.latent_elements += RoundUp(s.value_rank, 4);
  s.residual = window.residual;
  s.sink = window.sink;
  s.key_scalar = layout.key_scalar;
  s.page_scalars = arrays.scalars();
  if (plan.SharedBytes(kPromptRows) > stream.shared_bytes()) return std::nullopt;
  plan.pieces_ = Pieces(layout, s, arrays).All();
  return plan;
}

int32_t GpuPromptPlan::parts() const { return CeilDiv(sizes_.value_elements, part_elements()); }

int32_t GpuPromptPlan::SharedBytes(int32_t rows) const {
  // An odd number of 16 bytes from a row to the next: eight neighbours lie in different banks.
  const int32_t key_bytes = sizes_.key_elements * 2 + 16, value_bytes = part_elements() * 2 + 16;
  return rows * (key_bytes + 4) + kPromptTileTokens * (key_bytes + value_bytes + 4);
}

GpuPromptPlaces GpuPromptPlan::Places(int32_t queries, int32_t tokens) const {
  GpuPromptPlaces places = {};
  const auto take = [&](int64_t* at, int64_t bytes) {
    *at = places.bytes;
    places.bytes += RoundUp(bytes, kGpuAlignment);
  };
  const GpuPromptSizes& s = sizes_;
  const int64_t rows = int64_t{s.kv_heads} * tokens;
  take(&places.keys, rows * s.key_elements * 2);
  take(&places.values, rows * s.value_elements * 2);
  take(&places.scalars, s.key_scalar ? rows * 4 : 0);
  take(&places.latents, int64_t{tokens} * s.latent_elements * 4);
  take(&places.products,
       s.latent_elements == 0 ? 0 : GpuMatMulBytes(tokens, std::max(s.key_rank, s.value_rank)));
  take(&places.states, int64_t{parts()} * queries * s.heads * 8);
  return places;
}

int64_t GpuPromptPlan::WorkspaceBytes(int32_t queries, int32_t tokens) const {
  return Places(queries, tokens).bytes;
}

GpuTokens GpuPromptPlan::Seen(int32_t form, int32_t first, int32_t queries, int32_t window) const {
  const GpuSight sight = {window, sizes_.residual, sizes_.sink};
  const int32_t begin = sight.Of(form, first).begin;
  // None for each query is something between them.
  if (form == kExactForm && sizes_.residual == 0) return {begin, begin};
  return {begin, std::max(begin, sight.Of(form, first + queries - 1).end)};
}

int32_t GpuPromptPlan::Tokens(int32_t first, int32_t queries, int32_t window) const {
  int32_t all = 0;
  for (int32_t form = 0; form < kRowForms; ++form) {
    const GpuTokens seen = Seen(form, first, queries, window);
    all += RoundUp(seen.end - seen.begin, kPromptTileTokens);
  }
  const int64_t most = kScratchBytes / (WorkspaceBytes(0, kLeastTokens) / kLeastTokens);
  const int64_t whole = std::clamp<int64_t>(most, kLeastTokens, kMostTokens) / kPromptTileTokens;
  return std::min(all, static_cast<int32_t>(whole) * kPromptTileTokens);
}

std::vector<GpuPromptBatch> GpuPromptPlan::Batches(int32_t first, int32_t queries, int32_t window,
                                                   int32_t tokens) const {
  std::vector<GpuPromptBatch> batches = {{}};
  for (const int32_t form : {kFirstForm, kRowsForm, kExactForm}) {
    GpuTokens seen = Seen(form, first, queries, window);
    while (seen.begin < seen.end) {
      const int32_t at = RoundUp(batches.back().rows(), kPromptTileTokens);
      if (at == tokens) {
        batches.push_back({});
        continue;
      }
      GpuPromptBatch& batch = batches.back();
      const int32_t count = std::min(tokens - at, seen.end - seen.begin);
      batch.sections[batch.count++] = {form, seen.begin, count, at};
      seen.begin += count;
    }
  }
  return batches;
}

}  // namespace mla
