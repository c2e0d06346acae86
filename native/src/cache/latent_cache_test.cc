// The cache's bookkeeping, over pages of the host's memory and of an emulated GPU's, which is as
// well the host's: Write stands in for the kernel there (kernels/append/append_gpu_test.cc has
// both).
#include "cache/latent_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "cache/cache_testing.h"
#include "cache/gpu_page_memory.h"
#include "cache/row_codec.h"
#include "cuda/emulator_testing.h"

namespace mla {
namespace {

enum class Place { kHost, kGpu };

std::shared_ptr<PageMemory> MemoryOf(Place place) {
  if (place == Place::kHost) return HostMemory();
  return std::make_shared<GpuPageMemory>(std::make_shared<Emulator>());
}

// What a test wrote, to compare with what the cache gives back.
struct Written {
  std::vector<float> rope, latent, scalars;
};

Written WriteRandom(LatentCache& cache, const LayerLayout& layout, int32_t layer, int32_t first,
                    int32_t n, std::mt19937& random) {
  const int64_t rope = int64_t{layout.rope_groups} * layout.rope_dim;
  Written w{RandomRow(random, n * rope), RandomRow(random, int64_t{n} * layout.latent),
            RandomRow(random, int64_t{n} * layout.kv_heads)};
  {
    GroupPacker packer;
    cache.Write(layer, first, n, w.rope.data(), rope, w.latent.data(), layout.latent,
                w.scalars.data(), layout.kv_heads, packer);
  }
  return w;
}

void ExpectRow(const PageRows& rows, const RowArray& array, int32_t position,
               const float* expected) {
  const std::vector<float> values(expected, expected + array.format.length);
  std::vector<float> actual(values.size());
  const int32_t slot = array.format.packed() ? position % kPageTokens : 0;
  DecodeRow(rows.Rows(array, position, slot + 1), slot, actual.data());
  EXPECT_EQ(actual, ThroughCodec(array.format, values)) << "position " << position;
}

void ExpectRows(const PageRows& rows, const LayerLayout& layout, int32_t first, int32_t n,
                const Written& w) {
  for (int32_t i = 0; i < n; ++i) {
    for (int32_t g = 0; g < layout.rope_groups; ++g) {
      ExpectRow(rows, rows.rope[g], first + i,
                &w.rope[static_cast<size_t>((i * layout.rope_groups + g) * layout.rope_dim)]);
    }
    for (size_t s = 0; s < layout.segments.size(); ++s) {
      ExpectRow(rows, rows.latent[s], first + i,
                &w.latent[static_cast<size_t>(i * layout.latent + layout.segments[s].offset)]);
    }
  }
}

void ExpectCached(const LatentCache& cache, const LayerLayout& layout, int32_t layer, int32_t first,
                  int32_t n, const Written& w) {
  const CacheView view = cache.View(layer);
  ExpectRows(view.rows, layout, first, n, w);
  for (int32_t i = 0; i < n; ++i) {
    for (int32_t g = 0; layout.key_scalar && g < layout.kv_heads; ++g) {
      EXPECT_EQ(*view.Scalars(g, first + i),
                w.scalars[static_cast<size_t>(i * layout.kv_heads + g)]);
    }
  }
}

class LatentCacheTypes : public testing::TestWithParam<std::tuple<CacheType, Place>> {
 protected:
  CacheOptions options() const { return Of(std::get<CacheType>(GetParam())); }
  std::unique_ptr<LatentCache> Make(int32_t context_length) {
    auto cache = LatentCache::Create(options(), {layout_, layout_}, context_length,
                                     MemoryOf(std::get<Place>(GetParam())));
    EXPECT_TRUE(cache.ok()) << cache.status().message();
    return std::move(cache.value());
  }
  LayerLayout layout_ = TwoSegments();
  std::mt19937 random_{3};
};

TEST_P(LatentCacheTypes, GivesBackWhatWasWrittenAcrossPages) {
  auto cache = Make(300);
  const CacheView early = cache->View(1);
  ASSERT_TRUE(cache->Reserve(150).ok());
  const Written first = WriteRandom(*cache, layout_, 1, 0, 150, random_);
  cache->SetLength(150);
  ASSERT_TRUE(cache->Reserve(150).ok());
  const Written second = WriteRandom(*cache, layout_, 1, 150, 150, random_);
  cache->SetLength(300);
  ExpectCached(*cache, layout_, 1, 0, 150, first);
  ExpectCached(*cache, layout_, 1, 150, 150, second);
  EXPECT_EQ(early.rows.pages, cache->View(1).rows.pages)
      << "a view stays valid while the cache grows";
  EXPECT_EQ(cache->length(), 300);
}

TEST_P(LatentCacheTypes, RewindsAndWritesAgain) {
  auto cache = Make(256);
  ASSERT_TRUE(cache->Reserve(200).ok());
  const Written kept = WriteRandom(*cache, layout_, 0, 0, 70, random_);
  WriteRandom(*cache, layout_, 0, 70, 130, random_);
  cache->SetLength(200);
  const int64_t full = cache->bytes();
  cache->SetLength(70);
  EXPECT_LT(cache->bytes(), full);
  ASSERT_TRUE(cache->Reserve(60).ok());
  const Written again = WriteRandom(*cache, layout_, 0, 70, 60, random_);
  cache->SetLength(130);
  ExpectCached(*cache, layout_, 0, 0, 70, kept);
  ExpectCached(*cache, layout_, 0, 70, 60, again);
  cache->SetLength(0);
  EXPECT_EQ(cache->bytes(), 0);
}

TEST_P(LatentCacheTypes, BytesAreThoseOfWholePages) {
  auto cache = Make(300);
  const double per_token = LatentCache::BytesPerToken(options(), {layout_, layout_}, 0);
  EXPECT_EQ(cache->bytes(), 0);
  ASSERT_TRUE(cache->Reserve(1).ok());
  EXPECT_EQ(static_cast<double>(cache->bytes()), per_token * kPageTokens);
  cache->SetLength(64);
  ASSERT_TRUE(cache->Reserve(1).ok());
  EXPECT_EQ(static_cast<double>(cache->bytes()), per_token * 2 * kPageTokens);
}

INSTANTIATE_TEST_SUITE_P(Everywhere, LatentCacheTypes,
                         testing::Combine(testing::Values(CacheType::kF32, CacheType::kF16,
                                                          CacheType::kInt8, CacheType::kInt4,
                                                          CacheType::kInt2, CacheType::kBf16),
                                          testing::Values(Place::kHost, Place::kGpu)));

TEST(LatentCache, BytesPerTokenOfEveryType) {
  auto bytes = [](CacheType latent, CacheType rope) {
    CacheOptions options;
    options.latent = latent;
    options.rope = rope;
    return LatentCache::BytesPerToken(options, {TwoSegments()}, 0);
  };
  const double scalars = 2 * 4;
  EXPECT_EQ(bytes(CacheType::kF32, CacheType::kF32), 2 * 24 + 40 * 4 + scalars);
  EXPECT_EQ(bytes(CacheType::kF16, CacheType::kF16), 2 * 12 + 40 * 2 + scalars);
  EXPECT_EQ(bytes(CacheType::kBf16, CacheType::kF32), 2 * 24 + 40 * 2 + scalars);
  const double int8_rope = 2 * (8 + 2);
  EXPECT_EQ(bytes(CacheType::kInt8, CacheType::kInt8), int8_rope + (36 + 4) + (8 + 2) + scalars);
  EXPECT_EQ(bytes(CacheType::kInt4, CacheType::kInt8), int8_rope + (20 + 8) + (4 + 4) + scalars);
  EXPECT_EQ(bytes(CacheType::kInt2, CacheType::kInt8), int8_rope + (12 + 8) + (4 + 4) + scalars);
}

TEST(LatentCache, RefusesWhatItCannotDoInWords) {
  auto status = [](CacheOptions options, LayerLayout layout, int32_t context_length) {
    return LatentCache::Create(options, {std::move(layout)}, context_length).status();
  };
  CacheOptions sink;
  sink.sink = 65;
  EXPECT_EQ(status(sink, TwoSegments(), 10).code(), MLA_INVALID_ARGUMENT);
  EXPECT_NE(status(sink, TwoSegments(), 10).message().find("0 to 64"), std::string::npos);
  CacheOptions window;
  window.residual = -1;
  EXPECT_EQ(status(window, TwoSegments(), 10).code(), MLA_INVALID_ARGUMENT);
  CacheOptions group;
  group.group = 48;
  EXPECT_EQ(status(group, TwoSegments(), 10).code(), MLA_INVALID_ARGUMENT);
  EXPECT_EQ(status({}, TwoSegments(), 0).code(), MLA_INVALID_ARGUMENT);

  LayerLayout gap = TwoSegments();
  gap.segments[1].offset = 34;
  EXPECT_EQ(status({}, gap, 10).code(), MLA_INVALID_ARGUMENT);
  LayerLayout beyond = TwoSegments();
  beyond.value_segment[1] = 2;
  EXPECT_NE(status({}, beyond, 10).message().find("layer 0: cache layout: value_segment = 2"),
            std::string::npos);
  LayerLayout groups = TwoSegments();
  groups.rope_groups = 3;
  EXPECT_EQ(status({}, groups, 10).code(), MLA_INVALID_ARGUMENT);
}

CacheOptions WithWindow(int32_t residual, int32_t sink) {
  CacheOptions options;
  options.latent = CacheType::kInt4;
  options.rope = CacheType::kInt8;
  options.residual = residual;
  options.sink = sink;
  return options;
}

class LatentCachePlaces : public testing::TestWithParam<Place> {
 protected:
  std::unique_ptr<LatentCache> Make(const CacheOptions& options, std::vector<LayerLayout> layers,
                                    int32_t context_length) {
    auto cache = LatentCache::Create(options, std::move(layers), context_length, memory_);
    EXPECT_TRUE(cache.ok()) << cache.status().message();
    return std::move(cache.value());
  }
  std::shared_ptr<PageMemory> memory_ = MemoryOf(GetParam());
  LayerLayout layout_ = TwoSegments();
  std::mt19937 random_{7};
};

INSTANTIATE_TEST_SUITE_P(Everywhere, LatentCachePlaces, testing::Values(Place::kHost, Place::kGpu));

// Positions [first, first + n), as a step of the decoder does.
Written Append(LatentCache& cache, const LayerLayout& layout, int32_t n, std::mt19937& random) {
  const int32_t first = cache.length();
  EXPECT_TRUE(cache.Reserve(n).ok());
  EXPECT_TRUE(cache.ReserveWindow(n).ok());
  Written written = WriteRandom(cache, layout, 0, first, n, random);
  cache.SetLength(first + n);
  return written;
}

TEST_P(LatentCachePlaces, TheNewestAndTheFirstTokensAreExactToo) {
  const CacheOptions options = WithWindow(100, 4);
  auto made = Make(options, {layout_}, 1000);
  LatentCache& cache = *made;
  const Written first = Append(cache, layout_, 70, random_);
  const Written second = Append(cache, layout_, 300, random_);
  const Written third = Append(cache, layout_, 1, random_);
  const CacheView view = cache.View(0);
  EXPECT_EQ(view.residual, 100);
  EXPECT_EQ(view.first.rope[0].format.type, CacheType::kF16);
  ExpectRows(view.first, layout_, 0, 4, first);
  ExpectRows(view.exact, layout_, 370, 1, third);
  // The next query, at 371, reads 272 .. 371 exactly, which begins in page 4.
  EXPECT_EQ(view.exact.pages[3], nullptr);
  Written newest;
  newest.rope.assign(second.rope.begin() + (272 - 70) * 12, second.rope.end());
  newest.latent.assign(second.latent.begin() + (272 - 70) * 40, second.latent.end());
  ExpectRows(view.exact, layout_, 272, 98, newest);
  ExpectCached(cache, layout_, 0, 0, 70, first);
  ExpectCached(cache, layout_, 0, 70, 300, second);
}

TEST_P(LatentCachePlaces, TheWindowsMemoryIsBoundedAndCounted) {
  auto made = Make(WithWindow(128, 4), {layout_}, 4000);
  LatentCache& cache = *made;
  const double exact = 2 * 12 + 40 * 2;
  const double row = LatentCache::BytesPerToken(WithWindow(0, 0), {layout_}, 0);
  for (int32_t n : {10, 700, 64, 1, 1, 1, 63, 300}) {
    Append(cache, layout_, n, random_);
    const double pages = (cache.length() + 63) / 64 * 64 * row;
    EXPECT_LE(static_cast<double>(cache.bytes()), pages + (128 + 2 * 64 + 4) * exact);
  }
  EXPECT_EQ(LatentCache::BytesPerToken(WithWindow(128, 4), {layout_}, 0), row);
  EXPECT_EQ(LatentCache::BytesPerToken(WithWindow(128, 4), {layout_}, 1000),
            row + 132 * exact / 1000);
  EXPECT_EQ(LatentCache::BytesPerToken(WithWindow(128, 4), {layout_}, 2), row + 2 * 2 * exact / 2);
  CacheOptions floats;
  floats.residual = 128;
  EXPECT_EQ(LatentCache::BytesPerToken(floats, {layout_}, 10),
            LatentCache::BytesPerToken(floats, {layout_}, 0))
      << "f16 rows need no window in f16";
}

TEST_P(LatentCachePlaces, KnowsWhetherAWindowIsLeftAfterForgetting) {
  auto made = Make(WithWindow(64, 4), {layout_}, 4000);
  LatentCache& cache = *made;
  Append(cache, layout_, 1000, random_);
  EXPECT_TRUE(cache.HasWindowOf(1000));
  EXPECT_FALSE(cache.HasWindowOf(500));
  EXPECT_TRUE(cache.HasWindowOf(0));
  // Before a failed append is forgotten, the window is still that of its beginning.
  ASSERT_TRUE(cache.Reserve(600).ok());
  for (int32_t done = 0; done < 600; done += 200) {
    ASSERT_TRUE(cache.ReserveWindow(200).ok());
    WriteRandom(cache, layout_, 0, 1000 + done, 200, random_);
    cache.Advance(1000 + done + 200);
  }
  cache.SetLength(1000);
  EXPECT_TRUE(cache.HasWindowOf(1000));
  const Written again = Append(cache, layout_, 30, random_);
  ExpectRows(cache.View(0).exact, layout_, 1000, 30, again);
}

TEST_P(LatentCachePlaces, AFullContextOrMemoryLeavesItAsItWas) {
  auto small = Make({}, {layout_}, 100);
  ASSERT_TRUE(small->Reserve(100).ok());
  small->SetLength(100);
  const int64_t bytes = small->bytes();
  EXPECT_EQ(small->Reserve(1).code(), MLA_CONTEXT_FULL);
  EXPECT_EQ(small->bytes(), bytes);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  if (GetParam() == Place::kHost) return;  // they abort where malloc returns null
#endif
  // 300 pages of 512 GiB are more than a process can address.
  LayerLayout giant;
  giant.heads = giant.kv_heads = 1;
  giant.latent = 1 << 30;
  giant.segments = {{0, 1 << 30}};
  giant.key_segment = giant.value_segment = {0};
  CacheOptions options;
  options.latent = CacheType::kF32;
  auto cache = Make(options, std::vector<LayerLayout>(1000, giant), 1000);
  EXPECT_EQ(cache->Reserve(1).code(), MLA_OUT_OF_MEMORY);
  EXPECT_EQ(cache->bytes(), 0);
}

// What readers see of all layers, and what is in it.
struct Snapshot {
  std::vector<const uint8_t*> pages;
  std::vector<std::vector<uint8_t>> bytes;
  int64_t size;
  int32_t length;

