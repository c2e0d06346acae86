#include "cache/latent_cache.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <string>
#include <utility>

#include "cache/group_packer.h"
#include "cache/page.h"
#include "cache/page_places.h"
#include "cache/row_codec.h"
#include "kernels/encode/encode.h"

namespace mla {
namespace {

int32_t PagesFor(int64_t tokens) {
  return static_cast<int32_t>((tokens + kPageTokens - 1) / kPageTokens);
}

Status CheckOptions(const CacheOptions& options) {
  if (options.group != 32 && options.group != 64) {
    return {MLA_INVALID_ARGUMENT,
            "cache group = " + std::to_string(options.group) + ", expected 32 or 64"};
  }
  if (options.residual < 0) {
    return {MLA_INVALID_ARGUMENT,
            "cache residual = " + std::to_string(options.residual) + ", expected 0 or more"};
  }
  if (options.sink < 0 || options.sink > kPageTokens) {
    return {MLA_INVALID_ARGUMENT, "cache sink = " + std::to_string(options.sink) +
                                      ", expected 0 to " + std::to_string(kPageTokens)};
  }
  return Status::Ok();
}

// One kind of rows of a layer. Pages that are not there are null.
struct PagedRows {
  // What rows lack for what is to be written.
  struct Growth {
    Page own;  // instead of a page that others have, too; null: none is needed
    std::vector<Page> added;
  };

  PagePlaces places;
  std::vector<Page> owned;
  // The same pages for readers; capacity for the whole context, so that views stay valid while
  // the cache grows.
  std::vector<const uint8_t*> pages;
  int32_t changed = 0;  // pages before this one are as the page table has them

  PageRows view() const { return {pages.data(), places.rope.data(), places.latent.data()}; }

  // Whether pages up to `count` are there, and page `begun` is not there or this cache's alone.
  bool HasOwn(int32_t begun, int32_t wanted) const {
    return count() >= wanted && (begun >= count() || !owned[static_cast<size_t>(begun)] ||
                                 !owned[static_cast<size_t>(begun)].IsShared());
  }
  // False: no memory.
  bool Prepare(PageMemory& memory, int32_t begun, int32_t wanted, Growth* growth) const {
    if (!HasOwn(begun, 0)) {
      growth->own = Page::Allocate(memory, places.page_bytes);
      if (!growth->own) return false;
      memory.Copy(growth->own.get(), owned[static_cast<size_t>(begun)].get(), places.page_bytes);
    }
    for (int32_t p = count(); p < wanted; ++p) {
      growth->added.push_back(Page::Allocate(memory, places.page_bytes));
      if (!growth->added.back()) return false;
    }
    return true;
  }
  void Grow(int32_t begun, Growth growth) {
    if (growth.own) {
      changed = std::min(changed, begun);
      pages[static_cast<size_t>(begun)] = growth.own.get();
      owned[static_cast<size_t>(begun)] = std::move(growth.own);
    }
    for (Page& page : growth.added) Add(std::move(page));
  }
  void Add(Page page) {
    changed = std::min(changed, count());
    pages.push_back(page.get());
    owned.push_back(std::move(page));
  }
  void Drop(int32_t page) {
    owned[static_cast<size_t>(page)] = {};
    pages[static_cast<size_t>(page)] = nullptr;
  }
  void Truncate(int32_t count) {
    owned.resize(std::min(owned.size(), static_cast<size_t>(count)));
    pages.resize(owned.size());
  }
  int32_t count() const { return static_cast<int32_t>(owned.size()); }
  int64_t bytes() const {
    return places.page_bytes *
           std::count_if(owned.begin(), owned.end(), [](const Page& page) { return bool{page}; });
  }
};

}  // namespace

struct LatentCache::State {
  struct Layer {
    LayerLayout layout;
    PagedRows rows;
    PagedRows exact;  // the window; empty where there is none
    PagedRows first;  // the sink, one page of `sink` tokens; empty where there is none
  };

  std::shared_ptr<PageMemory> memory;  // outlives the layers' pages
  CacheOptions options;
  int32_t context_length = 0;
  int32_t length = 0;
  int32_t written = 0;      // length, or beyond it within an append
  int32_t window_page = 0;  // pages of the window before this one are not there
  std::vector<Layer> layers;

