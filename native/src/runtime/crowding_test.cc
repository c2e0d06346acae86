#include "runtime/crowding.h"

#include <gtest/gtest.h>

namespace mla {
namespace {

constexpr int64_t kRegion = 4'000'000;
constexpr int kMembers = 3;
constexpr int64_t kMuch = kRegion * kMembers / 4;

TEST(Crowding, TakesTwoRegionsInARow) {
  Crowding crowding;
  for (int i = 0; i < 3; ++i) {
    crowding.Note(kMuch, kRegion, kMembers);
    EXPECT_FALSE(crowding.crowded());
    crowding.Note(0, kRegion, kMembers);
    EXPECT_FALSE(crowding.crowded());
  }
  crowding.Note(kMuch, kRegion, kMembers);
  crowding.Note(kMuch, kRegion, kMembers);
  EXPECT_TRUE(crowding.crowded());
}

TEST(Crowding, EndsAfterSomeTimeWithout) {
  constexpr int64_t kRegions = Crowding::kNanos / kRegion;
  Crowding crowding;
  for (int i = 0; i < 2; ++i) crowding.Note(kMuch, kRegion, kMembers);
  for (int i = 1; i < kRegions; ++i) crowding.Note(0, kRegion, kMembers);
  EXPECT_TRUE(crowding.crowded());
  crowding.Note(kMuch, kRegion, kMembers);  // and begins to count anew
  for (int i = 1; i < kRegions; ++i) crowding.Note(0, kRegion, kMembers);
  EXPECT_TRUE(crowding.crowded());
  crowding.Note(0, kRegion, kMembers);
  EXPECT_FALSE(crowding.crowded());
  for (int i = 0; i < 2; ++i) crowding.Note(kMuch, kRegion, kMembers);
  crowding.Note(0, 2 * Crowding::kNanos, kMembers);
  EXPECT_FALSE(crowding.crowded()) << "a long region";
}

TEST(Crowding, LittleIsNothing) {
  Crowding crowding;
  for (int i = 0; i < 9; ++i) crowding.Note(kRegion / 8 * kMembers, kRegion, kMembers);
  EXPECT_FALSE(crowding.crowded()) << "an eighth is not more than it";
  constexpr int64_t kLeast = Crowding::kLeastNanos;
  for (int i = 0; i < 9; ++i) crowding.Note(kLeast, kLeast, kMembers);
  EXPECT_FALSE(crowding.crowded()) << "a short region's wake-up";
}

}  // namespace
}  // namespace mla
