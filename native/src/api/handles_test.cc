#include "api/handles.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "api/guard.h"

namespace mla {
namespace {

TEST(Handles, FoundUntilRemovedAndNeverUsedAgain) {
  HandleTable<int> table(HandleKind::kModel);
  const uint64_t first = table.Add(std::make_shared<int>(7));
  ASSERT_NE(first, 0u);
  EXPECT_GT(static_cast<int64_t>(first), 0);
  EXPECT_EQ(*table.Find(first), 7);
  const std::shared_ptr<int> held = table.Find(first);
  EXPECT_NE(table.Remove(first), nullptr);
  EXPECT_EQ(table.Remove(first), nullptr);
  EXPECT_EQ(*held, 7);
  EXPECT_NE(table.Add(std::make_shared<int>(8)), first);
  EXPECT_EQ(table.size(), 1u);
  const auto missing = table.Get(first);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), MLA_CLOSED);
  EXPECT_NE(missing.status().message().find("model"), std::string::npos);
}

TEST(Handles, OneKindIsNotTakenForAnother) {
  HandleTable<int> models(HandleKind::kModel), sessions(HandleKind::kSession);
  const uint64_t model = models.Add(std::make_shared<int>(1));
  sessions.Add(std::make_shared<int>(2));
  EXPECT_EQ(sessions.Find(model), nullptr);
  EXPECT_EQ(sessions.Find(0), nullptr);
}

TEST(Handles, ManyThreadsGetDistinctHandles) {
  HandleTable<int> table(HandleKind::kSession);
  std::vector<std::vector<uint64_t>> seen(8);
  std::vector<std::thread> threads;
  for (auto& mine : seen) {
    threads.emplace_back([&table, &mine] {
      for (int i = 0; i < 1000; ++i) {
        mine.push_back(table.Add(std::make_shared<int>(i)));
        if (i % 2 == 0) table.Remove(mine.back());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<uint64_t> all;
  for (const auto& mine : seen) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), 8000u);
  EXPECT_EQ(table.size(), 4000u);
}

TEST(Guard, TurnsEveryEndingIntoACodeAndWords) {
  EXPECT_EQ(Guard([] { return Status(); }), MLA_OK);
  EXPECT_EQ(Guard([] { return Status(MLA_NOT_FOUND, "no such thing"); }), MLA_NOT_FOUND);
  EXPECT_STREQ(mla_last_error(), "no such thing");
  EXPECT_EQ(Guard([]() -> Status { throw std::bad_alloc(); }), MLA_OUT_OF_MEMORY);
  EXPECT_STREQ(mla_last_error(), "out of memory");
  EXPECT_EQ(Guard([]() -> Status { throw std::runtime_error("odd"); }), MLA_INTERNAL);
  EXPECT_STREQ(mla_last_error(), "odd");
  EXPECT_EQ(Guard([]() -> Status { throw 3; }), MLA_INTERNAL);
  EXPECT_EQ(Guard([] { return NullArgument("out"); }), MLA_INVALID_ARGUMENT);
  EXPECT_STREQ(mla_last_error(), "argument 'out' is null");
  std::thread([] { EXPECT_STREQ(mla_last_error(), ""); }).join();
}

TEST(Guard, EveryStatusHasAName) {
  std::set<std::string> names;
  for (mla_status s = MLA_OK; s <= MLA_INTERNAL; ++s) names.insert(mla_status_name(s));
  EXPECT_EQ(names.size(), 11u);
  EXPECT_STREQ(mla_status_name(99), "unknown status");
}

}  // namespace
}  // namespace mla
