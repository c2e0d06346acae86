// Whole-model decoding on a GPU, timed.
#ifndef MLA_GPU_BENCH_DECODING_CASE_H_
#define MLA_GPU_BENCH_DECODING_CASE_H_

#include <cstdint>
#include <memory>

#include "cache/layout.h"
#include "graph/gpu_model.h"
#include "graph/weights.h"
#include "tensor/status.h"

namespace mla {

struct DecodingCase {
  CacheOptions cache;
  int32_t batch;        // sequences that go on together
  int32_t depth;        // tokens in each one's cache beforehand, zeros
  int32_t prompt;       // tokens evaluated at once, or 0: single tokens
  int32_t tokens;       // single ones, of each
  int32_t prefill = 0;  // MLA_PREFILL_*, of the prompt
};

// Tokens a second, of all sequences together.
Result<double> TimeDecoding(const DecodingCase& what, std::shared_ptr<const Weights> weights,
                            std::shared_ptr<GpuModel> model);

// How many sequences of so many tokens the GPU's memory holds at once, beside the weights.
Result<int32_t> CountSessions(const CacheOptions& cache, int32_t context,
                              std::shared_ptr<const Weights> weights,
                              std::shared_ptr<GpuModel> model);

}  // namespace mla
#endif  // MLA_GPU_BENCH_DECODING_CASE_H_
