#include "cache/latent_cache.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>

#include "cache/row_codec.h"

namespace mla {
namespace {

constexpr int64_t kPageAlignment = 64;

struct FreePage {
  void operator()(uint8_t* page) const { std::free(page); }
};
using Page = std::unique_ptr<uint8_t, FreePage>;

const char* TypeName(CacheType type) {
  switch (type) {
    case CacheType::kF32:
      return "f32";
    case CacheType::kF16:
      return "f16";
    case CacheType::kInt8:
      return "int8";
    case CacheType::kInt4:
      return "int4";
    case CacheType::kInt2:
      return "int2";
  }
  return "unknown";
}

// Where everything of a layer lies in one of its pages.
struct LayerPlaces {
  std::vector<RowArray> rope;
  std::vector<RowArray> latent;
  int64_t scalars = 0;
  int64_t page_bytes = 0;  // kPageTokens tokens
};

LayerPlaces PlaceLayer(const CacheOptions& options, const LayerLayout& layout) {
  LayerPlaces places;
  int64_t at = 0;
  // Arrays of kPageTokens rows or scales keep every start at a multiple of 64 bytes, whatever their
  // lengths.
  auto place = [&at](CacheType type, int32_t length, int32_t group) {
    RowArray array{MakeRowFormat(type, length, group), at, 0};
    array.scales = array.values + array.format.page_value_bytes();
    at = array.scales + array.format.page_scale_bytes();
    return array;
  };
  if (layout.rope_dim > 0) {
    for (int32_t g = 0; g < layout.rope_groups; ++g) {
      places.rope.push_back(place(options.rope, layout.rope_dim, options.group));
    }
  }
  for (const Segment& segment : layout.segments) {
    places.latent.push_back(place(options.latent, segment.length, options.group));
  }
  places.scalars = at;
  if (layout.key_scalar)
    at += int64_t{layout.kv_heads} * kPageTokens * static_cast<int64_t>(sizeof(float));
  places.page_bytes = at;
  return places;
}

Status CheckOptions(const CacheOptions& options) {
  for (CacheType type : {options.latent, options.rope}) {
    if (!HasRowCodec(type)) {
      return {MLA_UNSUPPORTED, std::string("cache type ") + TypeName(type) +
                                   " is not supported by this build; expected f32, f16 or int8"};
    }
  }
  if (options.group != 32 && options.group != 64) {
    return {MLA_INVALID_ARGUMENT,
            "cache group = " + std::to_string(options.group) + ", expected 32 or 64"};
  }
  if (options.residual > 0 || options.sink > 0) {
    return {MLA_UNSUPPORTED,
            "cache residual = " + std::to_string(options.residual) +
                ", sink = " + std::to_string(options.sink) +
                ": windows kept in f16 are not supported by this build; expected 0"};
  }
  return Status::Ok();
}

int64_t PagesFor(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

}  // namespace

struct LatentCache::State {
  struct Layer {
    LayerLayout layout;
    LayerPlaces places;
    std::vector<Page> owned;
    // The same pages for readers; capacity for the whole context, so that views stay valid while
    // the cache grows.
    std::vector<const uint8_t*> pages;
  };

