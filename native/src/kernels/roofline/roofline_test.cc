#include "kernels/roofline/roofline.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "tensor/aligned_buffer.h"

namespace mla {
namespace {

class RooflineTest : public testing::TestWithParam<Isa> {
 protected:
  const RooflineKernels& kernels_ = GetRooflineKernels(GetParam());
};

TEST_P(RooflineTest, EveryWordIsRead) {
  const int64_t words = 6 * kReadGrain / 8;
  const AlignedBuffer buffer(words * 8);
  uint64_t* data = reinterpret_cast<uint64_t*>(buffer.data());
  uint64_t expected = 0;
  for (int64_t i = 0; i < words; ++i) {
    data[i] = static_cast<uint64_t>(i + 1) * 0x9e3779b97f4a7c15u;
    expected += data[i];
  }
  EXPECT_EQ(kernels_.read(data, words * 8), expected);
  EXPECT_EQ(kernels_.read(data, kReadGrain),
            std::accumulate(data, data + kReadGrain / 8, uint64_t{0}));
  EXPECT_EQ(kernels_.read(data, 0), 0u);
}

// A product of ones adds one: the sum counts what was really done.
TEST_P(RooflineTest, AsManyMultiplyAddsAsItSays) {
  for (int64_t rounds : {0, 1, 7, 1000}) {
    EXPECT_EQ(kernels_.multiply_floats(rounds, 1.0f), static_cast<float>(rounds * kernels_.floats));
    EXPECT_EQ(kernels_.multiply_integers(rounds, 1),
              static_cast<uint32_t>(rounds * kernels_.integers));
  }
}

// x = 2x + 2 gives 2, 6, 14: the lanes are multiplied, not only added to.
TEST_P(RooflineTest, TheFactorCounts) {
  EXPECT_EQ(kernels_.multiply_floats(3, 2.0f), 14.0f * static_cast<float>(kernels_.floats));
  EXPECT_NE(kernels_.multiply_integers(1, 2), kernels_.multiply_integers(1, 1));
}

INSTANTIATE_TEST_SUITE_P(All, RooflineTest, testing::ValuesIn(SupportedIsas()),
                         [](const auto& param) { return IsaName(param.param); });

}  // namespace
}  // namespace mla
