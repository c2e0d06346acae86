#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cache/latent_cache.h"
#include "cache/row_codec.h"

namespace mla {
namespace {

std::vector<float> RandomRow(std::mt19937& random, int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<size_t>(n));
  for (float& x : row) x = normal(random);
  return row;
}

std::vector<float> ThroughCodec(const RowFormat& format, const std::vector<float>& row) {
  std::vector<uint8_t> packed(static_cast<size_t>(format.stride), 0xee);
  std::vector<uint16_t> scales(static_cast<size_t>(format.page_scale_bytes() / 2) + 1);
  std::vector<float> back(row.size());
  EncodeRow(format, row.data(), packed.data(), scales.data());
  DecodeRow({format, packed.data(), scales.data(), 1}, 0, back.data());
  return back;
}

TEST(RowFormat, CountsValuesAndScales) {
  auto bytes = [](CacheType type, int32_t length, int32_t group) {
    const RowFormat format = MakeRowFormat(type, length, group);
    return std::vector<int64_t>{format.stride, format.page_scale_bytes() / kPageTokens};
  };
  EXPECT_EQ(bytes(CacheType::kF32, 5, 32), (std::vector<int64_t>{20, 0}));
  EXPECT_EQ(bytes(CacheType::kF16, 5, 32), (std::vector<int64_t>{10, 0}));
  EXPECT_EQ(bytes(CacheType::kInt8, 64, 32), (std::vector<int64_t>{64, 4}));
  EXPECT_EQ(bytes(CacheType::kInt8, 64, 64), (std::vector<int64_t>{64, 2}));
  EXPECT_EQ(bytes(CacheType::kInt8, 33, 32), (std::vector<int64_t>{33, 4}));
  EXPECT_EQ(bytes(CacheType::kInt4, 96, 32), (std::vector<int64_t>{48, 6}));
  EXPECT_EQ(bytes(CacheType::kInt2, 95, 32), (std::vector<int64_t>{24, 12}));
}

TEST(RowCodec, ErrorStaysWithinTheType) {
  std::mt19937 random(1);
  for (int32_t length : {1, 2, 31, 32, 33, 63, 64, 65, 96, 600}) {
    const std::vector<float> row = RandomRow(random, length);
    EXPECT_EQ(ThroughCodec(MakeRowFormat(CacheType::kF32, length, 32), row), row);
    const std::vector<float> half = ThroughCodec(MakeRowFormat(CacheType::kF16, length, 32), row);
    for (size_t i = 0; i < row.size(); ++i)
      ASSERT_NEAR(half[i], row[i], std::fabs(row[i]) / 2048 + 1e-7);
    for (int32_t group : {32, 64}) {
      const std::vector<float> int8 =
          ThroughCodec(MakeRowFormat(CacheType::kInt8, length, group), row);
      for (size_t begin = 0; begin < row.size(); begin += static_cast<size_t>(group)) {
        const size_t end = std::min(row.size(), begin + static_cast<size_t>(group));
        float largest = 0;
        for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(row[i]));
        for (size_t i = begin; i < end; ++i)
          ASSERT_NEAR(int8[i], row[i], largest / 127 * 0.51f) << length << ' ' << i;
      }
    }
  }
}

TEST(RowCodec, ExtremesSaturateAndDamageShows) {
  const float huge = std::numeric_limits<float>::max();
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const RowFormat half = MakeRowFormat(CacheType::kF16, 3, 32);
  EXPECT_EQ(ThroughCodec(half, {huge, -huge, 0}), (std::vector<float>{65504, -65504, 0}));
  EXPECT_TRUE(std::isnan(ThroughCodec(half, {1, nan, 1})[1]));

  const RowFormat int8 = MakeRowFormat(CacheType::kInt8, 34, 32);
  std::vector<float> row(34, 0.0f);
  EXPECT_EQ(ThroughCodec(int8, row), row);
  row[0] = tiny;
  EXPECT_EQ(ThroughCodec(int8, row), std::vector<float>(34, 0.0f));
  row[0] = huge;
  EXPECT_EQ(ThroughCodec(int8, row)[0], 127.0f * 65504.0f);
  row[0] = nan;
  row[33] = 1.0f;
  const std::vector<float> broken = ThroughCodec(int8, row);
  EXPECT_TRUE(std::isnan(broken[5]));
  EXPECT_FALSE(std::isnan(broken[33])) << "another group";
}