  bool operator==(const Snapshot&) const = default;
};

Snapshot Look(const LatentCache& cache) {
  Snapshot out;
  EXPECT_TRUE(cache
                  .ReadPages([&](const uint8_t* page, int64_t bytes) {
                    out.bytes.emplace_back(page, page + bytes);
                  })
                  .ok());
  for (int32_t l = 0; l < cache.page_table_places().layers; ++l) {
    const CacheView view = cache.View(l);
    for (int32_t p = 0; p * kPageTokens < cache.length(); ++p) {
      out.pages.push_back(view.rows.pages[p]);
      if (view.residual > 0) out.pages.push_back(view.exact.pages[p]);
    }
    if (view.sink > 0 && cache.length() > 0) out.pages.push_back(view.first.pages[0]);
  }
  out.size = cache.bytes();
  out.length = cache.length();
  return out;
}

TEST_P(LatentCachePlaces, ForksShareUntilOneWrites) {
  auto cache = Make(WithWindow(70, 4), {layout_, layout_}, 400);
  const Written first = Append(*cache, layout_, 2, random_);
  auto early = cache->Fork();
  Append(*cache, layout_, 98, random_);
  const Snapshot before = Look(*cache);
  auto fork = cache->Fork();
  EXPECT_EQ(fork->View(0).rows.pages[0], cache->View(0).rows.pages[0]);
  const Written onwards = Append(*fork, layout_, 90, random_);
  EXPECT_EQ(Look(*cache), before) << "a fork's writing shows";
  EXPECT_EQ(fork->View(1).rows.pages[0], cache->View(1).rows.pages[0]);
  EXPECT_NE(fork->View(1).rows.pages[1], cache->View(1).rows.pages[1]);
  ExpectCached(*fork, layout_, 0, 100, 90, onwards);
  ExpectRows(fork->View(0).exact, layout_, 100, 90, onwards);
  // One that writes to the sink, too.
  const Written others = Append(*early, layout_, 2, random_);
  EXPECT_EQ(Look(*cache), before);
  ExpectRows(early->View(0).first, layout_, 0, 2, first);
  ExpectRows(early->View(0).first, layout_, 2, 2, others);
  // Rewound to within a page that is shared.
  const Snapshot forked = Look(*fork);
  cache->SetLength(90);
  Append(*cache, layout_, 5, random_);
  EXPECT_EQ(Look(*fork), forked);
}

TEST_P(LatentCachePlaces, PagesAreZerosWhateverWasThereBefore) {
  auto cache = Make(WithWindow(64, 4), {layout_}, 400);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(cache->Reserve(130).ok());
    ASSERT_TRUE(cache->ReserveWindow(130).ok());
    EXPECT_TRUE(cache
                    ->ReadPages([](const uint8_t* page, int64_t bytes) {
                      EXPECT_TRUE(
                          std::all_of(page, page + bytes, [](uint8_t b) { return b == 0; }));
                    })
                    .ok());
    WriteRandom(*cache, layout_, 0, 0, 130, random_);
    cache->SetLength(130);
    cache->SetLength(0);
  }
}

// As a session's file does it, with pages here and pages there.
TEST_P(LatentCachePlaces, WhatOneIsReadOfFillsAnother) {
  for (const Place other : {Place::kHost, Place::kGpu}) {
    for (const int32_t length : {1, 64, 300}) {
      auto cache = Make(WithWindow(70, 4), {layout_, layout_}, 400);
      Append(*cache, layout_, length, random_);
      const Snapshot saved = Look(*cache);
      auto created =
          LatentCache::Create(WithWindow(70, 4), {layout_, layout_}, 400, MemoryOf(other));
      ASSERT_TRUE(created.ok());
      LatentCache& restored = *created.value();
      ASSERT_TRUE(restored.Restore(length).ok());
      ASSERT_EQ(restored.bytes(), saved.size);
      size_t at = 0;
      ASSERT_TRUE(restored
                      .FillPages([&](uint8_t* page, int64_t bytes) {
                        ASSERT_EQ(bytes, static_cast<int64_t>(saved.bytes[at].size()));
                        std::memcpy(page, saved.bytes[at++].data(), static_cast<size_t>(bytes));
                      })
                      .ok());
      EXPECT_EQ(Look(restored).bytes, saved.bytes);
    }
  }
}

// What was reserved and never written is not there any more when a session is saved.
TEST_P(LatentCachePlaces, AnAppendThatFailedLeavesNoPages) {
  auto cache = Make(WithWindow(70, 4), {layout_}, 400);
  Append(*cache, layout_, 60, random_);
  const Snapshot before = Look(*cache);
  ASSERT_TRUE(cache->Reserve(200).ok());
  ASSERT_TRUE(cache->ReserveWindow(100).ok());
  cache->SetLength(60);
  EXPECT_EQ(Look(*cache), before);
}

// The host's memory, with an allocation to fail, and uploads counted.
class CountingMemory final : public PageMemory {
 public:
  int fails_after = -1;  // allocations; -1: never
  int pages = 0;         // that are there
  int uploads = 0;

