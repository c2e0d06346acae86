// Whether a GPU decodes as the CPU does: a whole model, every cache, prompts cut in several ways.
#ifndef MLA_GPU_BENCH_PARITY_H_
#define MLA_GPU_BENCH_PARITY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cache/layout.h"
#include "graph/gpu_model.h"
#include "graph/weights.h"
#include "tensor/status.h"

namespace mla {

// Of the logits of all tokens. The unit is the spread of the CPU's: the root of the mean over
// tokens of their logits' variance.
struct Parity {
  CacheOptions cache;
  int32_t split;  // tokens that the GPU is given at a time
  int32_t layers;
  double difference;  // the largest |GPU - CPU|
  // Root mean squares of the distance to the CPU's logits with an f32 cache. The CPU's least and
  // most, of either form of activations: where few bits cost much, how much is a matter of luck.
  double gpu_error, least_cpu_error, most_cpu_error;
  double top1;  // the part of the tokens after which both have the same likeliest one

  // By what graph/decoder_gpu_test.cc demands of two layers; errors of layers add up at random.
  // Float caches are rounded to 16 bits on their way, which moves no logit far, of bf16 not much
  // farther than on the CPU. Quantized ones are rounded alike on both, but an element beside a
  // border falls to either side: both are as far from what they would be without.
  bool ok() const;
};

// The caches that are checked: all types, and windows with quantized ones.
std::vector<CacheOptions> ParityCaches();

// `report` gets each of the caches with the tokens at once, in odd chunks, and one by one. The CPU
// takes so many threads. Errors: the decoders'.
Status CompareWithCpu(const std::shared_ptr<const Weights>& weights,
                      const std::shared_ptr<GpuModel>& model, std::span<const int32_t> tokens,
                      std::span<const CacheOptions> caches, int32_t threads,
                      const std::function<void(const Parity&)>& report);

}  // namespace mla
#endif  // MLA_GPU_BENCH_PARITY_H_
