#include "runtime/sleeping_word.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace mla {
namespace {

TEST(SleepingWord, ReturnsAtOnceWhereItIsAnother) {
  SleepingWord word;
  word.Store(5);
  word.Sleep(4);
  EXPECT_EQ(word.Add(2), 5u);
  EXPECT_EQ(word.Load(), 7u);
}

// Two threads in turns: a wake-up that got lost would hang them.
TEST(SleepingWord, NoWakeUpIsLost) {
  SleepingWord turn;
  constexpr uint32_t kTurns = 20000;
  std::thread other([&] {
    for (uint32_t i = 1; i < kTurns; i += 2) {
      while (turn.Load() < i) turn.Sleep(i - 1);
      turn.Add(1);
    }
  });
  for (uint32_t i = 0; i < kTurns; i += 2) {
    if (i > 0) turn.Sleep(i - 1);
    turn.Store(i + 1);
  }
  other.join();
  EXPECT_EQ(turn.Load(), kTurns);
}

TEST(SleepingWord, AllThatSleepAreWoken) {
  SleepingWord word, woken;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      word.Sleep(0);
      woken.Add(1);
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(woken.Load(), 0u);
  word.Store(1);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(woken.Load(), 8u);
}

TEST(SleepingWord, ACountdownWakesAtItsEnd) {
  SleepingWord left;
  left.Set(3);
  std::thread worker([&] {
    for (int i = 0; i < 3; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      left.CountDown();
    }
  });
  for (uint32_t now; (now = left.Load()) != 0;) left.Sleep(now);
  worker.join();
}

}  // namespace
}  // namespace mla
