#include "graph/row_share.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "tensor/aligned_buffer.h"

namespace mla {
namespace {

TEST(RowShare, MembersCoverTheRowsOnce) {
  for (int64_t rows : {64, 127, 128, 129, 200, 256, 1000}) {
    for (int members = 2; members <= 16; ++members) {
      const bool own = RowShare::AreMany(rows, members);
      EXPECT_EQ(own, rows / members >= RowShare::kLeastOwn);
      if (!own) continue;
      int64_t end = 0;
      for (int member = 0; member < members; ++member) {
        const RowShare share(rows, true, members, member);
        EXPECT_EQ(share.begin(), end);
        EXPECT_GE(share.count(), RowShare::kLeastOwn);
        end += share.count();
      }
      EXPECT_EQ(end, rows);
    }
  }
  for (bool apart : {false, true}) {
    const RowShare all(100, apart, 4, 3);
    EXPECT_FALSE(all.apart());
    EXPECT_EQ(all.begin(), 0);
    EXPECT_EQ(all.count(), 100);
  }
}

TEST(RowShare, EveryMemberPreparesASingleRow) {
  const RowShare one(1, true, 4, 3);
  EXPECT_TRUE(one.one());
  EXPECT_TRUE(one.apart());
  EXPECT_FALSE(one.own());
  EXPECT_EQ(one.begin(), 0);
  EXPECT_EQ(one.count(), 1);
  EXPECT_FALSE(RowShare(1, false, 4, 3).apart());
  EXPECT_FALSE(RowShare(1, true, 1, 0).apart()) << "nobody to wait for";
}

// Of the widest rows and of narrower ones, in every form: a member that is an operation ahead must
// not write into what another still reads.
TEST(RowShare, PartsOfTheAreaNeitherOverlapNorLeaveIt) {
  const AlignedBuffer area(RowShare::AreaBytes(270, 576));
  for (int64_t widest : {1, 3, 8, 17, 32, 48, 64, 576}) {
    for (int64_t most = 128; most <= 270; ++most) {
      for (int64_t rows : {most, most - 1, int64_t{128}}) {
        for (int members = 2; RowShare::AreMany(rows, members); ++members) {
          int64_t end = 0;
          for (int member = 0; member < members; ++member) {
            const RowShare share(rows, true, members, member);
            PreparedInput input = share.Input(area.data(), widest, Activations::kMixed, widest);
            input.Plan(Type::kF32);
            const int64_t begin = static_cast<const uint8_t*>(input.For(Type::kF32)) - area.data();
            EXPECT_EQ(begin % 64, 0);
            EXPECT_GE(begin, end) << rows << " rows of " << widest << ", " << members;
            end = begin + PreparedInput::Bytes(share.count(), widest);
          }
          ASSERT_LE(end, RowShare::AreaBytes(most, widest))
              << rows << " rows of " << widest << ", " << members << " members";
        }
      }
    }
  }
}

}  // namespace
}  // namespace mla
