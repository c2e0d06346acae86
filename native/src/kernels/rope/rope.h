// Rotary position embedding of rows by a table of cosines and sines.
#ifndef MLA_KERNELS_ROPE_ROPE_H_
#define MLA_KERNELS_ROPE_ROPE_H_

#include <cstdint>

#include "kernels/isa.h"

namespace mla {

// Which two elements of a rotary group form pair i of R/2.
enum class RopeLayout {
  kHalves,      // (i, i + R/2): Hugging Face, Qwen GGUF, converted models
  kInterleaved  // (2i, 2i + 1): GGUF's llama
};

// cos_sin [R/2][2] = factor * cos(position * frequency[i]), factor * sin(...), computed in double.
void RopeAngles(const float* frequencies, int64_t pairs, int64_t position, float factor, float* cos_sin);

// x [heads] rows of R floats, stride in floats, rotated in place by one position's table.
void RopeRotate(RopeLayout layout, const float* cos_sin, float* x, int64_t stride, int64_t heads, int64_t rope_dim);

using RopeKernel = void (*)(RopeLayout layout, const float* cos_sin, float* x, int64_t stride, int64_t heads,
                            int64_t rope_dim);
RopeKernel GetRopeKernel(Isa isa);
void RopeRotateReference(RopeLayout layout, const float* cos_sin, float* x, int64_t stride, int64_t heads,
                         int64_t rope_dim);

}  // namespace mla
#endif  // MLA_KERNELS_ROPE_ROPE_H_
