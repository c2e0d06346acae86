#include "tensor/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tensor/iq4_quants.h"

namespace mla {
namespace {

// The golden hashes below were computed by GGUF's own Python implementation from the same bytes.
struct Random {
  uint32_t state = 12345;
  uint32_t Next() { return state = state * 1664525u + 1013904223u; }
  uint8_t Byte() { return static_cast<uint8_t>(Next() >> 24); }
};

uint64_t Fnv(const void* data, size_t size) {
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < size; ++i) {
    h = (h ^ static_cast<const uint8_t*>(data)[i]) * 1099511628211u;
  }
  return h;
}

// Nearly normal, mean 0.01, deviation 0.07; the same on every machine.
std::vector<float> Gaussian(int n, uint32_t seed) {
  Random random{seed};
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) {
    float sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<float>(random.Next() >> 8) * 0x1p-24f;
    v = 0.01f + 0.07f * sum;
  }
  return x;
}

double RelativeRmse(Type type, const std::vector<float>& x) {
  const auto n = static_cast<int64_t>(x.size());
  std::vector<uint8_t> packed(static_cast<size_t>(RowBytes(type, n)));
  std::vector<float> y(x.size());
  QuantizeRow(type, x.data(), packed.data(), n);
  DequantizeRow(type, packed.data(), y.data(), n);
  double error = 0, power = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (double(x[i]) - y[i]) * (double(x[i]) - y[i]);
    power += double(x[i]) * x[i];
  }
  return std::sqrt(error / power);
}

TEST(Half, EveryValueGoesThereAndBack) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float f = HalfToFloat(static_cast<uint16_t>(h));
    if ((h & 0x7fff) > 0x7c00) {
      EXPECT_TRUE(std::isnan(f));
      EXPECT_EQ(FloatToHalf(f), h | 0x200) << h;  // a signalling NaN becomes quiet
    } else {
      const int exponent = static_cast<int>(h >> 10 & 31);
      const double mantissa = h & 0x3ff;
      const double expected = exponent == 31  ? INFINITY
                              : exponent == 0 ? std::ldexp(mantissa, -24)
                                              : std::ldexp(1024 + mantissa, exponent - 25);
      EXPECT_EQ(static_cast<double>(f), h & 0x8000 ? -expected : expected);
      EXPECT_EQ(FloatToHalf(f), h);
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    const float a = HalfToFloat(static_cast<uint16_t>(h));
    const float b = HalfToFloat(static_cast<uint16_t>(h + 1));
    const float middle = a + (b - a) / 2;  // exact
    EXPECT_EQ(FloatToHalf(middle), h % 2 == 0 ? h : h + 1);
    EXPECT_EQ(FloatToHalf(std::nextafter(middle, 0.0f)), h);
    EXPECT_EQ(FloatToHalf(-std::nextafter(middle, 1e9f)), (h + 1) | 0x8000);
  }
  EXPECT_EQ(FloatToHalf(65519.99f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(-1e30f), 0xfc00);
  EXPECT_EQ(FloatToHalf(-0.0f), 0x8000);
  EXPECT_EQ(FloatToHalf(1e-30f), 0);
}

TEST(Bfloat16, RoundsToNearestEvenAndKeepsNaN) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float f = Bfloat16ToFloat(static_cast<uint16_t>(h));
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(Bfloat16ToFloat(FloatToBfloat16(f))));
    } else {
      EXPECT_EQ(FloatToBfloat16(f), h);
    }
  }
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(FloatToBfloat16(std::bit_cast<float>(0x7f80ffffu)) & 0x7fc0, 0x7fc0);
}

struct Golden {
  Type type;
  std::vector<int> halves;  // byte offsets of f16 fields of a block
  uint64_t hash;
};

class Decode : public testing::TestWithParam<Golden> {};

TEST_P(Decode, IsBitExact) {
  const Golden& golden = GetParam();
  const TypeTraits& traits = GetTypeTraits(golden.type);
  constexpr int kBlocks = 64;
  Random random;
  std::vector<uint8_t> bytes(static_cast<size_t>(kBlocks * traits.bytes));
  for (uint8_t& b : bytes) b = random.Byte();
  for (int i = 0; i < kBlocks; ++i) {
    for (int at : golden.halves)
      bytes[static_cast<size_t>(i * traits.bytes + at + 1)] &= 0xbb;  // finite
  }
  std::vector<float> y(static_cast<size_t>(kBlocks * traits.block));
  DequantizeRow(golden.type, bytes.data(), y.data(), kBlocks * traits.block);
  EXPECT_EQ(Fnv(y.data(), y.size() * sizeof(float)), golden.hash);
}

