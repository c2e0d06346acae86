// Rotary position embedding of rows by a table of cosines and sines.
#ifndef MLA_KERNELS_ROPE_ROPE_H_
#define MLA_KERNELS_ROPE_ROPE_H_

#include <cstdint>

#include "kernels/isa.h"
#include "kernels/rope/implementations.h"

namespace mla {

// cos_sin [R/2][2] = factor * cos(position * frequency[i]), factor * sin(...), computed in double.
void RopeAngles(const float* frequencies, int64_t pairs, int64_t position, float factor,
                float* cos_sin);

// x [heads] rows of R floats, stride in floats, rotated in place by one position's table.
void RopeRotate(RopeLayout layout, const float* cos_sin, float* x, int64_t stride, int64_t heads,
                int64_t rope_dim);

// Never null for a supported ISA; an ISA without its own file gets the next best.
RopeKernel GetRopeKernel(Isa isa);
void RopeRotateReference(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                         int64_t heads, int64_t rope_dim);

}  // namespace mla
#endif  // MLA_KERNELS_ROPE_ROPE_H_
