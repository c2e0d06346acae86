// Attention of one layer on one core: gigabytes of cache a second beside what the memory gives,
// multiply-adds a second.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/roofline/roofline.h"
#include "tensor/aligned_buffer.h"

namespace mla::testing_attention {
namespace {

// The models' layers that the project is measured on.
LayerLayout BenchLayout(int64_t shape) {
  switch (shape) {
    case 0:
      return MakeLayout(Kind::kPlain, 3, 3, 3, 64, 0, 64);  // SmolLM2-135M
    case 1:
      return MakeLayout(Kind::kJoint, 3, 3, 1, 32, 88, 0);  // and what conversions make of it
    case 2:
      return MakeLayout(Kind::kJoint, 3, 3, 1, 32, 96, 0);
    case 3:
      return MakeLayout(Kind::kJoint, 32, 1, 32, 16, 1024, 0);  // Llama-2-7B after MHA2MLA
    default:
      return MakeLayout(Kind::kJoint, 3, 3, 1, 14, 61, 0);  // a size as the budget gives it
  }
}

const char* const kShapes[] = {"plain 9/3", "joint 9/3 C88", "joint 9/3 C96", "joint 32/32 C1024",
                               "joint 9/3 C61"};
const char* const kTypes[] = {"", "f32", "f16", "int8", "int4", "int2"};

double MultiplyAdds(const LayerLayout& layout, int64_t pairs) {
  double each = 0;
  for (int32_t h = 0; h < layout.heads; ++h) {
    const int32_t g = h / (layout.heads / layout.kv_heads);
    each += layout.rope_dim + layout.key_length(g) + layout.value_length(g);
  }
  return each * static_cast<double>(pairs);
}

// Layers with the same rows, each in pages of its own, so many that no cache holds them: as a step
// of decoding meets them.
class Layers {
 public:
  Layers(const Problem& problem, int64_t bytes) {
    const CacheView& view = *problem.params.cache;
    const int64_t page_bytes = PlaceRows(problem.options.Cache(), problem.layout).page_bytes;
    const int64_t pages =
        (problem.options.first + problem.options.queries + kPageTokens - 1) / int64_t{kPageTokens};
    const int64_t layers = std::max<int64_t>(1, bytes / (pages * page_bytes));
    for (int64_t i = 0; i < layers; ++i) {
      std::vector<const uint8_t*>& to = pages_.emplace_back();
      for (int64_t p = 0; p < pages; ++p) {
        Bytes& page = memory_.emplace_back(Scratch(page_bytes));
        std::memcpy(page.get(), view.rows.pages[p], static_cast<size_t>(page_bytes));
        to.push_back(static_cast<const uint8_t*>(page.get()));
      }
    }
    for (const std::vector<const uint8_t*>& layer : pages_) {
      views_.push_back(view);
      views_.back().rows.pages = layer.data();
    }
  }

  const CacheView& Next() { return views_[next_++ % views_.size()]; }