LayerLayout TwoSegments() {
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

// What a test wrote, to compare with what the cache gives back.
struct Written {
  std::vector<float> rope, latent, scalars;
};

Written WriteRandom(LatentCache& cache, const LayerLayout& layout, int32_t layer, int32_t first,
                    int32_t n, std::mt19937& random) {
  const int64_t rope = int64_t{layout.rope_groups} * layout.rope_dim;
  Written w{RandomRow(random, n * rope), RandomRow(random, int64_t{n} * layout.latent),
            RandomRow(random, int64_t{n} * layout.kv_heads)};
  cache.Write(layer, first, n, w.rope.data(), rope, w.latent.data(), layout.latent,
              w.scalars.data(), layout.kv_heads);
  return w;
}

void ExpectRow(const CacheView& view, const RowArray& array, int32_t position,
               const float* expected) {
  const std::vector<float> values(expected, expected + array.format.length);
  std::vector<float> actual(values.size());
  DecodeRow(view.Rows(array, position, 1), 0, actual.data());
  EXPECT_EQ(actual, ThroughCodec(array.format, values)) << "position " << position;
}

void ExpectCached(const LatentCache& cache, const LayerLayout& layout, int32_t layer, int32_t first,
                  int32_t n, const Written& w) {
  const CacheView view = cache.View(layer);
  for (int32_t i = 0; i < n; ++i) {
    for (int32_t g = 0; g < layout.rope_groups; ++g) {
      ExpectRow(view, view.rope[g], first + i,
                &w.rope[static_cast<size_t>((i * layout.rope_groups + g) * layout.rope_dim)]);
    }
    for (size_t s = 0; s < layout.segments.size(); ++s) {
      ExpectRow(view, view.latent[s], first + i,
                &w.latent[static_cast<size_t>(i * layout.latent + layout.segments[s].offset)]);
    }
    for (int32_t g = 0; layout.key_scalar && g < layout.kv_heads; ++g) {
      EXPECT_EQ(*view.Scalars(g, first + i),
                w.scalars[static_cast<size_t>(i * layout.kv_heads + g)]);
    }
  }
}

class LatentCacheTest : public testing::TestWithParam<CacheType> {
 protected:
  std::unique_ptr<LatentCache> Make(int32_t context_length) {
    CacheOptions options;
    options.latent = GetParam();
    options.rope = GetParam();
    auto cache = LatentCache::Create(options, {layout_, layout_}, context_length);
    EXPECT_TRUE(cache.ok()) << cache.status().message();
    return std::move(cache.value());
  }
  LayerLayout layout_ = TwoSegments();
  std::mt19937 random_{3};
};

TEST_P(LatentCacheTest, GivesBackWhatWasWrittenAcrossPages) {
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
  EXPECT_EQ(early.pages, cache->View(1).pages) << "a view stays valid while the cache grows";
  EXPECT_EQ(cache->length(), 300);
}

TEST_P(LatentCacheTest, RewindsAndWritesAgain) {
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

TEST_P(LatentCacheTest, BytesAreThoseOfWholePages) {
  auto cache = Make(300);
  CacheOptions options;
  options.latent = options.rope = GetParam();
  const double per_token = LatentCache::BytesPerToken(options, {layout_, layout_});
  EXPECT_EQ(cache->bytes(), 0);
  ASSERT_TRUE(cache->Reserve(1).ok());
  EXPECT_EQ(static_cast<double>(cache->bytes()), per_token * kPageTokens);
  cache->SetLength(64);
  ASSERT_TRUE(cache->Reserve(1).ok());
  EXPECT_EQ(static_cast<double>(cache->bytes()), per_token * 2 * kPageTokens);
}

INSTANTIATE_TEST_SUITE_P(Types, LatentCacheTest,
                         testing::Values(CacheType::kF32, CacheType::kF16, CacheType::kInt8));

TEST(LatentCache, BytesPerTokenOfEveryType) {
  auto bytes = [](CacheType latent, CacheType rope) {
    CacheOptions options;
    options.latent = latent;
    options.rope = rope;
    return LatentCache::BytesPerToken(options, {TwoSegments()});
  };
  const double scalars = 2 * 4;
  EXPECT_EQ(bytes(CacheType::kF32, CacheType::kF32), 2 * 24 + 40 * 4 + scalars);
  EXPECT_EQ(bytes(CacheType::kF16, CacheType::kF16), 2 * 12 + 40 * 2 + scalars);
  EXPECT_EQ(bytes(CacheType::kInt8, CacheType::kInt8), 2 * (6 + 2) + (33 + 4) + (7 + 2) + scalars);
  EXPECT_EQ(bytes(CacheType::kInt4, CacheType::kInt8), 2 * (6 + 2) + (17 + 4) + (4 + 2) + scalars);
  EXPECT_EQ(bytes(CacheType::kInt2, CacheType::kInt8), 2 * (6 + 2) + (9 + 8) + (2 + 4) + scalars);
}

TEST(LatentCache, RefusesWhatItCannotDoInWords) {
  auto status = [](CacheOptions options, LayerLayout layout, int32_t context_length) {
    return LatentCache::Create(options, {std::move(layout)}, context_length).status();
  };
  CacheOptions int4;
  int4.latent = CacheType::kInt4;
  EXPECT_EQ(status(int4, TwoSegments(), 10).code(), MLA_UNSUPPORTED);
  EXPECT_NE(status(int4, TwoSegments(), 10).message().find("int4"), std::string::npos);
  CacheOptions window;
  window.residual = 128;
  EXPECT_EQ(status(window, TwoSegments(), 10).code(), MLA_UNSUPPORTED);
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

TEST(LatentCache, AFullContextOrMemoryLeavesItAsItWas) {
  auto small = LatentCache::Create({}, {TwoSegments()}, 100);
  ASSERT_TRUE(small.ok());
  ASSERT_TRUE(small.value()->Reserve(100).ok());
  small.value()->SetLength(100);
  const int64_t bytes = small.value()->bytes();
  EXPECT_EQ(small.value()->Reserve(1).code(), MLA_CONTEXT_FULL);
  EXPECT_EQ(small.value()->bytes(), bytes);
#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)  // which abort where malloc returns null
  // 300 pages of 512 GiB are more than a process can address.
  LayerLayout giant;
  giant.heads = giant.kv_heads = 1;
  giant.latent = 1 << 30;
  giant.segments = {{0, 1 << 30}};
  giant.key_segment = giant.value_segment = {0};
  CacheOptions options;
  options.latent = CacheType::kF32;
  auto cache = LatentCache::Create(options, std::vector<LayerLayout>(1000, giant), 1000);
  ASSERT_TRUE(cache.ok());
  EXPECT_EQ(cache.value()->Reserve(1).code(), MLA_OUT_OF_MEMORY);
  EXPECT_EQ(cache.value()->bytes(), 0);
#endif
}

}  // namespace
}  // namespace mla
