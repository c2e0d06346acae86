// The GPU's attention to rows of bf16, which are multiplied as they are.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda/gpu_testing.h"
#include "kernels/attention/attention_batch_testing.h"
#include "kernels/attention/errors_testing.h"

namespace mla::testing_attention {
namespace {

// kMost and kRootMeanSquare are for halves, which have three bits more; by the random sums of these
// tests results are not as much farther off.
constexpr double kMostBf16 = 2 * kMost, kRootMeanSquareBf16 = 2 * kRootMeanSquare;

// Those of the tests of all types besides, of any rank, long ones and many heads.
TEST(GpuBf16Attention, OneLatentOfAnyRankAgreesWithTheFormula) {
  Errors errors(kMostBf16);
  int latents = 0, groups = 0;
  for (uint32_t seed = 400; seed < 460; ++seed) {
    std::mt19937 random(seed);
    Options options;
    options.type = CacheType::kBf16;
    options.queries = Pick<int32_t>(random, {1, 1, 1, 2, 5});
    options.window = Pick<int32_t>(random, {0, 0, 0, 1, 70});
    const int32_t rank =
        8 * Pick<int32_t>(random, {1, 4, 11, 16, 17, 32, 33, 40, 41, 63, 64, 65, 90});
    const int32_t rope_dim = Pick<int32_t>(random, {0, 8, 16, 32, 64, 104});
    const LayerLayout layout =
        MakeLayout(Kind::kJoint, 1, Pick<int32_t>(random, {1, 3, 9, 11, 33, 70, 128}),
                   rope_dim == 0 ? 0 : 1, rope_dim, rank, 0);
    const int32_t first = Pick<int32_t>(random, {-1, 0, 1, 63, 64, 129, 400});
    TestGpu gpu(kOrders[seed % std::size(kOrders)]);
    gpu.set_shared_bytes(227 << 10);
    const auto plan = GpuAttentionPlan::Create(layout, options.Cache(), options.queries, gpu);
    ASSERT_TRUE(plan.ok() && plan.value().sizes().bfloats != 0) << seed;
    const GpuLatentSizes* latent = plan.value().latent();
    latents += latent != nullptr;
    groups += latent != nullptr && latent->group.values > 0;
    ASSERT_NO_FATAL_FAILURE(CompareOn(gpu, layout, options, {first, 70}, seed, &errors));
  }
  EXPECT_GT(latents, 45) << "others are too long for shared memory";
  EXPECT_TRUE(groups > 15 || !TestGpu().has_group_mma());
  EXPECT_LE(errors.RootMeanSquare(), kRootMeanSquareBf16);
}

// By every kernel that has rows of bf16.
struct Bf16Shape {
  Kind kind;
  int32_t heads, latent;
};
constexpr Bf16Shape kBf16Shapes[] = {{Kind::kJoint, 9, 88},
                                     {Kind::kJoint, 33, 88},
                                     {Kind::kJoint, 9, 264},
                                     {Kind::kPlain, 3, 40},
                                     {Kind::kJoint, 3, 90}};

class Bf16Batch {
 public:
  // Latents are `by` times as large as usual, and scores `sharper`.
  Bf16Batch(const Bf16Shape& shape, float by, float sharper, const std::vector<int32_t>& firsts)
      : gpu_(Emulator::Order::kShuffled), by_(by) {
    gpu_.set_shared_bytes(227 << 10);
    Options options;
    options.type = CacheType::kBf16;
    options.latent_by = by;
    batch_ = std::make_unique<Batch>(MakeLayout(shape.kind, 1, shape.heads, 1, 0, shape.latent, 40),
                                     options, firsts, 3, gpu_);
    EXPECT_EQ(batch_->plan->latent() != nullptr,
              shape.kind == Kind::kJoint && shape.latent % 8 == 0);
    EXPECT_NE(batch_->plan->sizes().bfloats, 0);
    batch_->call.scale *= sharper / by;
    for (const auto& problem : batch_->problems) problem->params.scale *= sharper / by;
  }

  // Of results and what they should be as if rows had not been multiplied.
  void Compare(Errors* errors) {
    const auto actual = batch_->Run();
    for (size_t k = 0; k < actual.size(); ++k) {
      const Problem& problem = *batch_->problems[k];
      errors->Add(Shrunk(actual[k]), Shrunk(problem.Reference(nullptr)),
                  std::to_string(problem.layout.heads) + " heads of " +
                      std::to_string(problem.layout.latent));
    }
  }

 private:
  std::vector<float> Shrunk(std::vector<float> of) const {
    for (float& x : of) x /= x == Problem::kUnwritten ? 1 : by_;
    return of;
  }

  TestGpu gpu_;
  const float by_;
  std::unique_ptr<Batch> batch_;
};

// Rows and their means, of one split and of many.
TEST(GpuBf16Attention, RowsOfBf16MayBeBeyondHalves) {
  Errors errors(kMostBf16);
  for (const Bf16Shape& shape : kBf16Shapes) {
    ASSERT_NO_FATAL_FAILURE(Bf16Batch(shape, 0x1p40f, 1, {900, 20}).Compare(&errors));
  }
}

// Whose scores are seldom within reach of the references that warps share.
TEST(GpuBf16Attention, WeightsOfAnyScoresAreRelativeToTheSame) {
  for (const float sharper : {0.3f, 3.0f}) {
    // A score that is larger is off by more.
    Errors errors(kMostBf16 * std::max(1.0f, sharper));
    for (const Bf16Shape& shape : kBf16Shapes) {
      ASSERT_NO_FATAL_FAILURE(Bf16Batch(shape, 1, sharper, {900, 20}).Compare(&errors));
    }
  }
}

// However coarse its weight is.
TEST(GpuBf16Attention, OfOneTokenOfBf16IsWhatItIs) {
  Errors errors(1e-6);
  for (const Bf16Shape& shape : kBf16Shapes) {
    ASSERT_NO_FATAL_FAILURE(Bf16Batch(shape, 1, 1, {0}).Compare(&errors));
  }
}

}  // namespace
}  // namespace mla::testing_attention
