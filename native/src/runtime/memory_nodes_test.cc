#include "runtime/memory_nodes.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "runtime/thread_pool.h"

namespace mla {
namespace {

// Before anything asks for the nodes: the first core alone, and the others.
const Cores kBefore = [] {
  Cores cores = AffineCores();
  std::string lists;
  for (size_t i = 0; i < cores.size(); ++i) {
    lists += (i == 0 ? "" : i == 1 ? ";" : ",") + std::to_string(cores[i]);
  }
  setenv("MLA_NODES", lists.c_str(), 1);
  return cores;
}();

TEST(ParseCores, ReadsWhatLinuxWrites) {
  EXPECT_EQ(ParseCores("0-3,8,10-11"), (Cores{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(ParseCores("5\n"), Cores{5});
  EXPECT_EQ(ParseCores("4,0-1,1"), (Cores{0, 1, 4}));
  EXPECT_EQ(ParseCores(""), Cores{});
}

TEST(ParseCores, TakesNothingFromADamagedList) {
  for (const char* list :
       {"3-1", "1-", "-1", "x", "1,,2", "0 1", "1;2", "99999999999", "0-9999999"}) {
    EXPECT_EQ(ParseCores(list), Cores{}) << list;
  }
}

class NodesInTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Put(const std::string& node, const std::string& cores) {
    std::filesystem::create_directories(folder_ + "/" + node);
    std::ofstream(folder_ + "/" + node + "/cpulist") << cores << '\n';
  }

  const std::string folder_ = testing::TempDir() + "memory_nodes";
};

TEST_F(NodesInTest, HaveTheCoresThatAreUsable) {
  Put("node0", "0-3");
  Put("node1", "4-7");
  Put("node10", "8-9");
  Put("node2", "");       // memory alone
  Put("node3", "20-23");  // not for this process
  Put("nodes", "0-9");
  Put("node4x", "0-9");
  EXPECT_EQ(NodesIn(folder_, {1, 2, 3, 4, 9}), (std::vector<Cores>{{1, 2, 3}, {4}, {9}}));
  EXPECT_EQ(NodesIn(folder_, {}), std::vector<Cores>{});
}

TEST_F(NodesInTest, AreNoneWhereTheSystemTellsNothing) {
  EXPECT_EQ(NodesIn(folder_, {0, 1}), std::vector<Cores>{});
}

// How many members each node has.
std::vector<int> Members(const std::vector<Cores>& nodes, int team_size) {
  std::vector<int> members(nodes.size());
  size_t last = 0;
  for (int m = 0; m < team_size; ++m) {
    const size_t node = NodeOfMember(nodes, m, team_size);
    EXPECT_GE(node, last) << "neighbours are apart";
    last = node;
    ++members[node];
  }
  return members;
}

TEST(NodeOfMember, FewestNodesEvenly) {
  const std::vector<Cores> nodes = {{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}};
  EXPECT_EQ(Members(nodes, 1), (std::vector<int>{1, 0, 0}));
  EXPECT_EQ(Members(nodes, 4), (std::vector<int>{4, 0, 0}));
  EXPECT_EQ(Members(nodes, 6), (std::vector<int>{3, 3, 0}));
  EXPECT_EQ(Members(nodes, 10), (std::vector<int>{4, 4, 2}));
  EXPECT_EQ(Members(nodes, 25), (std::vector<int>{10, 10, 5}));
}

TEST(ChooseNodes, TheSystemsOrThoseWished) {
  const std::vector<Cores> system = {{0, 1}, {2, 3}};
  EXPECT_EQ(ChooseNodes(nullptr, system).nodes, system);
  EXPECT_EQ(ChooseNodes(nullptr, {{0, 1}}).nodes, std::vector<Cores>{}) << "one is none";
  const NodeChoice wished = ChooseNodes("0;1-3", system);
  EXPECT_EQ(wished.nodes, (std::vector<Cores>{{0}, {1, 2, 3}}));
  EXPECT_EQ(wished.reason, "MLA_NODES=0;1-3");
  EXPECT_EQ(ChooseNodes("", system).nodes, std::vector<Cores>{});
  EXPECT_EQ(ChooseNodes("0-3", system).nodes, std::vector<Cores>{});
  for (const char* damaged : {"0;x", ";1", "two"}) {
    const NodeChoice choice = ChooseNodes(damaged, system);
    EXPECT_EQ(choice.nodes, system) << damaged;
    EXPECT_EQ(choice.reason.rfind(std::string("MLA_NODES=") + damaged + " is no", 0), 0u)
        << choice.reason;
  }
}

TEST(MemoryNodes, WorkersRunOnTheirOwn) {
  if (kBefore.size() < 2) GTEST_SKIP() << "one core, or none is told of";
  const std::vector<Cores>& nodes = MemoryNodes().nodes;
  ASSERT_EQ(nodes.size(), 2u);
  EXPECT_EQ(nodes[0], Cores{kBefore[0]});
  std::vector<Cores> seen(2);
  ThreadPool::Shared().Run(2, [&](Team& team, int member) {
    if (team.size() == 2) seen[static_cast<size_t>(member)] = AffineCores();
    team.Barrier();
  });
  EXPECT_EQ(seen[0], kBefore) << "the caller was moved";
  EXPECT_EQ(seen[1], nodes[1]);
}

}  // namespace
}  // namespace mla
