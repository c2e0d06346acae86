#include "gpu_bench/parity.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cache/cache_testing.h"
#include "graph/decoder.h"
#include "graph/decoder_testing.h"

namespace mla {
namespace {

// Neither a divisor of a page's tokens nor of a chunk's.
constexpr int32_t kOddChunk = 37;

// Of two layers.
constexpr double kMostDifference = 0.05, kMostError = 0.01;
constexpr double kErrorRatio = 1.1;

// [tokens][vocabulary].
Result<std::vector<float>> Logits(const std::shared_ptr<const Weights>& weights,
                                  const DecoderOptions& options, std::span<const int32_t> tokens,
                                  int32_t split) {
  Result<std::unique_ptr<Decoder>> decoder = Decoder::Create(weights, options);
  if (!decoder.ok()) return decoder.status();
  const size_t vocabulary = static_cast<size_t>(weights->shape().vocabulary);
  std::vector<float> logits(tokens.size() * vocabulary);
  for (size_t done = 0; done < tokens.size(); done += static_cast<size_t>(split)) {
    const size_t n = std::min(static_cast<size_t>(split), tokens.size() - done);
    // All logits of one token are never a recorded step's, the last one's are.
    const auto output = n == 1 ? Decoder::Output::kLast : Decoder::Output::kAll;
    const Status status =
        decoder.value()->Append(tokens.data() + done, static_cast<int32_t>(n), output,
                                logits.data() + done * vocabulary, nullptr, kGoOn);
    if (!status.ok()) return status;
  }
  return logits;
}

double Spread(const std::vector<float>& logits, size_t vocabulary) {
  double variances = 0;
  for (auto row = logits.begin(); row != logits.end();
       row += static_cast<std::ptrdiff_t>(vocabulary)) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < vocabulary; ++i) {
      sum += row[static_cast<std::ptrdiff_t>(i)];
      squares += double{row[static_cast<std::ptrdiff_t>(i)]} * row[static_cast<std::ptrdiff_t>(i)];
    }
    const double n = static_cast<double>(vocabulary);
    variances += squares / n - sum / n * (sum / n);
  }
  return std::sqrt(variances / static_cast<double>(logits.size() / vocabulary));
}

double RootMeanSquare(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

double SameTop(const std::vector<float>& a, const std::vector<float>& b, size_t vocabulary) {
  size_t same = 0;
  for (size_t at = 0; at < a.size(); at += vocabulary) {
    const auto top = [&](const std::vector<float>& of) {
      const auto begin = of.begin() + static_cast<std::ptrdiff_t>(at);
      return std::max_element(begin, begin + static_cast<std::ptrdiff_t>(vocabulary)) - begin;
    };
    same += top(a) == top(b);
  }
  return static_cast<double>(same * vocabulary) / static_cast<double>(a.size());
}

}  // namespace

bool Parity::ok() const {
  const double depth = std::sqrt(layers / 2.0);
  if (IsFloat(cache.latent)) {
    double most_error = kMostError * depth;
    // bf16 may be further off by itself, in deep models: SmolLM2's conversion by 0.054 on the CPU,
    // where this is 0.039.
    if (cache.latent == CacheType::kBf16) {
      most_error = std::max(most_error, kErrorRatio * most_cpu_error);
    }
    return difference < kMostDifference * depth && gpu_error < most_error;
  }
  return gpu_error < kErrorRatio * most_cpu_error + kMostError * depth &&
         least_cpu_error < kErrorRatio * gpu_error + kMostError * depth;
}

std::vector<CacheOptions> ParityCaches() {
  return {Of(CacheType::kF32),         Of(CacheType::kF16),         Of(CacheType::kBf16),
          Of(CacheType::kInt8),        Of(CacheType::kInt4),        Of(CacheType::kInt2),
          Of(CacheType::kInt8, 33, 1), Of(CacheType::kInt4, 20, 4), Of(CacheType::kInt2, 70, 2)};
}

Status CompareWithCpu(const std::shared_ptr<const Weights>& weights,
                      const std::shared_ptr<GpuModel>& model, std::span<const int32_t> tokens,
                      std::span<const CacheOptions> caches, int32_t threads,
                      const std::function<void(const Parity&)>& report) {
  const size_t vocabulary = static_cast<size_t>(weights->shape().vocabulary);
  const int32_t n = static_cast<int32_t>(tokens.size());
  DecoderOptions options;
  options.context_length = n;
  options.threads = threads;
  options.activations = Activations::kFine;
  options.cache = Of(CacheType::kF32);
  const Result<std::vector<float>> exact = Logits(weights, options, tokens, n);
  if (!exact.ok()) return exact.status();
  const double spread = Spread(exact.value(), vocabulary);
  for (const CacheOptions& cache : caches) {
    options.cache = cache;
    options.gpu = nullptr;
    const Result<std::vector<float>> cpu = Logits(weights, options, tokens, n);
    if (!cpu.ok()) return cpu.status();
    options.activations = Activations::kMixed;
    const Result<std::vector<float>> mixed = Logits(weights, options, tokens, n);
    if (!mixed.ok()) return mixed.status();
    options.activations = Activations::kFine;
    const auto [least, most] = std::minmax({RootMeanSquare(cpu.value(), exact.value()) / spread,
                                            RootMeanSquare(mixed.value(), exact.value()) / spread});
    options.gpu = model;
    for (const int32_t split : {n, kOddChunk, 1}) {
      const Result<std::vector<float>> gpu = Logits(weights, options, tokens, split);
      if (!gpu.ok()) return gpu.status();
      report({cache, split, weights->shape().layers, Largest(gpu.value(), cpu.value()) / spread,
              RootMeanSquare(gpu.value(), exact.value()) / spread, least, most,
              SameTop(gpu.value(), cpu.value(), vocabulary)});
    }
  }
  return Status::Ok();
}

}  // namespace mla
