#include "runtime/thread_pool.h"

#include <gtest/gtest.h>
#include <time.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

namespace mla {
namespace {

TEST(ThreadPool, EveryMemberRunsOnce) {
  for (int threads : {1, 2, 3, 7, 2, 16, 1, 5}) {
    std::vector<std::atomic<int>> runs(threads);
    ThreadPool::Shared().Run(threads, [&](Team& team, int member) {
      EXPECT_EQ(team.size(), threads);
      runs[member].fetch_add(1);
    });
    for (const auto& count : runs) EXPECT_EQ(count.load(), 1);
  }
}

TEST(ThreadPool, TheCallerIsMemberZero) {
  const std::thread::id caller = std::this_thread::get_id();
  ThreadPool::Shared().Run(
      3, [&](Team&, int member) { EXPECT_EQ(member == 0, std::this_thread::get_id() == caller); });
}

TEST(ThreadPool, BarrierMakesEarlierWritesVisible) {
  for (int threads : {1, 2, 4, 9}) {
    std::vector<int64_t> values(threads,
                                0);  // plain memory: the thread sanitizer sees a missing barrier
    ThreadPool::Shared().Run(threads, [&](Team& team, int member) {
      for (int step = 1; step <= 200; ++step) {
        values[member] = step;
        team.Barrier();
        for (int64_t value : values) ASSERT_EQ(value, step);
        team.Barrier();
      }
    });
  }
}

TEST(ThreadPool, EachCoversTheRangeInChunksAtMultiplesOfTheGrain) {
  for (int threads : {1, 2, 5}) {
    for (int64_t n : {0, 1, 2, 7, 64, 1000}) {
      for (int64_t grain : {1, 3, 64, 5000}) {
        std::vector<int> seen(n, 0);
        ThreadPool::Shared().Run(threads, [&](Team& team, int) {
          team.Each(n, grain, [&](int64_t begin, int64_t end) {
            EXPECT_EQ(begin % grain, 0);
            EXPECT_EQ(end, std::min(n, begin + grain));
            for (int64_t i = begin; i < end; ++i) ++seen[i];
          });
          for (int count : seen) ASSERT_EQ(count, 1);
        });
      }
    }
  }
}

TEST(ThreadPool, EachGivesAStalledMembersShareToTheOthers) {
  std::atomic<int> by_others{0};
  std::atomic<bool> stalled{false};
  ThreadPool::Shared().Run(2, [&](Team& team, int) {
    team.Each(100, 1, [&](int64_t, int64_t) {
      if (!stalled.exchange(true)) {
        while (by_others.load() < 99) std::this_thread::yield();
      } else {
        by_others.fetch_add(1);
      }
    });
  });
  EXPECT_EQ(by_others.load(), 99);
}

TEST(ThreadPool, EachFromOwnCoversTheRangeAtMultiplesOfTheLeast) {
  const int64_t large = (int64_t{1} << 20) * 3 + 5;  // more than a part's word counts
  for (int threads : {1, 2, 5}) {
    for (int64_t n : {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{7}, int64_t{64}, large}) {
      for (int64_t least : {1, 3, 64, 5000}) {
        std::vector<int8_t> seen(n, 0);
        ThreadPool::Shared().Run(threads, [&](Team& team, int member) {
          for (int repeat = 1; repeat <= 3; ++repeat) {
            team.EachFromOwn(member, n, least, [&](int64_t begin, int64_t end) {
              EXPECT_EQ(begin % least, 0);
              EXPECT_LT(begin, end);
              for (int64_t i = begin; i < end; ++i) ++seen[i];
            });
            if (member == 0) {
              EXPECT_EQ(std::count(seen.begin(), seen.end(), repeat), n)
                  << n << " by " << threads << " at least " << least;
            }
            team.Barrier();
          }
        });
      }
    }
  }
}

TEST(ThreadPool, AMembersOwnPartIsTheSameInEveryCall) {
  // Members take turns, so that nobody has reason to take from another.
  constexpr int kThreads = 4;
  std::array<std::atomic<int>, 50> counts{};
  ThreadPool::Shared().Run(kThreads, [&](Team& team, int member) {
    for (int repeat = 0; repeat < static_cast<int>(counts.size()); ++repeat) {
      std::atomic<int>* arrived = &counts[static_cast<size_t>(repeat)];
      int64_t expected = 100 * member;
      team.EachFromOwn(member, 100 * kThreads, 1, [&](int64_t begin, int64_t end) {
        ASSERT_EQ(begin, expected);
        ASSERT_LE(end, 100 * (member + 1));
        expected = end;
        if (end == 100 * (member + 1)) {
          arrived->fetch_add(1);
          while (arrived->load() < kThreads) std::this_thread::yield();
        }
      });
      ASSERT_EQ(expected, 100 * (member + 1));
    }
  });
}

TEST(ThreadPool, EachFromOwnLeavesAStalledMembersPartToOthers) {
  for (int stalled : {0, 1}) {
    std::atomic<int64_t> by_other{0};
    std::atomic<int64_t> own{0};  // of the one that stalls in its first range
    ThreadPool::Shared().Run(2, [&](Team& team, int member) {
      team.EachFromOwn(member, 100, 1, [&](int64_t begin, int64_t end) {
        if (member != stalled) {
          while (own.load() == 0) std::this_thread::yield();
          by_other.fetch_add(end - begin);
          return;
        }
        own.fetch_add(end - begin);
        while (by_other.load() < 100 - own.load()) std::this_thread::yield();
      });
    });
    EXPECT_EQ(own.load(), 25) << stalled;
    EXPECT_EQ(by_other.load(), 75) << stalled;
  }
}

TEST(ThreadPool, EachFromOwnLeavesThePartOfOneThatHasNotComeToOthers) {
  std::atomic<int64_t> by_other{0};
  ThreadPool::Shared().Run(2, [&](Team& team, int member) {
    if (member == 1) {
      while (by_other.load() < 100) std::this_thread::yield();
    }
    team.EachFromOwn(member, 100, 1, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(member, 0);
      by_other.fetch_add(end - begin);
    });
  });
  EXPECT_EQ(by_other.load(), 100);
}

// A call's number comes again after 2^24 barriers; parts were cleared before.
TEST(ThreadPool, EachFromOwnMissesNothingOverManyRegions) {
  for (int i = 0; i < 2000; ++i) {
    std::atomic<int64_t> sum{0};
    ThreadPool::Shared().Run(2 + i % 4, [&](Team& team, int member) {
      for (int b = 0; b < i % 3; ++b) team.Barrier();
      team.EachFromOwn(member, 10 + i % 7, 1,
                       [&](int64_t begin, int64_t end) { sum.fetch_add(end - begin); });
    });
    ASSERT_EQ(sum.load(), 10 + i % 7);
  }
}

TEST(ThreadPool, WhatOneMemberWritesInACallIsSeenByAll) {
  for (int threads : {1, 2, 6}) {
    int64_t value = 0;
    ThreadPool::Shared().Run(threads, [&](Team& team, int) {
      for (int step = 1; step <= 200; ++step) {
        team.Each(1, 1, [&](int64_t, int64_t) { ++value; });
        ASSERT_EQ(value, step);
        team.Each(10, 1, [&](int64_t, int64_t) {});
      }
    });
  }
}

struct Loosened {
  Loosened() { ThreadPool::Shared().LoosenTeams(true); }
  ~Loosened() { ThreadPool::Shared().LoosenTeams(false); }
};

TEST(ThreadPool, ATeamIsLooseWhereItMayBe) {
  const Loosened loosened;
  ThreadPool::Shared().Run(2, [](Team& team, int) { EXPECT_FALSE(team.loose()); });
  ThreadPool::Shared().Run(
      2, [](Team& team, int) { EXPECT_TRUE(team.loose()); }, Meetings::kOfThoseThere);
}

// Every call reads what the one before wrote, in plain memory.
TEST(ThreadPool, ALooseTeamsCallsFollowEachOther) {
  const Loosened loosened;
  constexpr int64_t kCount = 37;
  for (int threads : {2, 3, 5}) {
    std::vector<int64_t> first(kCount), second(kCount);
    int64_t singles = 0;
    ThreadPool::Shared().Run(
        threads,
        [&](Team& team, int member) {
          for (int step = 0; step < 300; ++step) {
            team.Each(step % 3 == 0 ? 0 : kCount, 5, [](int64_t, int64_t) {});
            team.Each(kCount, 3, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) {
                ASSERT_EQ(second[kCount - 1 - i], step);
                first[i] = step + 1;
              }
            });
            if (step % 50 == 49 && member == step / 50 % threads) {
              std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            int64_t mine = 0;
            team.EachFromOwn(
                member, kCount, 2,
                [&](int64_t begin, int64_t end) {
                  mine += end - begin;
                  for (int64_t i = begin; i < end; ++i) {
                    ASSERT_EQ(first[kCount - 1 - i], step + 1);
                    second[i] = -1;
                  }
                },
                [&] {
                  ASSERT_GT(mine, 0);
                  mine = 0;
                });
            ASSERT_EQ(mine, 0) << "what is not finished";
            team.Each(1, 1, [&](int64_t, int64_t) { ++singles; });
            team.EachFromOwn(member, kCount, 1, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) {
                ASSERT_EQ(second[i], -1);
                second[i] = step + 1;
              }
            });
            if (step % 100 == 99) team.Barrier();
          }
        },
        Meetings::kOfThoseThere);
    EXPECT_EQ(singles, 300);
    EXPECT_EQ(second, std::vector<int64_t>(kCount, 300));
  }
}

