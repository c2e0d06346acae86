// Several tokens at once against one by one, byte for byte: what a page holds must not depend on
// how its tokens came.
#include "kernels/encode/encode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "cache/group_packer.h"
#include "cache/row_codec.h"
#include "kernels/isa.h"
#include "tensor/convert.h"

namespace mla {
namespace {

struct Page {
  std::vector<uint8_t> rows;
  std::vector<uint16_t> scales;

  explicit Page(const RowFormat& format)
      : rows(static_cast<size_t>(format.page_value_bytes()), 0xee),
        scales(static_cast<size_t>(format.page_scale_bytes() / 2), 0xeeee) {}
  bool operator==(const Page&) const = default;
};

std::vector<float> Values(std::mt19937& random, int64_t n, float size) {
  std::normal_distribution<float> normal(0.3f, size);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& x : values) x = normal(random);
  return values;
}

void Check(const RowFormat& format, const std::vector<float>& values, int64_t stride,
           int32_t tokens, int32_t slot) {
  Page expected(format);
  for (int32_t t = 0; t < tokens; ++t) {
    EncodeRow(format, values.data() + t * stride, expected.rows.data() + (slot + t) * kBlockBytes,
              expected.scales.data() + slot + t);
  }
  for (Isa isa : SupportedIsas()) {
    Page actual(format);
    GetEncodeKernels(isa).pack(format, values.data(), stride, tokens,
                               actual.rows.data() + slot * kBlockBytes,
                               actual.scales.data() + slot);
    EXPECT_EQ(actual, expected) << IsaName(isa) << " type " << static_cast<int>(format.type)
                                << " length " << format.length << " group " << format.group
                                << " tokens " << tokens << " from " << slot;
  }
}

TEST(Encode, PacksTheBytesOfSingleRows) {
  std::mt19937 random(3);
  for (CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    for (int32_t group : {32, 64}) {
      for (int32_t length : {1, 7, 16, 33, 64, 88, 130}) {
        const RowFormat format = MakeRowFormat(type, length, group);
        const int64_t stride = length + 3;
        for (int32_t tokens : {1, 2, 7, 15, 16}) {
          for (float size : {1.0f, 1e-6f, 3e4f, 0.0f}) {
            Check(format, Values(random, stride * kEncodedTokens, size), stride, tokens,
                  tokens % 3);
          }
        }
      }
    }
  }
}

// Rows of any lengths, each of its own page and slot, through a packer that goes before they are
// looked at: more groups than go together, and fewer.
TEST(Encode, PacksTheBytesOfGroupsFromAnywhere) {
  std::mt19937 random(6);
  const std::vector<int32_t> lengths = {88, 1, 64, 7, 33, 64, 130, 32, 9, 88, 120, 31};
  for (CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    for (int32_t group : {32, 64}) {
      for (size_t rows : {size_t{1}, size_t{3}, lengths.size()}) {
        std::vector<std::vector<float>> values;
        std::vector<Page> expected, actual;
        std::vector<RowFormat> formats;
        for (size_t i = 0; i < rows; ++i) {
          formats.push_back(MakeRowFormat(type, lengths[i], group));
          values.push_back(Values(random, lengths[i], i % 4 == 3 ? 1e-6f : 1.0f));
          if (i % 5 == 2) values[i][0] = std::numeric_limits<float>::infinity();
          expected.emplace_back(formats[i]);
          const size_t slot = 7 * i % kPageTokens;
          EncodeRow(formats[i], values[i].data(), expected[i].rows.data() + slot * kBlockBytes,
                    expected[i].scales.data() + slot);
        }
        for (size_t i = 0; i < rows; ++i) actual.emplace_back(formats[i]);
        {
          GroupPacker packer;
          for (size_t i = 0; i < rows; ++i) {
            const size_t slot = 7 * i % kPageTokens;
            packer.Add(formats[i], values[i].data(), actual[i].rows.data() + slot * kBlockBytes,
                       actual[i].scales.data() + slot);
          }
        }
        for (size_t i = 0; i < rows; ++i) {
          EXPECT_EQ(actual[i], expected[i]) << static_cast<int>(type) << ' ' << lengths[i];
        }
        for (Isa isa : SupportedIsas()) {
          std::vector<Page> pages;
          std::vector<PackedGroup> groups;
          for (size_t i = 0; i < rows; ++i) pages.emplace_back(formats[i]);
          for (size_t i = 0; i < rows; ++i) {  // each row's first group
            const size_t slot = 7 * i % kPageTokens;
            groups.push_back({values[i].data(), std::min(group, lengths[i]),
                              pages[i].rows.data() + slot * kBlockBytes,
                              pages[i].scales.data() + slot});
          }
          GetEncodeKernels(isa).pack_groups(type, groups.data(), static_cast<int32_t>(rows));
          for (size_t i = 0; i < rows; ++i) {
            const RowFormat one = MakeRowFormat(type, groups[i].n, group);
            Page alone(one);
            const size_t slot = 7 * i % kPageTokens;
            EncodeRow(one, values[i].data(), alone.rows.data() + slot * kBlockBytes,
                      alone.scales.data() + slot);
            pages[i].rows.resize(alone.rows.size());
            pages[i].scales.resize(alone.scales.size());
            EXPECT_EQ(pages[i], alone) << IsaName(isa) << ' ' << static_cast<int>(type) << ' ' << i;
          }
        }
      }
    }
  }
}

TEST(Encode, WhatIsNotANumberSpoilsItsOwnTokenAlone) {
  std::mt19937 random(4);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    const RowFormat format = MakeRowFormat(type, 88, 32);
    for (float bad : {kInfinity, -kInfinity, std::nanf("")}) {
      std::vector<float> values = Values(random, 88 * kEncodedTokens, 1.0f);
      values[88 * 3 + 40] = bad;
      Check(format, values, 88, kEncodedTokens, 0);
    }
  }
}

