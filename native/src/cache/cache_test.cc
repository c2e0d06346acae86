#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "cache/cache_testing.h"
#include "cache/row_codec.h"

namespace mla {
namespace {

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
  EXPECT_EQ(bytes(CacheType::kBf16, 5, 32), (std::vector<int64_t>{10, 0}));
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
    const std::vector<float> bfloat =
        ThroughCodec(MakeRowFormat(CacheType::kBf16, length, 32), row);
    for (size_t i = 0; i < row.size(); ++i) ASSERT_NEAR(bfloat[i], row[i], std::fabs(row[i]) / 256);
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
  const RowFormat bfloat = MakeRowFormat(CacheType::kBf16, 3, 32);
  EXPECT_EQ(ThroughCodec(bfloat, {0x1.fep100f, -1e38f, 0})[0], 0x1.fep100f);
  EXPECT_TRUE(std::isinf(ThroughCodec(bfloat, {1, -INFINITY, 1})[1]));
  EXPECT_TRUE(std::isnan(ThroughCodec(bfloat, {1, nan, 1})[1]));

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

}  // namespace
}  // namespace mla
