// What a barrier, a loop and a region cost. The argument is the number of threads.
#include <benchmark/benchmark.h>

#include <chrono>
#include <thread>

#include "runtime/thread_pool.h"

namespace mla {
namespace {

constexpr int kRepeats = 1000;

void BM_Barrier(benchmark::State& state) {
  for (auto _ : state) {
    ThreadPool::Shared().Run(static_cast<int>(state.range(0)), [](Team& team, int) {
      for (int i = 0; i < kRepeats; ++i) team.Barrier();
    });
  }
  state.SetItemsProcessed(state.iterations() * kRepeats);
}

// 16 chunks of nothing: the cost of giving them out.
void BM_Each(benchmark::State& state) {
  for (auto _ : state) {
    ThreadPool::Shared().Run(static_cast<int>(state.range(0)), [](Team& team, int) {
      for (int i = 0; i < kRepeats; ++i) {
        team.Each(16, 1, [](int64_t begin, int64_t) { benchmark::DoNotOptimize(begin); });
      }
    });
  }
  state.SetItemsProcessed(state.iterations() * kRepeats);
}

// The second argument is the pause between regions in microseconds: long ones find the workers
// asleep.
void BM_Region(benchmark::State& state) {
  for (auto _ : state) {
    if (state.range(1) > 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(state.range(1)));
    }
    const auto begin = std::chrono::steady_clock::now();
    ThreadPool::Shared().Run(static_cast<int>(state.range(0)),
                             [](Team& team, int) { team.Barrier(); });
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
}

// 100 loops of `range(1)` microseconds of work each, as the operations of a decoder's layer are:
// what is lost beyond the work divided by the threads.
void BM_Step(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(0));
  const int64_t turns = state.range(1) * 1000 / 16;
  for (auto _ : state) {
    ThreadPool::Shared().Run(threads, [&](Team& team, int) {
      for (int i = 0; i < 100; ++i) {
        team.Each(16, 1, [&](int64_t, int64_t) {
          for (int64_t t = 0; t < turns; ++t) benchmark::DoNotOptimize(t);
        });
      }
    });
  }
}

BENCHMARK(BM_Barrier)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();
BENCHMARK(BM_Each)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();
BENCHMARK(BM_Step)->ArgsProduct({{1, 2}, {10, 100, 1000}})->UseRealTime();
BENCHMARK(BM_Region)->Args({1, 0})->Args({2, 0})->Args({4, 0})->Args({2, 1000})->UseManualTime();

}  // namespace
}  // namespace mla