  int32_t context_length = 0;
  int32_t length = 0;
  std::vector<Layer> layers;
};

LatentCache::LatentCache(std::unique_ptr<State> state) : state_(std::move(state)) {}
LatentCache::~LatentCache() = default;

Result<std::unique_ptr<LatentCache>> LatentCache::Create(const CacheOptions& options,
                                                         std::vector<LayerLayout> layers,
                                                         int32_t context_length) {
  Status checked = CheckOptions(options);
  if (!checked.ok()) return checked;
  if (context_length < 1) {
    return Status(MLA_INVALID_ARGUMENT,
                  "context_length = " + std::to_string(context_length) + ", expected at least 1");
  }
  auto state = std::make_unique<State>();
  state->context_length = context_length;
  for (size_t i = 0; i < layers.size(); ++i) {
    Status layout = CheckLayout(layers[i]);
    if (!layout.ok())
      return Status(layout.code(), "layer " + std::to_string(i) + ": " + layout.message());
    State::Layer layer;
    layer.places = PlaceLayer(options, layers[i]);
    layer.layout = std::move(layers[i]);
    const size_t most = static_cast<size_t>(PagesFor(context_length));
    layer.owned.reserve(most);
    layer.pages.reserve(most);
    state->layers.push_back(std::move(layer));
  }
  return std::unique_ptr<LatentCache>(new LatentCache(std::move(state)));
}

double LatentCache::BytesPerToken(const CacheOptions& options,
                                  const std::vector<LayerLayout>& layers) {
  int64_t page_bytes = 0;
  for (const LayerLayout& layout : layers) page_bytes += PlaceLayer(options, layout).page_bytes;
  return static_cast<double>(page_bytes) / kPageTokens;
}

int32_t LatentCache::length() const { return state_->length; }

Status LatentCache::Reserve(int32_t n) {
  const int64_t wanted = int64_t{state_->length} + n;
  if (n < 0 || wanted > state_->context_length) {
    return {MLA_CONTEXT_FULL, std::to_string(n) + " tokens after " +
                                  std::to_string(state_->length) + " do not fit the context of " +
                                  std::to_string(state_->context_length)};
  }
  const size_t pages = static_cast<size_t>(PagesFor(wanted));
  std::vector<std::vector<Page>> grown(state_->layers.size());
  for (size_t i = 0; i < grown.size(); ++i) {
    const State::Layer& layer = state_->layers[i];
    const int64_t bytes = std::max(layer.places.page_bytes, kPageAlignment);
    for (size_t p = layer.owned.size(); p < pages; ++p) {
      Page page(
          static_cast<uint8_t*>(std::aligned_alloc(kPageAlignment, static_cast<size_t>(bytes))));
      if (page == nullptr) {
        return {MLA_OUT_OF_MEMORY, "no memory for a cache page of " + std::to_string(bytes) +
                                       " bytes (layer " + std::to_string(i) + ", " +
                                       std::to_string(wanted) + " tokens)"};
      }
      grown[i].push_back(std::move(page));
    }
  }
  for (size_t i = 0; i < grown.size(); ++i) {
    for (Page& page : grown[i]) {
      state_->layers[i].pages.push_back(page.get());
      state_->layers[i].owned.push_back(std::move(page));
    }
  }
  return Status::Ok();
}

void LatentCache::Write(int32_t layer, int32_t first, int32_t n, const float* rope,
                        int64_t rope_stride, const float* latent, int64_t latent_stride,
                        const float* scalars, int64_t scalars_stride) {
  const State::Layer& to = state_->layers[static_cast<size_t>(layer)];
  assert(PagesFor(int64_t{first} + n) <= static_cast<int64_t>(to.owned.size()));
  for (int32_t i = 0; i < n; ++i) {
    const int32_t position = first + i;
    uint8_t* page = to.owned[static_cast<size_t>(position / kPageTokens)].get();
    const int64_t slot = position % kPageTokens;
    auto write = [page, slot](const RowArray& array, const float* values) {
      EncodeRow(array.format, values, page + array.values + slot * array.format.stride,
                reinterpret_cast<uint16_t*>(page + array.scales) + slot);
    };
    for (size_t g = 0; g < to.places.rope.size(); ++g) {
      write(to.places.rope[g],
            rope + i * rope_stride + static_cast<int64_t>(g) * to.layout.rope_dim);
    }
    for (size_t s = 0; s < to.places.latent.size(); ++s) {
      write(to.places.latent[s], latent + i * latent_stride + to.layout.segments[s].offset);
    }
    if (!to.layout.key_scalar) continue;
    float* column = reinterpret_cast<float*>(page + to.places.scalars) + slot;
    for (int32_t g = 0; g < to.layout.kv_heads; ++g)
      column[int64_t{g} * kPageTokens] = scalars[i * scalars_stride + g];
  }
}

void LatentCache::SetLength(int32_t length) {
  if (length < state_->length) {
    const size_t pages = static_cast<size_t>(PagesFor(length));
    for (State::Layer& layer : state_->layers) {
      layer.owned.resize(std::min(layer.owned.size(), pages));
      layer.pages.resize(layer.owned.size());
    }
  }
  state_->length = length;
}

CacheView LatentCache::View(int32_t layer) const {
  const State::Layer& from = state_->layers[static_cast<size_t>(layer)];
  return {from.pages.data(), from.places.rope.data(), from.places.latent.data(),
          from.places.scalars};
}

int64_t LatentCache::bytes() const {
  int64_t bytes = 0;
  for (const State::Layer& layer : state_->layers) {
    bytes += static_cast<int64_t>(layer.owned.size()) * layer.places.page_bytes;
  }
  return bytes;
}

}  // namespace mla
