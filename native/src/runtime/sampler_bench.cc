// What choosing a token costs. Arguments: vocabulary, top_k, top_p in percent (100: off), whether a
// few tokens stand out, as a model's mostly do, or none.
#include <benchmark/benchmark.h>

#include <random>

#include "runtime/sampler.h"

namespace mla {
namespace {

std::vector<float> Logits(int64_t n, bool some_stand_out) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = normal(generator);
  for (int i = 0; some_stand_out && i < 30; ++i) {
    logits[generator() % logits.size()] = 20 - static_cast<float>(i) / 3;
  }
  return logits;
}

void Choose(benchmark::State& state, const SamplerOptions& options, bool log_probability,
            bool some_stand_out) {
  const std::vector<float> logits = Logits(state.range(0), some_stand_out);
  Result<Sampler> sampler = Sampler::Create(options, static_cast<int32_t>(state.range(0)));
  float log_p = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        sampler.value().Choose(logits.data(), nullptr, 0, log_probability ? &log_p : nullptr));
  }
}

void BM_Greedy(benchmark::State& state) { Choose(state, {}, false, true); }
void BM_GreedyWithLogProbability(benchmark::State& state) { Choose(state, {}, true, true); }

void BM_Sampled(benchmark::State& state) {
  SamplerOptions options;
  options.temperature = 0.8f;
  options.top_k = static_cast<int32_t>(state.range(1));
  options.top_p = static_cast<float>(state.range(2)) / 100;
  Choose(state, options, false, state.range(3) != 0);
}

BENCHMARK(BM_Greedy)->Arg(49152)->Arg(250000);
BENCHMARK(BM_GreedyWithLogProbability)->Arg(49152)->Arg(250000);
BENCHMARK(BM_Sampled)
    ->ArgsProduct({{49152, 250000}, {0, 40, 1000, 5000}, {95, 100}, {0, 1}})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace mla
