// How long work on a GPU takes.
#ifndef MLA_GPU_BENCH_GPU_CLOCK_H_
#define MLA_GPU_BENCH_GPU_CLOCK_H_

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "cuda/gpu_stream.h"
#include "tensor/status.h"

namespace mla {

// The median time of `work`, a few launches, in seconds: recorded as often as fills `least_seconds`
// and repeated, so that launching does not count. Not recorded, as often in a row: recorded copies
// within a GPU's memory are another engine's, and slower.
inline Result<double> TimeOnGpu(GpuStream& stream, double least_seconds,
                                const std::function<void()>& work, bool recorded = true) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [&](const std::function<void()>& run) -> Result<double> {
    const Clock::time_point begin = Clock::now();
    run();
    if (Status status = stream.Synchronize(); !status.ok()) return status;
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  Result<double> once = seconds(work);  // the first is slower: what it needs is loaded
  if (once.ok()) once = seconds(work);
  if (!once.ok()) return once;
  const int times = std::clamp(static_cast<int>(least_seconds / once.value()), 1, 1000);
  const auto repeated = [&] {
    for (int i = 0; i < times; ++i) work();
  };
  std::unique_ptr<GpuRecording> recording;
  if (recorded) {
    Result<std::unique_ptr<GpuRecording>> made = stream.Record(repeated);
    if (!made.ok()) return made.status();
    recording = std::move(made.value());
  }
  std::vector<double> samples;
  for (int i = 0; i < 5; ++i) {
    Result<double> sample = seconds([&] {
      if (recording == nullptr) return repeated();
      stream.Replay(*recording);
    });
    if (!sample.ok()) return sample;
    samples.push_back(sample.value() / times);
  }
  std::nth_element(samples.begin(), samples.begin() + 2, samples.end());
  return samples[2];
}

}  // namespace mla
#endif  // MLA_GPU_BENCH_GPU_CLOCK_H_