INSTANTIATE_TEST_SUITE_P(Types, Decode,
                         testing::Values(Golden{Type::kF16, {0}, 0x7d83564246fa3b2b},
                                         Golden{Type::kBF16, {0}, 0x10e520f4a454099d},
                                         Golden{Type::kQ8_0, {0}, 0x731a2740abcd4f04},
                                         Golden{Type::kQ4_0, {0}, 0x13e09741b488ddf6},
                                         Golden{Type::kQ4_1, {0, 2}, 0x0609ac5b66a9045b},
                                         Golden{Type::kQ5_0, {0}, 0x12a1ac1bf9762c32},
                                         Golden{Type::kQ5_1, {0, 2}, 0xa87e215eae95ec02},
                                         Golden{Type::kQ4_K, {0, 2}, 0x42228e3c356ff105},
                                         Golden{Type::kQ5_K, {0, 2}, 0x20db332224caa34c},
                                         Golden{Type::kQ6_K, {208}, 0x8103351963ac0321},
                                         Golden{Type::kQ3_K, {108}, 0x7fab3b562ff835d3},
                                         Golden{Type::kIQ4_NL, {0}, 0xc0d9fd1e58488aff},
                                         Golden{Type::kIQ4_XS, {0}, 0x249bbd3382c2bd38}),
                         [](const auto& test) { return GetTypeTraits(test.param.type).name; });

class Encode : public testing::TestWithParam<Golden> {};

TEST_P(Encode, IsBitExact) {
  const Golden& golden = GetParam();
  Random random;
  std::vector<float> x(4096);
  for (float& v : x) {
    v = (static_cast<float>(random.Next() >> 8) - 8388608.0f) * 0x1p-23f;
    v = v * v * v;
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(RowBytes(golden.type, 4096)));
  QuantizeRow(golden.type, x.data(), bytes.data(), 4096);
  EXPECT_EQ(Fnv(bytes.data(), bytes.size()), golden.hash);
}

INSTANTIATE_TEST_SUITE_P(Types, Encode,
                         testing::Values(Golden{Type::kF16, {}, 0x9b5945c1fad88fe6},
                                         Golden{Type::kBF16, {}, 0xb9c89d604c08a6b9},
                                         Golden{Type::kQ8_0, {}, 0x814187bf3203250c},
                                         Golden{Type::kQ4_0, {}, 0xdbb76d45fc8eec36},
                                         Golden{Type::kQ4_1, {}, 0xe43ecc436706891d},
                                         Golden{Type::kQ5_0, {}, 0xcf147e4373cc04ad},
                                         Golden{Type::kQ5_1, {}, 0x9aab0ca85d026adf}),
                         [](const auto& test) { return GetTypeTraits(test.param.type).name; });

TEST(Convert, ErrorIsWhatTheBitsAllow) {
  const std::vector<float> x = Gaussian(256 * 64, 1);
  EXPECT_EQ(RelativeRmse(Type::kF32, x), 0);
  EXPECT_LT(RelativeRmse(Type::kF16, x), 2.2e-4);
  EXPECT_LT(RelativeRmse(Type::kBF16, x), 1.8e-3);
  EXPECT_LT(RelativeRmse(Type::kQ8_0, x), 6e-3);
  EXPECT_LT(RelativeRmse(Type::kQ4_0, x), 0.1);
  EXPECT_LT(RelativeRmse(Type::kQ4_1, x), 0.09);
  EXPECT_LT(RelativeRmse(Type::kQ5_0, x), 0.0425);
  EXPECT_LT(RelativeRmse(Type::kQ5_1, x), 0.0372);
  EXPECT_LT(RelativeRmse(Type::kQ3_K, x), 0.142);
  EXPECT_LT(RelativeRmse(Type::kIQ4_NL, x), 0.0742);
  EXPECT_LT(RelativeRmse(Type::kIQ4_XS, x), 0.0749);
  EXPECT_LT(RelativeRmse(Type::kQ4_K, x), 0.0687);
  EXPECT_LT(RelativeRmse(Type::kQ5_K, x), 0.0344);
  EXPECT_LT(RelativeRmse(Type::kQ6_K, x), 0.0170);
}

