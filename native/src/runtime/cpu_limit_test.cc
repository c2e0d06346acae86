#include "runtime/cpu_limit.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace mla {
namespace {

class CgroupCoresTest : public testing::Test {
 protected:
  void SetUp() override {
    mount_ = testing::TempDir() + "cgroup_" +
             testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(mount_);
  }
  void TearDown() override { std::filesystem::remove_all(mount_); }

  void Put(const std::string& file, const std::string& text) {
    const std::filesystem::path path = mount_ + "/" + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

  std::string mount_;
};

TEST_F(CgroupCoresTest, NoGroupsNoLimit) {
  EXPECT_EQ(CgroupCores("", mount_), 0);
  EXPECT_EQ(CgroupCores("0::/\n1:cpu:/\ndamaged", mount_), 0);
}

TEST_F(CgroupCoresTest, Version2TakesTheTightestUpTheTree) {
  Put("a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(CgroupCores("0::/a/b\n", mount_), 0);
  Put("a/cpu.max", "350000 100000\n");
  EXPECT_EQ(CgroupCores("0::/a/b\n", mount_), 4);
  Put("a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(CgroupCores("0::/a/b\n", mount_), 1);
  EXPECT_EQ(CgroupCores("0::/a\n", mount_), 4);
}

TEST_F(CgroupCoresTest, AHostPathThatIsAbsentHereEndsAtTheContainersOwnGroup) {
  Put("cpu.max", "200000 100000\n");
  EXPECT_EQ(CgroupCores("0::/docker/0123456789ab\n", mount_), 2);
}

TEST_F(CgroupCoresTest, Version1UnderEitherName) {
  Put("cpu,cpuacct/box/cpu.cfs_quota_us", "250000\n");
  Put("cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCores("4:memory:/box\n3:cpu,cpuacct:/box\n", mount_), 3);
  Put("cpu/box/cpu.cfs_quota_us", "-1\n");
  Put("cpu/box/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCores("3:cpu:/box\n", mount_), 0);
  EXPECT_EQ(CgroupCores("3:cpuacct:/box\n", mount_), 0);
}

TEST_F(CgroupCoresTest, DamagedFilesSetNoLimit) {
  Put("cpu.max", "");
  EXPECT_EQ(CgroupCores("0::/\n", mount_), 0);
  Put("cpu.max", "lots of\n");
  EXPECT_EQ(CgroupCores("0::/\n", mount_), 0);
  Put("cpu.max", "100000 0\n");
  EXPECT_EQ(CgroupCores("0::/\n", mount_), 0);
}

TEST(CpuLimit, ThisProcessHasACore) {
  EXPECT_GE(AffinityCores(), 1);
  EXPECT_GE(UsableCores(), 1);
  EXPECT_LE(UsableCores(), AffinityCores());
}

}  // namespace
}  // namespace mla