 private:
  std::vector<Bytes> memory_;
  std::vector<std::vector<const uint8_t*>> pages_;
  std::vector<CacheView> views_;
  size_t next_ = 0;
};

void Run(benchmark::State& state, const LayerLayout& layout, const Options& options, Isa isa,
         int64_t cached_bytes) {
  const Problem problem(layout, options, 1);
  AttentionParams params = problem.params;
  Layers layers(problem, cached_bytes);
  std::vector<float> out(static_cast<size_t>(problem.out_size()));
  params.out = out.data();
  const AttentionPlan plan = PlanAttention(layout, params.first, params.queries, nullptr);
  const Bytes partials = Scratch(plan.partial_bytes), scratch = Scratch(plan.scratch_bytes);
  for (auto _ : state) {
    params.cache = &layers.Next();
    AttentionTasks tasks(isa, plan, params, nullptr, partials.get(), scratch.get());
    tasks.Run(0, plan.tasks);
    tasks.Finish();
    for (int32_t r = 0; r < plan.merge_rows; ++r) {
      MergeAttention(plan, params, r, partials.get(), scratch.get());
    }
    benchmark::ClobberMemory();
  }
  const double bytes =
      LatentCache::BytesPerToken(options.Cache(), {layout}, 0) * (options.first + options.queries);
  if (options.queries == 1) {
    state.counters["cache"] =
        benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
  }
  const int64_t pairs = int64_t{options.queries} * options.first +
                        int64_t{options.queries} * (options.queries + 1) / 2;
  state.counters["madds"] = benchmark::Counter(MultiplyAdds(layout, pairs),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

void BM_Decode(benchmark::State& state) {
  Options options;
  options.type = static_cast<CacheType>(state.range(1));
  options.first = static_cast<int32_t>(state.range(2)) - 1;
  options.fine = false;
  const Isa isa = static_cast<Isa>(state.range(3));
  state.SetLabel(std::string(kShapes[state.range(0)]) + ' ' + kTypes[state.range(1)] + ' ' +
                 IsaName(isa) + (state.range(4) > 0 ? " from memory" : ""));
  Run(state, BenchLayout(state.range(0)), options, isa, state.range(4) << 20);
}

void BM_Prefill(benchmark::State& state) {
  Options options;
  options.type = static_cast<CacheType>(state.range(1));
  options.queries = 512;
  options.fine = false;
  const Isa isa = static_cast<Isa>(state.range(2));
  state.SetLabel(std::string(kShapes[state.range(0)]) + ' ' + kTypes[state.range(1)] + ' ' +
                 IsaName(isa));
  Run(state, BenchLayout(state.range(0)), options, isa, 0);
}

// What one core reads at best: out of the caches of one layer at depth 8k (1 MiB and more), and out
// of memory.
void BM_ReadBandwidth(benchmark::State& state) {
  const AlignedBuffer buffer(state.range(0));
  std::memset(buffer.data(), 1, static_cast<size_t>(state.range(0)));
  const RooflineKernels& kernels = GetRooflineKernels(ChosenIsa().isa);
  for (auto _ : state) benchmark::DoNotOptimize(kernels.read(buffer.data(), state.range(0)));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

// Multiply-adds of floats, or of integers, a second of one core, at best.
void BM_MultiplyAddPeak(benchmark::State& state, bool integers) {
  constexpr int64_t kRounds = 10000;
  const Isa isa = static_cast<Isa>(state.range(0));
  const RooflineKernels& kernels = GetRooflineKernels(isa);
  for (auto _ : state) {
    if (integers) {
      benchmark::DoNotOptimize(kernels.multiply_integers(kRounds, 1));
    } else {
      benchmark::DoNotOptimize(kernels.multiply_floats(kRounds, 1.0f));
    }
  }
  state.SetLabel(IsaName(isa));
  const int64_t each = integers ? kernels.integers : kernels.floats;
  state.counters["madds"] = benchmark::Counter(static_cast<double>(each * kRounds),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

void Isas(benchmark::internal::Benchmark* bench, const std::vector<std::vector<int64_t>>& cases) {
  for (const std::vector<int64_t>& c : cases) {
    for (Isa isa : SupportedIsas()) {
      std::vector<int64_t> args = c;
      args.push_back(static_cast<int64_t>(isa));
      bench->Args(args);
    }
  }
}

void DecodeCases(benchmark::internal::Benchmark* bench) {
  constexpr int64_t kFarMegabytes = 192;
  for (int64_t shape : {0, 1, 2, 3, 4}) {
    for (int64_t type : {2, 3, 4, 5}) {
      for (int64_t depth : {1024, 8192}) {
        for (Isa isa : SupportedIsas()) {
          for (int64_t cached : {int64_t{0}, kFarMegabytes}) {
            bench->Args({shape, type, depth, static_cast<int64_t>(isa), cached});
          }
        }
      }
    }
  }
}

void PrefillCases(benchmark::internal::Benchmark* bench) {
  Isas(bench, {{0, 2}, {0, 4}, {2, 2}, {2, 3}, {2, 4}, {2, 5}, {3, 2}, {3, 4}, {4, 2}, {4, 4}});
}

void PeakCases(benchmark::internal::Benchmark* bench) { Isas(bench, {{}}); }

BENCHMARK_CAPTURE(BM_MultiplyAddPeak, floats, false)->Apply(PeakCases);
BENCHMARK_CAPTURE(BM_MultiplyAddPeak, integers, true)->Apply(PeakCases);
BENCHMARK(BM_ReadBandwidth)->Arg(1 << 20)->Arg(8 << 20)->Arg(256 << 20);
BENCHMARK(BM_Decode)->Apply(DecodeCases)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Prefill)->Apply(PrefillCases)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mla::testing_attention
