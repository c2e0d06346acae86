// Chooses next tokens on the GPU, so that of a step's logits nothing but the tokens crosses to the
// host.
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

namespace cuda {
void Launch(GpuStream& stream, const GpuSampling& args);
}  // namespace cuda
namespace emulated {
void Launch(GpuStream& stream, const GpuSampling& args);
}  // namespace emulated

}  // namespace mla
#endif  // MLA_KERNELS_SAMPLING_GPU_H_