TEST(ThreadPool, ALooseTeamDoesNotWaitForAMemberWithoutWork) {
  const Loosened loosened;
  std::atomic<int64_t> done{0};
  ThreadPool::Shared().Run(
      2,
      [&](Team& team, int member) {
        if (member == 1) {
          while (done.load() < 300) std::this_thread::yield();
        }
        for (int step = 0; step < 100; ++step) {
          team.Each(1, 1, [&](int64_t, int64_t) { ++done; });
          team.EachFromOwn(member, 1, 1, [&](int64_t, int64_t) { ++done; });
          team.Each(1, 1, [&](int64_t, int64_t) { ++done; });
        }
      },
      Meetings::kOfThoseThere);
  EXPECT_EQ(done.load(), 300);
}

TEST(ThreadPool, ALooseTeamsBarrierMeetsAll) {
  const Loosened loosened;
  std::vector<int64_t> values(3, 0);
  ThreadPool::Shared().Run(
      3,
      [&](Team& team, int member) {
        for (int step = 1; step <= 100; ++step) {
          team.Each(2, 1, [](int64_t, int64_t) {});
          values[member] = step;
          team.Barrier();
          for (int64_t value : values) ASSERT_EQ(value, step);
          team.Barrier();
        }
      },
      Meetings::kOfThoseThere);
}