  uint8_t* Allocate(int64_t bytes) override {
    if (fails_after == 0) return nullptr;
    if (fails_after > 0) --fails_after;
    ++pages;
    return host_->Allocate(bytes);
  }
  void Free(uint8_t* memory) override {
    --pages;
    host_->Free(memory);
  }
  void Copy(uint8_t* to, const uint8_t* from, int64_t bytes) override {
    host_->Copy(to, from, bytes);
  }
  void Upload(uint8_t* to, const void* from, int64_t bytes) override {
    ++uploads;
    host_->Upload(to, from, bytes);
  }
  Status Read(const std::vector<Span>& spans,
              const std::function<void(const uint8_t*, int64_t)>& visit) override {
    return host_->Read(spans, visit);
  }
  Status Fill(const std::vector<Span>& spans,
              const std::function<void(uint8_t*, int64_t)>& fill) override {
    return host_->Fill(spans, fill);
  }

 private:
  const std::shared_ptr<PageMemory> host_ = HostMemory();
};

// Wherever memory ends, nothing has happened, and it goes on once there is some.
TEST(LatentCache, MemoryMayEndAtAnyPage) {
  const LayerLayout layout = TwoSegments();
  for (const int32_t length : {0, 2, 50, 64}) {
    for (int fails_after = 0;; ++fails_after) {
      auto memory = std::make_shared<CountingMemory>();
      std::mt19937 random(7);
      auto created = LatentCache::Create(WithWindow(70, 4), {layout, layout}, 400, memory);
      ASSERT_TRUE(created.ok());
      LatentCache& cache = *created.value();
      if (length > 0) Append(cache, layout, length, random);
      const auto fork = cache.Fork();  // what is begun has to be copied
      const Snapshot before = Look(cache);
      const int pages = memory->pages;
      memory->fails_after = fails_after;
      Status status = cache.Reserve(100);
      if (!status.ok()) {
        EXPECT_EQ(memory->pages, pages);
      } else {
        status = cache.ReserveWindow(100);
        const int reserved = memory->pages;
        if (!status.ok()) cache.SetLength(length);
        EXPECT_LE(memory->pages, reserved);
      }
      EXPECT_EQ(Look(*fork), before);
      if (status.ok()) {
        // Rows of two pages, the window's and the sink's, of two layers, or a few less.
        EXPECT_GE(fails_after, 8);
        break;
      }
      EXPECT_EQ(status.code(), MLA_OUT_OF_MEMORY);
      // What the fork has besides is a copy of the page that was begun, at most.
      EXPECT_EQ(Look(cache).bytes, before.bytes);
      EXPECT_EQ(cache.bytes(), before.size);
      memory->fails_after = -1;
      const Written written = Append(cache, layout, 100, random);
      ExpectCached(cache, layout, 0, length, 100, written);
      EXPECT_EQ(Look(*fork), before);
    }
  }
}

void ExpectTable(LatentCache& cache) {
  const PageTablePlaces places = cache.page_table_places();
  uint8_t* const* table = cache.page_table();
  for (int32_t l = 0; l < places.layers; ++l) {
    const CacheView view = cache.View(l);
    const bool window = view.residual > 0;
    for (int32_t p = 0; p * kPageTokens < cache.length(); ++p) {
      ASSERT_EQ(table[places.Rows(l, p)], view.rows.pages[p]) << l << ' ' << p;
      if (!window || view.exact.pages[p] == nullptr) continue;
      ASSERT_EQ(table[places.Exact(l, p)], view.exact.pages[p]) << l << ' ' << p;
    }
    if (view.sink > 0) {
      ASSERT_EQ(table[places.First(l)], view.first.pages[0]) << l;
    }
  }
}

TEST(LatentCache, ItsPageTableFollowsInOneUploadAPage) {
  const LayerLayout layout = TwoSegments();
  for (const CacheOptions& options : {WithWindow(70, 4), WithWindow(70, 0), WithWindow(0, 0)}) {
    auto memory = std::make_shared<CountingMemory>();
    auto created = LatentCache::Create(options, {layout, layout, layout}, 2000, memory);
    ASSERT_TRUE(created.ok());
    std::vector<std::unique_ptr<LatentCache>> caches;
    caches.push_back(std::move(created.value()));
    EXPECT_EQ(caches[0]->page_table(), nullptr);
    std::mt19937 random(5);
    for (int turn = 0; turn < 300; ++turn) {
      LatentCache& cache = *caches[random() % caches.size()];
      const int32_t length = cache.length();
      const uint32_t what = random() % 12;
      bool rewound = false;
      if (what == 0 && caches.size() < 4) {
        caches.push_back(cache.Fork());
        continue;
      }
      if (what == 1 && length > 0) {
        const int32_t to = static_cast<int32_t>(random() % static_cast<uint32_t>(length));
        cache.SetLength(cache.HasWindowOf(to) ? to : 0);
        rewound = true;
      }
      const int32_t n = what == 2 ? 90 : 1;
      if (cache.length() + n > 2000) continue;
      uint8_t* const* table = cache.page_table();
      const int uploads = memory->uploads;
      Append(cache, layout, n, random);
      ASSERT_TRUE(cache.UpdatePageTable().ok());
      ASSERT_NO_FATAL_FAILURE(ExpectTable(cache)) << "turn " << turn;
      EXPECT_LE(memory->uploads - uploads, 1);
      if (table == nullptr) continue;
      EXPECT_EQ(cache.page_table(), table) << "it is where it was";
      const bool new_page = (length + n - 1) / kPageTokens > (length - 1) / kPageTokens;
      if (!rewound && !new_page && caches.size() == 1) {
        EXPECT_EQ(memory->uploads, uploads);
      }
    }
    caches.clear();
    EXPECT_EQ(memory->pages, 0);
  }
}

TEST(LatentCache, WithoutMemoryForItsPageTableItIsAsItWas) {
  const LayerLayout layout = TwoSegments();
  auto memory = std::make_shared<CountingMemory>();
  auto created = LatentCache::Create(WithWindow(70, 4), {layout}, 400, memory);
  ASSERT_TRUE(created.ok());
  LatentCache& cache = *created.value();
  std::mt19937 random(7);
  Append(cache, layout, 100, random);
  memory->fails_after = 0;
  EXPECT_EQ(cache.UpdatePageTable().code(), MLA_OUT_OF_MEMORY);
  EXPECT_EQ(cache.page_table(), nullptr);
  memory->fails_after = -1;
  ASSERT_TRUE(cache.UpdatePageTable().ok());
  ExpectTable(cache);
}

}  // namespace
}  // namespace mla
