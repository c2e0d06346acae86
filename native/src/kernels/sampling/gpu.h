// What becomes of logits on the GPU, so that they need not cross to the host: next tokens, and
// probabilities of given ones.
#ifndef MLA_KERNELS_SAMPLING_GPU_H_
#define MLA_KERNELS_SAMPLING_GPU_H_

#include <cstdint>

#include "cuda/gpu_stream.h"
#include "kernels/sampling/choice.h"

namespace mla {

struct GpuSamplingRow {
  ChoiceRequest draw;
  float* copy;     // [vocabulary], gets the row's logits as they are; null: nobody wants them
  Choice* choice;  // gets the token
};

// A row's token is the one that runtime/sampler.h chooses of the same logits, but that
// probabilities are whole multiples of 2^-40 of the best token's: sums do not depend on their
// order, and where two tokens meet in the cumulated probabilities, rounding may choose the other.
struct GpuSampling {
  const float* logits;  // [rows][vocabulary]
  int32_t rows;
  int32_t vocabulary;
  const GpuSamplingRow* row;  // [rows], in the GPU's memory
};

// scores[i] = ln p(tokens[i]) of row i's distribution, error below 2e-6 and a float's rounding; NaN
// where logits are damaged (Choice::token).
struct GpuScores {
  const float* logits;  // [rows][vocabulary]
  int32_t rows;
  int32_t vocabulary;
  const int32_t* tokens;  // [rows]
  float* scores;          // [rows]
};

namespace cuda {
void Launch(GpuStream& stream, const GpuSampling& args);
void Launch(GpuStream& stream, const GpuScores& args);
}  // namespace cuda
namespace emulated {
void Launch(GpuStream& stream, const GpuSampling& args);
void Launch(GpuStream& stream, const GpuScores& args);
}  // namespace emulated

}  // namespace mla
#endif  // MLA_KERNELS_SAMPLING_GPU_H_