TEST(Encode, HugeAndTinyGroups) {
  for (CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    const RowFormat format = MakeRowFormat(type, 64, 32);
    for (float size : {3.4e38f, 1e-38f, 1e-45f, 65504.0f, 7e6f}) {
      std::vector<float> values(64 * kEncodedTokens);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = i % 3 == 0 ? size : i % 3 == 1 ? -size : size / 2;
      }
      Check(format, values, 64, kEncodedTokens, 16);
    }
  }
}

TEST(Encode, HalvesAreTheNearestAndFinite) {
  std::mt19937 random(5);
  for (int64_t n : {1, 5, 16, 17, 64, 100}) {
    std::vector<float> values = Values(random, n, 1.0f);
    values[0] = 1e6f;
    values[static_cast<size_t>(n / 2)] = -1e6f;
    values[static_cast<size_t>(n - 1)] = 3e-7f;
    const RowFormat format = MakeRowFormat(CacheType::kF16, static_cast<int32_t>(n), 0);
    std::vector<uint16_t> expected(static_cast<size_t>(n) + 1, 7);
    EncodeRow(format, values.data(), reinterpret_cast<uint8_t*>(expected.data()), nullptr);
    for (Isa isa : SupportedIsas()) {
      std::vector<uint16_t> actual(static_cast<size_t>(n) + 1, 7);
      GetEncodeKernels(isa).to_halves(values.data(), n, actual.data());
      EXPECT_EQ(actual, expected) << IsaName(isa) << ' ' << n;
    }
  }
}

TEST(Encode, BfloatsAreTheNearest) {
  std::mt19937 random(6);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> values = Values(random, 100, 1.0f);
  // Ties go to the even neighbour, and round up into the next power of two.
  for (float x : {0x1.01p0f, 0x1.03p0f, -0x1.01p0f, 0x1.ffp3f, 1e38f, -1e-40f, 0.0f, kInfinity,
                  -kInfinity, std::numeric_limits<float>::max()}) {
    values.push_back(x);
  }
  for (const uint32_t bits : {0x7f800001u, 0xff80ffffu, 0x7fffffffu, 0x7fc00000u}) {
    values.push_back(std::bit_cast<float>(bits));
  }
  for (size_t n = 1; n <= values.size(); n += 7) {
    std::vector<uint16_t> expected(n + 1, 7);
    for (size_t i = 0; i < n; ++i) expected[i] = FloatToBfloat16(values[values.size() - n + i]);
    for (Isa isa : SupportedIsas()) {
      std::vector<uint16_t> actual(n + 1, 7);
      GetEncodeKernels(isa).to_bfloats(&values[values.size() - n], static_cast<int64_t>(n),
                                       actual.data());
      EXPECT_EQ(actual, expected) << IsaName(isa) << ' ' << n;
    }
  }
}

TEST(Encode, HalvesKeepWhatIsNotANumber) {
  const float bad = std::nanf("");
  for (Isa isa : SupportedIsas()) {
    uint16_t half = 0;
    GetEncodeKernels(isa).to_halves(&bad, 1, &half);
    EXPECT_GT(half & 0x7fff, 0x7c00) << IsaName(isa);
  }
}

}  // namespace
}  // namespace mla