  // The oldest token that a query at this position reads from the window.
  int32_t WindowBegin(int32_t position) const {
    return std::max(0, position - options.residual + 1);
  }
  // Whether all pages for so many tokens are there, and this cache's alone where it will write.
  bool HasOwnPages(int64_t tokens) const {
    const bool writes_sink = WritesSink(tokens);
    return std::all_of(layers.begin(), layers.end(), [&](const Layer& layer) {
      return layer.rows.HasOwn(length / kPageTokens, PagesFor(tokens)) &&
             (!writes_sink || layer.first.HasOwn(0, 1));
    });
  }
  bool WritesSink(int64_t tokens) const { return length < options.sink && tokens > 0; }
  void DropOldWindow();
  Status OutOfMemory(size_t layer, int64_t bytes) const {
    return {MLA_OUT_OF_MEMORY, "no memory for a cache page of " + std::to_string(bytes) +
                                   " bytes (layer " + std::to_string(layer) + ", " +
                                   std::to_string(length) + " tokens held)"};
  }
};

LatentCache::LatentCache(std::unique_ptr<State> state) : state_(std::move(state)) {}
LatentCache::~LatentCache() = default;

Result<std::unique_ptr<LatentCache>> LatentCache::Create(const CacheOptions& options,
                                                         std::vector<LayerLayout> layers,
                                                         int32_t context_length,
                                                         std::shared_ptr<PageMemory> memory) {
  Status checked = CheckOptions(options);
  if (!checked.ok()) return checked;
  if (context_length < 1) {
    return Status(MLA_INVALID_ARGUMENT,
                  "context_length = " + std::to_string(context_length) + ", expected at least 1");
  }
  auto state = std::make_unique<State>();
  state->memory = std::move(memory);
  state->options = WindowOptions(options);
  state->context_length = context_length;
  const size_t pages = static_cast<size_t>(PagesFor(context_length));
  for (size_t i = 0; i < layers.size(); ++i) {
    Status layout = CheckLayout(layers[i]);
    if (!layout.ok())
      return Status(layout.code(), "layer " + std::to_string(i) + ": " + layout.message());
    State::Layer layer;
    layer.rows.places = PlaceRows(options, layers[i]);
    layer.rows.pages.reserve(pages);
    layer.exact.places = PlaceExactRows(options, layers[i], kPageTokens);
    if (state->options.residual > 0) layer.exact.pages.reserve(pages);
    layer.first.places = PlaceExactRows(options, layers[i], state->options.sink);
    layer.first.pages.reserve(1);
    layer.layout = std::move(layers[i]);
    state->layers.push_back(std::move(layer));
  }
  return std::unique_ptr<LatentCache>(new LatentCache(std::move(state)));
}

double LatentCache::BytesPerToken(const CacheOptions& options,
                                  const std::vector<LayerLayout>& layers, int32_t context_length) {
  const CacheOptions window = WindowOptions(options);
  double rows = 0, exact = 0;
  for (const LayerLayout& layout : layers) {
    rows += static_cast<double>(PlaceRows(options, layout).page_bytes) / kPageTokens;
    exact +=
        static_cast<double>(PlaceExactRows(options, layout, kPageTokens).page_bytes) / kPageTokens;
  }
  if (context_length == 0) return rows;
  const double tokens =
      std::min(window.residual, context_length) + std::min(window.sink, context_length);
  return rows + exact * tokens / context_length;
}

int32_t LatentCache::length() const { return state_->length; }

Status LatentCache::Reserve(int32_t n) {
  const int64_t wanted = int64_t{state_->length} + n;
  if (n < 0 || wanted > state_->context_length) {
    return {MLA_CONTEXT_FULL, std::to_string(n) + " tokens after " +
                                  std::to_string(state_->length) + " do not fit the context of " +
                                  std::to_string(state_->context_length)};
  }
  // Nearly every token finds its pages there: nothing is allocated then.
  if (state_->HasOwnPages(wanted)) return Status::Ok();
  const int32_t pages = PagesFor(wanted);
  const int32_t begun = state_->length / kPageTokens;
  const int32_t first_pages = state_->WritesSink(wanted) ? 1 : 0;
  std::vector<PagedRows::Growth> rows(state_->layers.size()), first(state_->layers.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const State::Layer& layer = state_->layers[i];
    if (!layer.rows.Prepare(*state_->memory, begun, pages, &rows[i])) {
      return state_->OutOfMemory(i, layer.rows.places.page_bytes);
    }
    if (first_pages > 0 && !layer.first.Prepare(*state_->memory, 0, first_pages, &first[i])) {
      return state_->OutOfMemory(i, layer.first.places.page_bytes);
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    state_->layers[i].rows.Grow(begun, std::move(rows[i]));
    state_->layers[i].first.Grow(0, std::move(first[i]));
  }
  return Status::Ok();
}

Status LatentCache::ReserveWindow(int32_t rows) {
  if (state_->options.residual == 0) return Status::Ok();
  const int32_t pages = PagesFor(int64_t{state_->written} + rows);
  const int32_t begun = state_->written / kPageTokens;
  std::vector<State::Layer>& layers = state_->layers;
  if (std::all_of(layers.begin(), layers.end(),
                  [&](const State::Layer& layer) { return layer.exact.HasOwn(begun, pages); })) {
    return Status::Ok();
  }
  std::vector<PagedRows::Growth> exact(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!layers[i].exact.Prepare(*state_->memory, begun, pages, &exact[i])) {
      return state_->OutOfMemory(i, layers[i].exact.places.page_bytes);
    }
  }
  for (size_t i = 0; i < layers.size(); ++i) layers[i].exact.Grow(begun, std::move(exact[i]));
  return Status::Ok();
}

namespace {

// Neighbouring tokens of a page, their values so many floats apart.
struct TokenRows {
  int64_t slot;  // of the first
  int32_t count;
  const float* values;
  int64_t stride;
};

void WriteRows(const RowArray& array, uint8_t* page, const TokenRows& tokens, GroupPacker& packer) {
  const RowFormat& format = array.format;
  uint8_t* row = page + array.values + tokens.slot * format.stride;
  uint16_t* scales = reinterpret_cast<uint16_t*>(page + array.scales) + tokens.slot;
  if (format.packed()) {
    if (tokens.count > 1) {
      GetEncodeKernels().pack(format, tokens.values, tokens.stride, tokens.count, row, scales);
    } else {
      packer.Add(format, tokens.values, row, scales);
    }
    return;
  }
  for (int32_t t = 0; t < tokens.count; ++t, row += format.stride) {
    const float* values = tokens.values + t * tokens.stride;
    if (format.type == CacheType::kF32) {
      EncodeRow(format, values, row, nullptr);
    } else {
      const EncodeKernels& kernels = GetEncodeKernels();
      const auto convert = format.type == CacheType::kF16 ? kernels.to_halves : kernels.to_bfloats;
      convert(values, format.length, reinterpret_cast<uint16_t*>(row));
    }
  }
}

// What is written of some tokens.
struct Tokens {
  int32_t first, count;
  const float* rope;
  int64_t rope_stride;
  const float* latent;
  int64_t latent_stride;
};

// All rows of tokens of one page.
void WriteTokens(const PagedRows& rows, const LayerLayout& layout, const Tokens& tokens,
                 GroupPacker& packer) {
  uint8_t* page = rows.owned[static_cast<size_t>(tokens.first / kPageTokens)].get();
  const int64_t slot = tokens.first % kPageTokens;
  for (size_t g = 0; g < rows.places.rope.size(); ++g) {
    WriteRows(rows.places.rope[g], page,
              {slot, tokens.count, tokens.rope + static_cast<int64_t>(g) * layout.rope_dim,
               tokens.rope_stride},
              packer);
  }
  for (size_t s = 0; s < rows.places.latent.size(); ++s) {
    WriteRows(rows.places.latent[s], page,
              {slot, tokens.count, tokens.latent + layout.segments[s].offset, tokens.latent_stride},
              packer);
  }
}

}  // namespace

void LatentCache::Write(int32_t layer, int32_t first, int32_t n, const float* rope,
                        int64_t rope_stride, const float* latent, int64_t latent_stride,
                        const float* scalars, int64_t scalars_stride, GroupPacker& packer) {
  const State::Layer& to = state_->layers[static_cast<size_t>(layer)];
  assert(PagesFor(int64_t{first} + n) <= to.rows.count());
  for (int32_t done = 0; done < n;) {
    const int32_t position = first + done;
    const int32_t some = std::min({n - done, kEncodedTokens, kPageTokens - position % kPageTokens});
    Tokens tokens = {
        position,     some, rope + done * rope_stride, rope_stride, latent + done * latent_stride,
        latent_stride};
    WriteTokens(to.rows, to.layout, tokens, packer);
    if (state_->options.residual > 0) WriteTokens(to.exact, to.layout, tokens, packer);
    if (position < state_->options.sink) {
      tokens.count = std::min(some, state_->options.sink - position);
      WriteTokens(to.first, to.layout, tokens, packer);
    }
    done += some;
  }
  if (!to.layout.key_scalar) return;
  for (int32_t i = 0; i < n; ++i) {
    const int32_t position = first + i;
    uint8_t* page = to.rows.owned[static_cast<size_t>(position / kPageTokens)].get();
    float* column =
        reinterpret_cast<float*>(page + to.rows.places.scalars) + position % kPageTokens;
    for (int32_t g = 0; g < to.layout.kv_heads; ++g)
      column[int64_t{g} * kPageTokens] = scalars[i * scalars_stride + g];
  }
}

// Kept is what the next query reads, and what the next one after a failed append would.
void LatentCache::State::DropOldWindow() {
  const int32_t next = WindowBegin(written) / kPageTokens;
  const int32_t kept_begin = WindowBegin(length) / kPageTokens;
  const int32_t kept_end = PagesFor(length);
  for (Layer& layer : layers) {
    for (int32_t p = window_page; p < std::min(next, layer.exact.count()); ++p) {
      if (p < kept_begin || p >= kept_end) layer.exact.Drop(p);
    }
  }
  window_page = std::min(next, kept_begin);
}

void LatentCache::Advance(int32_t length) {
  state_->written = length;
  state_->DropOldWindow();
}

void LatentCache::SetLength(int32_t length) {
  if (length <= state_->written) {
    for (State::Layer& layer : state_->layers) {
      layer.rows.Truncate(PagesFor(length));
      layer.exact.Truncate(PagesFor(length));
      if (length == 0) layer.first.Truncate(0);
    }
    state_->window_page = std::min(state_->window_page, PagesFor(length));
  }
  state_->length = state_->written = length;
  state_->DropOldWindow();
}

bool LatentCache::HasWindowOf(int32_t length) const {
  if (state_->options.residual == 0) return true;
  for (int32_t p = state_->WindowBegin(length) / kPageTokens; p < PagesFor(length); ++p) {
    if (state_->layers[0].exact.pages[static_cast<size_t>(p)] == nullptr) return false;
  }
  return true;
}

std::unique_ptr<LatentCache> LatentCache::Fork() const {
  auto state = std::make_unique<State>(*state_);
  const size_t pages = static_cast<size_t>(PagesFor(state->context_length));
  for (State::Layer& layer : state->layers) {
    // A copied vector has room for what it holds.
    layer.rows.pages.reserve(pages);
    if (state->options.residual > 0) layer.exact.pages.reserve(pages);
    layer.first.pages.reserve(1);
    // The fork's page table has nothing yet.
    layer.rows.changed = layer.exact.changed = layer.first.changed = 0;
  }
  return std::unique_ptr<LatentCache>(new LatentCache(std::move(state)));
}

Status LatentCache::Restore(int32_t length) {
  assert(state_->length == 0 && state_->written == 0);
  if (Status status = Reserve(length); !status.ok()) return status;
  if (state_->options.residual > 0) {
    const int32_t begin = state_->WindowBegin(length) / kPageTokens;
    for (size_t i = 0; i < state_->layers.size(); ++i) {
      PagedRows& exact = state_->layers[i].exact;
      for (int32_t p = 0; p < PagesFor(length); ++p) {
        Page page = p < begin ? Page() : Page::Allocate(*state_->memory, exact.places.page_bytes);
        if (p >= begin && !page) {
          return state_->OutOfMemory(i, exact.places.page_bytes);
        }
        exact.Add(std::move(page));
      }
    }
    state_->window_page = std::min(begin, PagesFor(length));
  }
  state_->length = state_->written = length;
  return Status::Ok();
}

std::vector<PageMemory::Span> LatentCache::Spans() const {
  std::vector<PageMemory::Span> spans;
  for (const State::Layer& layer : state_->layers) {
    for (const PagedRows* rows : {&layer.rows, &layer.exact, &layer.first}) {
      for (const Page& page : rows->owned) {
        if (page) spans.push_back({page.get(), rows->places.page_bytes});
      }
    }
  }
  return spans;
}

Status LatentCache::ReadPages(
    const std::function<void(const uint8_t* page, int64_t bytes)>& visit) const {
  return state_->memory->Read(Spans(), visit);
}

Status LatentCache::FillPages(const std::function<void(uint8_t* page, int64_t bytes)>& fill) {
  return state_->memory->Fill(Spans(), fill);
}

CacheView LatentCache::View(int32_t layer) const {
  const State::Layer& from = state_->layers[static_cast<size_t>(layer)];
  return {from.rows.view(),         from.exact.view(),    from.first.view(),
          state_->options.residual, state_->options.sink, from.rows.places.scalars};
}

Status LatentCache::UpdatePageTable() {
  const PageTablePlaces places = page_table_places();
  int32_t begin = std::numeric_limits<int32_t>::max(), end = 0;
  for (const State::Layer& layer : state_->layers) {
    for (const PagedRows* rows : {&layer.rows, &layer.exact, &layer.first}) {
      if (rows->changed >= rows->count()) continue;
      begin = std::min(begin, rows->changed);
      end = std::max(end, rows->count());
    }
  }
  if (begin >= end) return Status::Ok();
  if (table_ == nullptr) {
    const int64_t lines = int64_t{1} + PagesFor(state_->context_length);
    table_ = std::make_unique<PageTable>(lines * places.columns);
  }
  for (int32_t l = 0; l < places.layers; ++l) {
    const State::Layer& layer = state_->layers[static_cast<size_t>(l)];
    if (begin == 0 && layer.first.count() > 0) {
      (*table_)[places.First(l)] = layer.first.owned[0].get();
    }
    for (int32_t p = begin; p < layer.rows.count(); ++p) {
      (*table_)[places.Rows(l, p)] = layer.rows.owned[static_cast<size_t>(p)].get();
    }
    for (int32_t p = begin; p < layer.exact.count(); ++p) {
      (*table_)[places.Exact(l, p)] = layer.exact.owned[static_cast<size_t>(p)].get();
    }
  }
  // First pages change with page 0 alone.
  const int64_t first_line = begin == 0 ? 0 : int64_t{begin} + 1;
  const int64_t last_line = int64_t{end} + 1;
  if (Status status =
          table_->Upload(*state_->memory, first_line * places.columns, last_line * places.columns);
      !status.ok()) {
    return status;
  }
  for (State::Layer& layer : state_->layers) {
    for (PagedRows* rows : {&layer.rows, &layer.exact, &layer.first}) {
      rows->changed = rows->count();
    }
  }
  return Status::Ok();
}

uint8_t* const* LatentCache::page_table() const {
  return table_ == nullptr ? nullptr : table_->data();
}

PageTablePlaces LatentCache::page_table_places() const {
  const int32_t layers = static_cast<int32_t>(state_->layers.size());
  return {layers, state_->options.residual > 0 ? 2 * layers : layers};
}

int64_t LatentCache::bytes() const {
  int64_t bytes = 0;
  for (const State::Layer& layer : state_->layers) {
    bytes += layer.rows.bytes() + layer.exact.bytes() + layer.first.bytes();
  }
  return bytes;
}

}  // namespace mla