// What a block of the type can hold as it is, with a scale that a half holds.
float OnTheGrid(Type type, int i) {
  switch (type) {
    case Type::kIQ4_NL:
    case Type::kIQ4_XS:
      return kIq4Values[i % 16];
    case Type::kQ3_K:
      return static_cast<float>(i % 8 - 4);
    case Type::kQ5_0:
    case Type::kQ5_1:
    case Type::kQ5_K:
      return static_cast<float>(i % 32 - 16);
    default:
      return static_cast<float>(i % 16 - 8);
  }
}

TEST(Convert, ValuesOnTheGridSurvive) {
  std::vector<float> x(256);
  for (Type type : kAllTypes) {
    for (int i = 0; i < 256; ++i) x[static_cast<size_t>(i)] = OnTheGrid(type, i * 7);
    if (GetTypeTraits(type).block == 256 || type == Type::kQ8_0) {
      EXPECT_LT(RelativeRmse(type, x), 5e-3) << GetTypeTraits(type).name;
    } else {
      EXPECT_EQ(RelativeRmse(type, x), 0) << GetTypeTraits(type).name;
    }
  }
}

TEST(Convert, AwkwardBlocksStayFinite) {
  std::vector<std::vector<float>> cases;
  cases.emplace_back(256, 0.0f);
  cases.emplace_back(256, 3.25f);
  cases.emplace_back(256, -3.25f);
  cases.emplace_back(256, 1e-30f);
  cases.emplace_back(256, 0.0f);
  cases.back()[200] = 5;
  cases.emplace_back(256, 0.0f);
  cases.back()[77] = -1e-3f;
  cases.emplace_back(Gaussian(256, 5));
  for (size_t i = 0; i < 256; ++i)
    cases.back()[i] *= std::pow(10.0f, static_cast<float>(i / 32) - 4);
  for (size_t c = 0; c < cases.size(); ++c) {
    for (Type type : kAllTypes) {
      std::vector<uint8_t> packed(static_cast<size_t>(RowBytes(type, 256)));
      std::vector<float> y(256);
      QuantizeRow(type, cases[c].data(), packed.data(), 256);
      DequantizeRow(type, packed.data(), y.data(), 256);
      float largest = 0;
      for (float v : cases[c]) largest = std::max(largest, std::fabs(v));
      for (size_t i = 0; i < 256; ++i) {
        EXPECT_LE(std::fabs(y[i] - cases[c][i]), 0.13f * largest + 1e-6f)
            << GetTypeTraits(type).name << " case " << c << " element " << i;
      }
    }
  }
}

TEST(Convert, NotANumberAndInfinityAreTakenWithoutHarm) {
  for (float poison : {std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY, 3e38f}) {
    std::vector<float> x = Gaussian(512, 3), y(512);
    x[5] = x[40] = poison;  // the second super-block stays clean
    BlockQ8_0 first;
    QuantizeRow(Type::kQ8_0, x.data(), &first, 32);
    if (std::isnan(poison)) {
      EXPECT_EQ(first.qs[5], -127);  // the same everywhere
    }
    for (Type type : kAllTypes) {
      std::vector<uint8_t> packed(static_cast<size_t>(RowBytes(type, 512)));
      QuantizeRow(type, x.data(), packed.data(), 512);
      DequantizeRow(type, packed.data(), y.data(), 512);
      for (size_t i = 256; i < 512; ++i) EXPECT_NEAR(y[i], x[i], 0.05f);
    }
  }
}

TEST(Types, OnlyKnownOnesHaveTraits) {
  for (Type type : kAllTypes) ASSERT_NE(FindTypeTraits(static_cast<uint32_t>(type)), nullptr);
  for (uint32_t type : {4u, 5u, 10u, 29u, 31u, 0xffffffffu})
    EXPECT_EQ(FindTypeTraits(type), nullptr);
  EXPECT_EQ(RowBytes(Type::kQ6_K, 512), 420);
}

}  // namespace
}  // namespace mla
