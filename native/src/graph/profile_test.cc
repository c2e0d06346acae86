#include "graph/profile.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "graph/decoder.h"
#include "graph/tiny_model_testing.h"
#include "mla/mla.h"

namespace mla {
namespace {

const std::atomic<bool> kGoOn{false};

class ProfileTest : public testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Decoder> NewDecoder(const TinyShape& shape, int32_t prefill = MLA_PREFILL_AUTO) {
    Result<std::shared_ptr<const Weights>> weights = Weights::Load(TinyModel(shape, 8).File());
    EXPECT_TRUE(weights.ok()) << weights.status().message();
    DecoderOptions options;
    options.context_length = 600;
    options.threads = GetParam();
    options.prefill = prefill;
    Result<std::unique_ptr<Decoder>> decoder = Decoder::Create(weights.value(), options);
    EXPECT_TRUE(decoder.ok()) << decoder.status().message();
    return std::move(decoder.value());
  }

  Status Append(Decoder& decoder, int32_t n, Decoder::Output output = Decoder::Output::kLast,
                const std::atomic<bool>& cancel = kGoOn) {
    std::vector<int32_t> tokens(static_cast<size_t>(n));
    for (int32_t i = 0; i < n; ++i) tokens[static_cast<size_t>(i)] = (i * 7 + 3) % 61;
    logits_.resize(61);
    scores_.resize(tokens.size());
    return decoder.Append(tokens.data(), n, output, logits_.data(), scores_.data(), cancel);
  }

  static TinyShape Joint() {
    TinyShape shape;
    shape.compression = Compression::kJoint;
    shape.rope_dim = 6;
    return shape;
  }

  static Profile::Row Sum(const Profile& profile) {
    Profile::Row sum;
    for (size_t o = 0; o < kOperations; ++o) {
      const Profile::Row row = profile.row(static_cast<Operation>(o));
      sum.seconds += row.seconds;
      sum.waiting_seconds += row.waiting_seconds;
      sum.work += row.work;
    }
    return sum;
  }

  std::vector<float> logits_, scores_;
};

TEST_P(ProfileTest, CountsEveryOperationAndNoMoreThanTheWhole) {
  std::unique_ptr<Decoder> decoder = NewDecoder(Joint());
  Profile profile(GetParam());
  decoder->set_profile(&profile);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Append(*decoder, 1).ok());
  for (size_t o = 0; o < kOperations; ++o) {
    const Operation operation = static_cast<Operation>(o);
    const Profile::Row row = profile.row(operation);
    EXPECT_EQ(row.seconds > 0, operation != Operation::kSampling) << OperationName(operation);
    EXPECT_GE(row.waiting_seconds, 0) << OperationName(operation);
  }
  const Profile::Row sum = Sum(profile);
  EXPECT_LE(sum.seconds + sum.waiting_seconds, profile.seconds());
  // Members wait for one another; one alone waits for nobody.
  EXPECT_EQ(sum.waiting_seconds > 0, GetParam() > 1);
  EXPECT_EQ(profile.tokens(), 20);
  EXPECT_EQ(profile.steps(), 20);
  EXPECT_EQ(profile.members(), GetParam());
}

TEST_P(ProfileTest, TheWorkIsThatOfTheSteps) {
  for (int32_t prefill : {MLA_PREFILL_ABSORBED, MLA_PREFILL_EXPANDED}) {
    std::unique_ptr<Decoder> decoder = NewDecoder(Joint(), prefill);
    Profile profile(GetParam());
    decoder->set_profile(&profile);
    ASSERT_TRUE(Append(*decoder, 300).ok());  // two chunks
    ASSERT_TRUE(Append(*decoder, 1).ok());
    EXPECT_EQ(profile.tokens(), 301);
    EXPECT_EQ(profile.steps(), 3);
    Work expected = decoder->CountWork(0, 300);
    expected += decoder->CountWork(300, 1);
    const Work work = Sum(profile).work;
    EXPECT_DOUBLE_EQ(work.weight_bytes, expected.weight_bytes);
    EXPECT_DOUBLE_EQ(work.cache_bytes, expected.cache_bytes);
    EXPECT_DOUBLE_EQ(work.float_multiply_adds, expected.float_multiply_adds);
    EXPECT_GT(work.float_multiply_adds, 0);
    // An expanded prompt's heads are projected within attention, a single token's never.
    const Work heads = profile.row(Operation::kHeadProjections).work;
    const Work one = [&] {
      OperationWork all = {};
      decoder->step_work().Add(300, 1, 1, all);
      return all[static_cast<size_t>(Operation::kHeadProjections)];
    }();
    EXPECT_EQ(heads.float_multiply_adds == one.float_multiply_adds,
              prefill == MLA_PREFILL_EXPANDED);
  }
}

TEST_P(ProfileTest, ScoresAreCounted) {
  std::unique_ptr<Decoder> decoder = NewDecoder(Joint());
  Profile profile(GetParam());
  decoder->set_profile(&profile);
  ASSERT_TRUE(Append(*decoder, 40, Decoder::Output::kScores).ok());
  EXPECT_GT(profile.row(Operation::kSampling).seconds, 0);
  EXPECT_EQ(profile.row(Operation::kOutputHead).work.float_multiply_adds, 40.0 * 61 * 32);
}

TEST_P(ProfileTest, LogitsAreTheSameAndAForkIsNotProfiled) {
  std::unique_ptr<Decoder> plain = NewDecoder(Joint()), profiled = NewDecoder(Joint());
  Profile profile(GetParam());
  profiled->set_profile(&profile);
  ASSERT_TRUE(Append(*plain, 30).ok());
  const std::vector<float> expected = logits_;
  ASSERT_TRUE(Append(*profiled, 30).ok());
  EXPECT_EQ(logits_, expected);
  const double seconds = profile.seconds();
  ASSERT_TRUE(Append(*profiled->Fork(), 1).ok());
  profiled->set_profile(nullptr);
  ASSERT_TRUE(Append(*profiled, 1).ok());
  EXPECT_EQ(profile.seconds(), seconds);
  EXPECT_EQ(profile.tokens(), 30);
}

TEST_P(ProfileTest, ACancelledStepIsTimeWithoutTokens) {
  std::unique_ptr<Decoder> decoder = NewDecoder(Joint());
  Profile profile(GetParam());
  decoder->set_profile(&profile);
  const std::atomic<bool> cancel{true};
  EXPECT_EQ(Append(*decoder, 5, Decoder::Output::kLast, cancel).code(), MLA_CANCELLED);
  EXPECT_EQ(profile.tokens(), 0);
  EXPECT_GT(profile.seconds(), 0);
  ASSERT_TRUE(Append(*decoder, 5).ok());
  const Profile::Row sum = Sum(profile);
  EXPECT_LE(sum.seconds + sum.waiting_seconds, profile.seconds());
}

TEST_P(ProfileTest, WhatOneDoesAloneIsAllOfItsTime) {
  std::unique_ptr<Decoder> decoder = NewDecoder(Joint());
  Profile profile(GetParam());
  { const Profile::Alone alone(&profile, Operation::kSampling); }
  EXPECT_GT(profile.seconds(), 0);
  EXPECT_DOUBLE_EQ(profile.row(Operation::kSampling).seconds, profile.seconds());
}

INSTANTIATE_TEST_SUITE_P(Threads, ProfileTest, testing::Values(1, 2, 3),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace mla
