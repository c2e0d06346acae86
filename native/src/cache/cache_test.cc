#include <gtest/gtest.h>

#include <algorithm>
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
  std::vector<uint8_t> page(static_cast<size_t>(format.page_value_bytes()), 0xee);
  std::vector<uint16_t> scales(static_cast<size_t>(format.page_scale_bytes() / 2) + 1);
  std::vector<float> back(row.size());
  EncodeRow(format, row.data(), page.data(), scales.data());
  DecodeRow({format, page.data(), scales.data(), 1}, 0, back.data());
  return back;
}

double SquaredError(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i] - b[i]} * (a[i] - b[i]);
  return sum;
}

TEST(RowFormat, CountsValuesAndScales) {
  auto bytes = [](CacheType type, int32_t length, int32_t group) {
    const RowFormat format = MakeRowFormat(type, length, group);
    return std::vector<int64_t>{format.page_value_bytes() / kPageTokens,
                                format.page_scale_bytes() / kPageTokens};
  };
  EXPECT_EQ(bytes(CacheType::kF32, 5, 32), (std::vector<int64_t>{20, 0}));
  EXPECT_EQ(bytes(CacheType::kF16, 5, 32), (std::vector<int64_t>{10, 0}));
  EXPECT_EQ(bytes(CacheType::kInt8, 64, 32), (std::vector<int64_t>{64, 4}));
  EXPECT_EQ(bytes(CacheType::kInt8, 64, 64), (std::vector<int64_t>{64, 2}));
  EXPECT_EQ(bytes(CacheType::kInt8, 33, 32), (std::vector<int64_t>{36, 4}));
  EXPECT_EQ(bytes(CacheType::kInt4, 97, 32), (std::vector<int64_t>{52, 16}));
  EXPECT_EQ(bytes(CacheType::kInt4, 96, 32), (std::vector<int64_t>{48, 12}));
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

// What rounding to so few levels costs: less than with the plain range.
TEST(RowCodec, SearchedScalesCostLessThanPlainOnes) {
  std::mt19937 random(2);
  for (CacheType type : {CacheType::kInt4, CacheType::kInt2}) {
    const float steps = type == CacheType::kInt4 ? 15 : 3;
    double searched = 0, plain = 0;
    for (int i = 0; i < 200; ++i) {
      const std::vector<float> row = RandomRow(random, 32);
      searched += SquaredError(row, ThroughCodec(MakeRowFormat(type, 32, 32), row));
      const auto [low, high] = std::minmax_element(row.begin(), row.end());
      for (float x : row) {
        const float step = (*high - *low) / steps;
        const float back = *low + step * std::nearbyint((x - *low) / step);
        plain += double{x - back} * (x - back);
      }
    }
    EXPECT_LT(searched, (type == CacheType::kInt4 ? 0.97 : 0.8) * plain);
  }
}

TEST(RowCodec, ExactLevelsComeBackExactly) {
  for (CacheType type : {CacheType::kInt4, CacheType::kInt2}) {
    const int levels = type == CacheType::kInt4 ? 16 : 4;
    for (int32_t length : {2, 5, 31, 32, 34, 64, 70}) {
      std::vector<float> row(static_cast<size_t>(length));
      for (size_t i = 0; i < row.size(); ++i) {
        // Every group has both ends.
        const size_t level = i % 32 < 2 ? (i % 32) * static_cast<size_t>(levels - 1)
                                        : i * 7 % static_cast<size_t>(levels);
        row[i] = 1.5f + 0.5f * static_cast<float>(level);
      }
      EXPECT_EQ(ThroughCodec(MakeRowFormat(type, length, 32), row), row) << length;
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

  for (CacheType type : {CacheType::kInt4, CacheType::kInt2}) {
    const RowFormat format = MakeRowFormat(type, 34, 32);
    const std::vector<float> damaged = ThroughCodec(format, row);
    EXPECT_TRUE(std::isnan(damaged[5]));
    EXPECT_FALSE(std::isnan(damaged[33]));
    EXPECT_EQ(ThroughCodec(format, std::vector<float>(34, 0.0f)), std::vector<float>(34, 0.0f));
    for (float extreme : {huge, -huge, tiny}) {
      std::vector<float> ends(34, 0.0f);
      ends[3] = extreme;
      ends[4] = -extreme;
      for (float x : ThroughCodec(format, ends)) EXPECT_TRUE(std::isfinite(x)) << extreme;
    }
  }
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
  EXPECT_EQ(early.rows.pages, cache->View(1).rows.pages)
      << "a view stays valid while the cache grows";
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
  const double per_token = LatentCache::BytesPerToken(options, {layout_, layout_}, 0);
  EXPECT_EQ(cache->bytes(), 0);
  ASSERT_TRUE(cache->Reserve(1).ok());
  EXPECT_EQ(static_cast<double>(cache->bytes()), per_token * kPageTokens);
  cache->SetLength(64);
  ASSERT_TRUE(cache->Reserve(1).ok());
  EXPECT_EQ(static_cast<double>(cache->bytes()), per_token * 2 * kPageTokens);
}

INSTANTIATE_TEST_SUITE_P(Types, LatentCacheTest,
                         testing::Values(CacheType::kF32, CacheType::kF16, CacheType::kInt8,
                                         CacheType::kInt4, CacheType::kInt2));

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

// Positions [first, first + n), as a step of the decoder does.
Written Append(LatentCache& cache, const LayerLayout& layout, int32_t n, std::mt19937& random) {
  const int32_t first = cache.length();
  EXPECT_TRUE(cache.Reserve(n).ok());
  EXPECT_TRUE(cache.ReserveWindow(n).ok());
  Written written = WriteRandom(cache, layout, 0, first, n, random);
  cache.SetLength(first + n);
  return written;
}

TEST(LatentCache, TheNewestAndTheFirstTokensAreExactToo) {
  const LayerLayout layout = TwoSegments();
  const CacheOptions options = WithWindow(100, 4);
  auto created = LatentCache::Create(options, {layout}, 1000);
  ASSERT_TRUE(created.ok());
  LatentCache& cache = *created.value();
  std::mt19937 random(7);
  const Written first = Append(cache, layout, 70, random);
  const Written second = Append(cache, layout, 300, random);
  const Written third = Append(cache, layout, 1, random);
  const CacheView view = cache.View(0);
  EXPECT_EQ(view.residual, 100);
  EXPECT_EQ(view.first.rope[0].format.type, CacheType::kF16);
  ExpectRows(view.first, layout, 0, 4, first);
  ExpectRows(view.exact, layout, 370, 1, third);
  // The next query, at 371, reads 272 .. 371 exactly, which begins in page 4.
  EXPECT_EQ(view.exact.pages[3], nullptr);
  Written newest;
  newest.rope.assign(second.rope.begin() + (272 - 70) * 12, second.rope.end());
  newest.latent.assign(second.latent.begin() + (272 - 70) * 40, second.latent.end());
  ExpectRows(view.exact, layout, 272, 98, newest);
  ExpectCached(cache, layout, 0, 0, 70, first);
  ExpectCached(cache, layout, 0, 70, 300, second);
}

TEST(LatentCache, TheWindowsMemoryIsBoundedAndCounted) {
  const LayerLayout layout = TwoSegments();
  auto created = LatentCache::Create(WithWindow(128, 4), {layout}, 4000);
  ASSERT_TRUE(created.ok());
  LatentCache& cache = *created.value();
  std::mt19937 random(7);
  const double exact = 2 * 12 + 40 * 2;
  const double row = LatentCache::BytesPerToken(WithWindow(0, 0), {layout}, 0);
  for (int32_t n : {10, 700, 64, 1, 1, 1, 63, 300}) {
    Append(cache, layout, n, random);
    const double pages = (cache.length() + 63) / 64 * 64 * row;
    EXPECT_LE(static_cast<double>(cache.bytes()), pages + (128 + 2 * 64 + 4) * exact);
  }
  EXPECT_EQ(LatentCache::BytesPerToken(WithWindow(128, 4), {layout}, 0), row);
  EXPECT_EQ(LatentCache::BytesPerToken(WithWindow(128, 4), {layout}, 1000),
            row + 132 * exact / 1000);
  EXPECT_EQ(LatentCache::BytesPerToken(WithWindow(128, 4), {layout}, 2), row + 2 * 2 * exact / 2);
  CacheOptions floats;
  floats.residual = 128;
  EXPECT_EQ(LatentCache::BytesPerToken(floats, {layout}, 10),
            LatentCache::BytesPerToken(floats, {layout}, 0))
      << "f16 rows need no window in f16";
}

TEST(LatentCache, KnowsWhetherAWindowIsLeftAfterForgetting) {
  const LayerLayout layout = TwoSegments();
  auto created = LatentCache::Create(WithWindow(64, 4), {layout}, 4000);
  ASSERT_TRUE(created.ok());
  LatentCache& cache = *created.value();
  std::mt19937 random(7);
  Append(cache, layout, 1000, random);
  EXPECT_TRUE(cache.HasWindowOf(1000));
  EXPECT_FALSE(cache.HasWindowOf(500));
  EXPECT_TRUE(cache.HasWindowOf(0));
  // Before a failed append is forgotten, the window is still that of its beginning.
  ASSERT_TRUE(cache.Reserve(600).ok());
  for (int32_t done = 0; done < 600; done += 200) {
    ASSERT_TRUE(cache.ReserveWindow(200).ok());
    WriteRandom(cache, layout, 0, 1000 + done, 200, random);
    cache.Advance(1000 + done + 200);
  }
  cache.SetLength(1000);
  EXPECT_TRUE(cache.HasWindowOf(1000));
  const Written again = Append(cache, layout, 30, random);
  ExpectRows(cache.View(0).exact, layout, 1000, 30, again);
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
