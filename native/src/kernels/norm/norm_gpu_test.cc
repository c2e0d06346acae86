// The GPU's norm against the reference.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "cuda/gpu_testing.h"
#include "kernels/norm/gpu.h"
#include "kernels/norm/norm.h"

namespace mla {
namespace {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

struct Shape {
  int32_t n, heads;
  int64_t length;
  bool in_place, same_weights;
};

void Check(const Shape& s, Emulator::Order order, float size = 1.0f) {
  SCOPED_TRACE(testing::Message() << s.n << " x " << s.heads << " x " << s.length);
  std::mt19937 random(static_cast<uint32_t>(s.length));
  std::normal_distribution<float> normal;
  const int64_t head = s.length + 3, row = head * s.heads + 2;
  std::vector<float> x(static_cast<size_t>(row * s.n), kPoison), other = x, expected = x;
  std::vector<float> weights(static_cast<size_t>(s.length * (s.same_weights ? 1 : s.heads)));
  for (float& w : weights) w = normal(random);
  for (int32_t i = 0; i < s.n; ++i) {
    for (int32_t h = 0; h < s.heads; ++h) {
      float* at = x.data() + i * row + h * head;
      for (int64_t c = 0; c < s.length; ++c) at[c] = size * normal(random);
      RmsNormReference(at, row, weights.data() + (s.same_weights ? 0 : h * s.length), 1e-5f,
                       expected.data() + i * row + h * head, row, 1, s.length);
    }
  }
  TestGpu gpu(order);
  const DeviceArray<float> x_there(gpu, x), other_there(gpu, other), weights_there(gpu, weights);
  const DeviceArray<float>& out_there = s.in_place ? x_there : other_there;
  tested::Launch(gpu, GpuRmsNorm{x_there.data(), row, head, weights_there.data(),
                                 s.same_weights ? 0 : s.length, 1e-5f, out_there.data(), row, head,
                                 s.n, s.heads, s.length});
  const std::vector<float> out = out_there.Read();
  for (size_t j = 0; j < out.size(); ++j) {
    if (std::isnan(expected[j])) {
      ASSERT_TRUE(std::isnan(out[j])) << "padding was written at " << j;
    } else {
      ASSERT_NEAR(out[j], expected[j], 4e-6 * std::fabs(expected[j]) + 1e-30) << j;
    }
  }
}

TEST(NormGpu, AgreesWithTheReference) {
  for (const Emulator::Order order : kOrders) {
    for (int64_t length : {1, 2, 31, 32, 33, 64, 128, 576, 1025}) {
      Check({1, 1, length, false, true}, order);
      Check({3, 3, length, true, false}, order);
      Check({2, 5, length, false, false}, order);
      Check({5, 2, length, true, true}, order);
    }
  }
}

TEST(NormGpu, LargeAndSmallRows) {
  for (float size : {1e-6f, 1e4f, 1e12f}) Check({2, 2, 77, false, true}, {}, size);
}

TEST(NormGpu, NoRows) { Check({0, 4, 16, false, true}, {}); }

}  // namespace
}  // namespace mla