TEST(ThreadPool, TeamsWhoseMembersWaitLongBecomeLoose) {
  bool loose = false;
  for (int i = 0; i < 3; ++i) {
    ThreadPool::Shared().Run(
        2,
        [&](Team& team, int member) {
          if (member == 0) loose = team.loose();
          if (member == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
          team.Barrier();
        },
        Meetings::kOfThoseThere);
  }
  EXPECT_TRUE(loose);
}

TEST(ThreadPool, RegionsOfSeveralCallersDoNotOverlap) {
  int inside = 0;  // plain memory on purpose
  int64_t total = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 6; ++c) {
    callers.emplace_back([&, c] {
      for (int i = 0; i < 100; ++i) {
        ThreadPool::Shared().Run(2 + c % 3, [&](Team& team, int) {
          team.Each(1, 1, [&](int64_t, int64_t) { EXPECT_EQ(++inside, 1); });
          team.Each(8, 1, [&](int64_t, int64_t) {});
          team.Each(1, 1, [&](int64_t, int64_t) {
            --inside;
            ++total;
          });
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(total, 600);
}

#if defined(__linux__)
// Returns when the thread sleeps in the kernel.
void AwaitSleep(pid_t thread) {
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  for (std::string text; text.find(") S") == std::string::npos; std::this_thread::yield()) {
    std::ifstream file(path);
    std::getline(file, text);
  }
}

TEST(ThreadPool, CallersAreServedInOrderOfArrival) {
  std::atomic<bool> release{false};
  std::atomic<bool> running{false};
  std::vector<int> order;  // guarded by the regions being one after the other
  std::vector<std::thread> callers;
  callers.emplace_back([&] {
    ThreadPool::Shared().Run(2, [&](Team&, int member) {
      if (member != 0) return;
      running = true;
      while (!release.load()) std::this_thread::yield();
    });
  });
  while (!running.load()) std::this_thread::yield();
  for (int c = 0; c < 5; ++c) {
    std::atomic<pid_t> thread{0};
    callers.emplace_back([&, c] {
      thread = gettid();
      ThreadPool::Shared().Run(2, [&, c](Team&, int member) {
        if (member == 0) order.push_back(c);
      });
    });
    while (thread.load() == 0) std::this_thread::yield();
    AwaitSleep(thread);  // there is nothing to sleep on but the queue
  }
  release = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}
#endif

TEST(ThreadPool, WaitsAreCountedForThoseWhoAsk) {
  int64_t waited[3] = {};
  ThreadPool::Shared().Run(3, [&](Team& team, int member) {
    if (member != 1) CountWaits(&waited[member]);
    for (int i = 0; i < 100; ++i) team.Each(3, 1, [](int64_t, int64_t) {});
    CountWaits(nullptr);
    team.Barrier();
  });
  EXPECT_GT(waited[0], 0);
  EXPECT_EQ(waited[1], 0);
  EXPECT_GT(waited[2], 0);
  const int64_t before = waited[0];
  ThreadPool::Shared().Run(3, [](Team& team, int) { team.Barrier(); });
  EXPECT_EQ(waited[0], before);
}

TEST(ThreadPool, OneThreadWaitsForNobody) {
  std::atomic<bool> release{false};
  std::atomic<bool> running{false};
  std::thread busy([&] {
    ThreadPool::Shared().Run(2, [&](Team&, int) {
      running = true;
      while (!release.load()) std::this_thread::yield();
    });
  });
  while (!running.load()) std::this_thread::yield();
  int runs = 0;
  ThreadPool::Shared().Run(1, [&](Team&, int) { ++runs; });
  EXPECT_EQ(runs, 1);
  release = true;
  busy.join();
}

double ProcessSeconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

TEST(ThreadPool, IdleWorkersUseNoProcessor) {
  ThreadPool::Shared().Run(8, [](Team& team, int) { team.Barrier(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double before = ProcessSeconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(ProcessSeconds() - before, 0.02);
}

TEST(ThreadPool, AWaitingMemberSleeps) {
  double used = 0;
  ThreadPool::Shared().Run(2, [&](Team& team, int member) {
    if (member == 0) {
      const double before = ProcessSeconds();
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      used = ProcessSeconds() - before;
    }
    team.Barrier();
  });
  EXPECT_LT(used, 0.02);
}

// Members far beyond the cores: every barrier needs all of them, so spinning ones would take turns
// in time slices.
TEST(ThreadPool, MoreThreadsThanCoresDoNotCollapse) {
  const int threads = 4 * ThreadPool::DefaultThreads() + 8;
  const auto begin = std::chrono::steady_clock::now();
  int64_t steps = 0;
  ThreadPool::Shared().Run(threads, [&](Team& team, int) {
    for (int i = 0; i < 200; ++i) team.Each(1, 1, [&](int64_t, int64_t) { ++steps; });
  });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(steps, 200);
  EXPECT_LT(took.count(), kThreadSanitizer ? 10.0 : 3.0);
}

#if defined(__unix__)
// By the build's tests for another processor: qemu-user (7.2) fails an assertion of its own where a
// forked child starts threads.
bool Emulated() { return std::getenv("MLA_TEST_EMULATED") != nullptr; }

int ExitCode(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ThreadPool, AForkedChildStartsItsOwnWorkers) {
  if (kThreadSanitizer) GTEST_SKIP() << "threads after a fork are refused by the thread sanitizer";
  if (Emulated()) GTEST_SKIP() << "threads after a fork crash qemu-user itself";
  ThreadPool::Shared().Run(4, [](Team& team, int) { team.Barrier(); });
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    std::atomic<int> sum{0};
    ThreadPool::Shared().Run(4, [&](Team& team, int) {
      team.Each(100, 1, [&](int64_t i, int64_t) { sum += static_cast<int>(i); });
    });
    _exit(sum.load() == 4950 ? 0 : 1);
  }
  EXPECT_EQ(ExitCode(child), 0);
}

// Static destructors run while another thread is in a region and the workers sleep or wait.
TEST(ThreadPool, TheProcessMayExitInTheMidstOfARegion) {
  if (kThreadSanitizer || kAddressSanitizer) {
    GTEST_SKIP() << "sanitizers stop the other threads at exit themselves";
  }
  if (Emulated()) GTEST_SKIP() << "threads after a fork crash qemu-user itself";
  for (int i = 0; i < 5; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(10);
      std::thread([] {
        for (;;) {
          ThreadPool::Shared().Run(
              3, [](Team& team, int) { team.Each(64, 1, [](int64_t, int64_t) {}); });
        }
      }).detach();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      std::exit(7);
    }
    EXPECT_EQ(ExitCode(child), 7);
  }
}
#endif

}  // namespace
}  // namespace mla
