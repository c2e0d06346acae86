// Weighted sums of int4 and int2 rows against the arithmetic that packed_sums_simd.h promises,
// written out in plain loops: tighter than any comparison with exact weights could be.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/attention/attention_testing.h"
#include "kernels/attention/tile_kernels.h"
#include "tensor/convert.h"

namespace mla::testing_attention {
namespace {

constexpr int32_t kPageEnd = kPageTokens - 1;

// (2 i + 1) / 128 with the six bits of i in reverse.
float Dither(int32_t token) {
  int32_t reversed = 0;
  for (int bit = 0; bit < 6; ++bit) reversed |= (token >> bit & 1) << (5 - bit);
  return static_cast<float>(2 * reversed + 1) / 128.0f;
}

struct Group {
  const PackedRows& rows;
  int32_t index;

  float Number(int32_t which, int32_t t) const {
    return HalfToFloat(rows.scales[(2 * index + which) * kPageTokens + t]);
  }
  float Scale(int32_t t) const { return Number(0, t); }
  float Minimum(int32_t t) const { return Number(1, t); }

  // What a step of the weights is.
  float Unit(const float* weights) const {
    float largest = 0;
    for (int32_t t = 0; t < rows.count; ++t) largest = std::max(largest, weights[t] * Scale(t));
    return largest / 255.0f;
  }
};

int32_t Field(const PackedRows& rows, int32_t element, int32_t token) {
  const int32_t fields = rows.format.fields(), bits = 8 / fields;
  const int32_t block = element / (4 * fields), at = element % (4 * fields);
  const uint8_t byte = rows.data[block * kBlockStride + token * kBlockBytes + at % 4];
  return byte >> (at / 4 * bits) & ((1 << bits) - 1);
}

// Whether rounding errors could make a token's whole number another one, of any group.
bool IsNearTie(const PackedRows& rows, const float* weights) {
  for (int32_t g = 0; g < rows.format.groups(); ++g) {
    const Group group{rows, g};
    const float unit = group.Unit(weights);
    if (unit == 0) continue;
    for (int32_t t = 0; t < rows.count; ++t) {
      const float whole = weights[t] * group.Scale(t) / unit + Dither(t);
      if (std::fabs(whole - std::round(whole)) < 1e-4f) return true;
    }
  }
  return false;
}

double Expected(const PackedRows& rows, const float* weights, int32_t element) {
  const Group group{rows, element / rows.format.group};
  const int32_t middle = rows.format.type == CacheType::kInt4 ? 8 : 2;
  const float unit = group.Unit(weights);
  double sum = 0;
  for (int32_t t = 0; t < rows.count; ++t) {
    const double scale = group.Scale(t), minimum = group.Minimum(t);
    const double weight =
        unit == 0 ? weights[t] * scale : unit * std::floor(weights[t] * scale / unit + Dither(t));
    sum += weight * (Field(rows, element, t) - middle) + weights[t] * (minimum + middle * scale);
  }
  return sum;
}

// Some rows do not see the last tokens.
void Check(const Problem& problem, int32_t count, int32_t n, std::mt19937& random) {
  const PageRows& page = problem.params.cache->rows;
  const PackedRows rows = page.Rows(page.latent[0], 0, count);
  const int64_t length = rows.format.length, stride = length + 3;
  std::vector<float> weights(static_cast<size_t>(n * kTileTokens), 0.0f);
  std::vector<Blend> blends(static_cast<size_t>(n));
  for (int32_t m = 0; m < n; ++m) {
    std::normal_distribution<float> normal(0.0f, m % 3 == 0 ? 0.0f : 2.0f);
    blends[static_cast<size_t>(m)] = {std::exp(-std::fabs(normal(random))),
                                      std::exp(-std::fabs(normal(random)))};
    float* row = &weights[static_cast<size_t>(m * kTileTokens)];
    do {
      for (int32_t t = 0; t < std::max(1, count - m % 4 * 7); ++t) {
        row[t] = std::exp(-std::fabs(normal(random)));
      }
    } while (normal.stddev() > 0 && IsNearTie(rows, row));
  }
  for (Isa isa : SupportedIsas()) {
    for (bool first : {true, false}) {
      std::vector<float> out(static_cast<size_t>(n * stride), 0.5f);
      GetAttentionTileKernels(isa).accumulate(rows, weights.data(), kTileTokens,
                                              first ? nullptr : blends.data(), n, false, out.data(),
                                              stride);
      for (int32_t m = 0; m < n; ++m) {
        const Blend blend = first ? Blend{0.0f, 1.0f} : blends[static_cast<size_t>(m)];
        for (int32_t e = 0; e < length; ++e) {
          const double expected =
              0.5f * blend.before +
              blend.tile * Expected(rows, &weights[static_cast<size_t>(m * kTileTokens)], e);
          ASSERT_NEAR(out[static_cast<size_t>(m * stride + e)], expected,
                      2e-5 * (1.0 + std::fabs(expected)))
              << IsaName(isa) << " fields " << rows.format.fields() << " length " << length
              << " group " << rows.format.group << " count " << count << " row " << m << " of " << n
              << " element " << e;
        }
        for (int64_t e = length; e < stride; ++e) {
          ASSERT_EQ(out[static_cast<size_t>(m * stride + e)], 0.5f) << "beyond the row";
        }
      }
    }
  }
}

TEST(PackedSums, AreThoseOfDitheredWeights) {
  std::mt19937 random(7);
  for (CacheType type : {CacheType::kInt4, CacheType::kInt2}) {
    for (int32_t group : {32, 64}) {
      for (int32_t length : {1, 7, 16, 17, 32, 33, 64, 72, 88, 130}) {
        Options options;
        options.type = type;
        options.group = group;
        options.first = kPageEnd;
        const Problem problem(MakeLayout(Kind::kPlain, 1, 1, 1, 2, 0, length), options,
                              static_cast<uint32_t>(length));
        for (int32_t count : {1, 2, 3, 15, 16, 17, 33, 63, 64}) {
          Check(problem, count, 1 + (count + length) % 14, random);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// A query of a chunk among later tokens gives what it gives alone, to the last bit.
TEST(PackedSums, TokensThatARowDoesNotSeeChangeNothing) {
  constexpr int32_t kSeen = 21, kLength = 88;
  std::mt19937 random(8);
  for (CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    Options options;
    options.type = type;
    options.first = kPageEnd;
    const Problem problem(MakeLayout(Kind::kPlain, 1, 1, 1, 2, 0, kLength), options, 6);
    const PageRows& page = problem.params.cache->rows;
    for (int32_t n : {1, 9, 40}) {
      std::vector<float> weights(static_cast<size_t>(n * kTileTokens), 0.0f);
      std::uniform_real_distribution<float> uniform(0.001f, 1.0f);
      for (int32_t i = 0; i < n * kTileTokens; ++i) {
        if (i % kTileTokens < kSeen) weights[static_cast<size_t>(i)] = uniform(random);
      }
      for (Isa isa : SupportedIsas()) {
        for (bool fine : {false, true}) {
          const auto sums = [&](int32_t count) {
            std::vector<float> out(static_cast<size_t>(n * kLength));
            GetAttentionTileKernels(isa).accumulate(page.Rows(page.latent[0], 0, count),
                                                    weights.data(), kTileTokens, nullptr, n, fine,
                                                    out.data(), kLength);
            return out;
          };
          EXPECT_EQ(sums(kPageTokens), sums(kSeen)) << IsaName(isa) << ' ' << n;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mla::testing_attention
