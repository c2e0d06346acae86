// How attention of a layer is cut on the GPU, and which kernel has it.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "cache/cache_testing.h"
#include "cuda/gpu_testing.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/attention/gpu_plan.h"
#include "tensor/status_testing.h"

namespace mla::testing_attention {
namespace {

TEST(GpuAttentionPlan, OneLatentHasAKernelOfItsOwn) {
  const TestGpu gpu;
  const auto is_latent = [&](const LayerLayout& layout, CacheType type, int32_t residual) {
    const auto plan = GpuAttentionPlan::Create(layout, Of(type, residual), 1, gpu);
    EXPECT_TRUE(plan.ok());
    return plan.ok() && plan.value().latent() != nullptr;
  };
  const auto joint = [](int32_t rope_groups, int32_t latent) {
    return MakeLayout(Kind::kJoint, 2, 4, rope_groups, 8, latent, 0);
  };
  EXPECT_TRUE(is_latent(joint(1, 88), CacheType::kF16, 0));
  EXPECT_TRUE(is_latent(joint(1, 88), CacheType::kInt4, 128));
  EXPECT_TRUE(is_latent(joint(1, 89), CacheType::kInt2, 0));
  EXPECT_FALSE(is_latent(joint(1, 89), CacheType::kInt2, 128)) << "float rows between units";
  EXPECT_FALSE(is_latent(joint(1, 88), CacheType::kF32, 0));
  EXPECT_TRUE(is_latent(joint(1, 88), CacheType::kBf16, 128)) << "which has no window";
  EXPECT_FALSE(is_latent(joint(1, 89), CacheType::kBf16, 0));
  EXPECT_FALSE(is_latent(joint(2, 88), CacheType::kF16, 0)) << "rotary rows of heads";
  EXPECT_FALSE(is_latent(joint(1, 1032), CacheType::kInt4, 0)) << "more than its sums hold";
  EXPECT_FALSE(is_latent(MakeLayout(Kind::kPlain, 2, 4, 2, 8, 0, 16), CacheType::kF16, 0));
  EXPECT_FALSE(is_latent(MakeLayout(Kind::kSplit, 2, 4, 1, 8, 16, 16), CacheType::kF16, 0));
}

TEST(GpuAttentionPlan, GroupsOfWarpsHaveLongLatentsAndManyHeads) {
  const auto plan = [](TestGpu& gpu, int32_t heads, int32_t latent, CacheType type) {
    auto made = GpuAttentionPlan::Create(MakeLayout(Kind::kJoint, 1, heads, 1, 64, latent, 0),
                                         Of(type, 0), 1, gpu);
    EXPECT_TRUE(made.ok());
    return std::move(made.value());
  };
  TestGpu gpu;
  gpu.set_shared_bytes(227 << 10);
  if (!gpu.has_group_mma()) GTEST_SKIP() << "for GPUs of compute capability 9.0";
  const auto group = [&](int32_t heads, int32_t latent, CacheType type) {
    const GpuAttentionPlan made = plan(gpu, heads, latent, type);
    return made.latent() == nullptr ? GpuGroupSizes{} : made.latent()->group;
  };
  EXPECT_EQ(group(32, 256, CacheType::kF16).values, 0);
  EXPECT_EQ(group(33, 256, CacheType::kF16).values, 4);
  EXPECT_EQ(group(33, 256, CacheType::kF16).columns, 64);
  EXPECT_EQ(group(16, 264, CacheType::kF16).values, 5);
  EXPECT_EQ(group(16, 264, CacheType::kF16).columns, 16);
  EXPECT_EQ(group(16, 264, CacheType::kBf16).columns, 16);
  EXPECT_EQ(group(16, 264, CacheType::kBf16).stages, 0);
  EXPECT_EQ(group(17, 512, CacheType::kF16).columns, 64);
  EXPECT_EQ(group(16, 520, CacheType::kF16).values, 0) << "more than registers hold";
  EXPECT_EQ(group(16, 264, CacheType::kInt8).stages, 2);
  EXPECT_EQ(group(16, 512, CacheType::kInt8).stages, 0) << "no room for two pages";
  EXPECT_EQ(group(17, 512, CacheType::kInt4).columns, 64);
  EXPECT_EQ(group(16, 512, CacheType::kInt4).values, 0) << "few columns of small tiles";
  gpu.set_shared_bytes(160 << 10);
  EXPECT_EQ(group(16, 512, CacheType::kF16).values, 0) << "no room for two tiles";
  gpu.set_shared_bytes(227 << 10);
  gpu.set_has_group_mma(false);
  EXPECT_EQ(group(16, 512, CacheType::kF16).values, 0);
}

TEST(GpuAttentionPlan, GroupsSplitsFillTheProcessors) {
  TestGpu gpu;
  gpu.set_shared_bytes(227 << 10);
  if (!gpu.has_group_mma()) GTEST_SKIP() << "for GPUs of compute capability 9.0";
  const auto plan = GpuAttentionPlan::Create(MakeLayout(Kind::kJoint, 1, 16, 1, 64, 512, 0),
                                             Of(CacheType::kF16, 0), 1, gpu);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(gpu.processors(), 2);
  EXPECT_EQ(plan.value().MostSplits(1, 8192, 0), 2);
  EXPECT_EQ(plan.value().MostSplits(2, 8192, 0), 1);
  EXPECT_EQ(plan.value().MostSplits(3, 8192, 0), 2) << "three waves of halves for two of wholes";
  EXPECT_EQ(plan.value().MostSplits(1, 64, 0), 1) << "no split is shorter than two tiles";
}

TEST(GpuAttentionPlan, SplitsOfLongSmallTilesFillTheProcessors) {
  TestGpu gpu;
  gpu.set_shared_bytes(227 << 10);
  const auto plan = GpuAttentionPlan::Create(MakeLayout(Kind::kJoint, 1, 16, 1, 64, 512, 0),
                                             Of(CacheType::kInt2, 0), 1, gpu);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(gpu.processors(), 2);
  EXPECT_EQ(plan.value().latent_shape(), kFewLongShape);
  EXPECT_EQ(plan.value().blocks(), 6) << "three a processor";
  EXPECT_EQ(plan.value().MostSplits(1, 8192, 0), 6);
  EXPECT_EQ(plan.value().MostSplits(3, 8192, 0), 2);
  EXPECT_EQ(plan.value().MostSplits(1, 64, 0), 1) << "no split is shorter than two tiles";
}

TEST(GpuAttentionPlan, RowsThatAreAllBf16StayThat) {
  const TestGpu gpu;
  const auto plan = [&](const LayerLayout& layout, CacheType latent, CacheType rope) {
    CacheOptions options = Of(latent);
    options.rope = rope;
    auto made = GpuAttentionPlan::Create(layout, options, 1, gpu);
    EXPECT_TRUE(made.ok());
    return std::move(made.value());
  };
  constexpr CacheType kBf16 = CacheType::kBf16, kF16 = CacheType::kF16, kInt8 = CacheType::kInt8;
  for (const LayerLayout& layout :
       {MakeLayout(Kind::kJoint, 2, 4, 1, 8, 88, 0), MakeLayout(Kind::kPlain, 2, 4, 2, 8, 0, 16)}) {
    const bool joint = layout.segments.size() == 1;
    const GpuAttentionPlan all = plan(layout, kBf16, kBf16);
    EXPECT_NE(all.sizes().bfloats, 0);
    EXPECT_EQ(all.latent() != nullptr, joint);
    if (!joint) {
      EXPECT_EQ(all.variant().rows, GpuRows::kBfloats);
    }
    for (const auto& [latent, rope] :
         {std::pair{kBf16, kF16}, {kF16, kBf16}, {kBf16, kInt8}, {kInt8, kBf16}}) {
      const GpuAttentionPlan mixed = plan(layout, latent, rope);
      EXPECT_EQ(mixed.sizes().bfloats, 0);
      EXPECT_EQ(mixed.latent(), nullptr) << "bf16 beside other rows";
      const bool packed = latent == kInt8 || rope == kInt8;
      EXPECT_EQ(mixed.variant().rows, packed ? GpuRows::kPacked : GpuRows::kHalves);
    }
  }
}

TEST(GpuAttentionPlan, LongerContextsHaveNoFewerSplits) {
  GpuAttentionSizes sizes = {};
  sizes.least_split = 64;
  sizes.usual_splits = 64;
  sizes.long_split = 512;
  sizes.most_splits = 264;
  int32_t before = 0;
  for (int32_t seen = 1; seen < 300'000; seen += 63) {
    const int32_t splits = sizes.Splits(seen);
    ASSERT_GE(splits, before) << seen;
    ASSERT_LE(splits, 264);
    before = splits;
  }
  EXPECT_EQ(sizes.Splits(64), 1);
  EXPECT_EQ(sizes.Splits(8192), 64);
  EXPECT_EQ(sizes.Splits(131072), 256);
  EXPECT_EQ(sizes.Splits(1 << 20), 264);
}

TEST(GpuAttentionPlan, RefusesWhatItCannotDo) {
  const TestGpu gpu;
  const CacheOptions options = Options().Cache();
  const LayerLayout small = MakeLayout(Kind::kJoint, 1, 2, 1, 8, 20, 0);
  EXPECT_STATUS(GpuAttentionPlan::Create(small, options, 0, gpu).status(), MLA_INVALID_ARGUMENT,
                "attention of 0 queries a step, expected 1 to 8");
  EXPECT_STATUS(GpuAttentionPlan::Create(small, options, 9, gpu).status(), MLA_INVALID_ARGUMENT,
                "attention of 9 queries");
  const LayerLayout large = MakeLayout(Kind::kJoint, 1, 2, 1, 8, 20000, 0);
  EXPECT_STATUS(GpuAttentionPlan::Create(large, options, 1, gpu).status(), MLA_UNSUPPORTED,
                "keys of 20008 elements are more than its shared memory of " +
                    std::to_string(gpu.shared_bytes()) + " bytes holds");
}

}  // namespace
}  // namespace mla::testing_attention
