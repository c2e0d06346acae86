// What bounds all other kernels: how fast memory is read and how fast numbers are multiplied and
// added. Loops that do nothing else; runtime/measure_roofline.h times them on all threads together.
#ifndef MLA_KERNELS_ROOFLINE_ROOFLINE_H_
#define MLA_KERNELS_ROOFLINE_ROOFLINE_H_

#include <cstdint>

#include "kernels/isa.h"

namespace mla {

// Each returns what depends on all that it did, so that nothing can be left out.
struct RooflineKernels {
  // The sum of the 64-bit words, without carry. data: 64-byte aligned; bytes: a multiple of
  // kReadGrain.
  uint64_t (*read)(const void* data, int64_t bytes);
  // `rounds` times x = x * one + one in so many lanes that begin at 0: their sum. `one` is 1, of
  // which the compiler knows nothing.
  float (*multiply_floats)(int64_t rounds, float one);
  int64_t floats;  // lanes
  // `rounds` times so many multiply-adds of integers as narrow as the instruction set multiplies
  // best (8 bits by VNNI, AVX2, sdot and smmla, else 16), each adding `one`: the sum of all, where
  // nothing overflowed 16 bits.
  uint32_t (*multiply_integers)(int64_t rounds, int8_t one);
  int64_t integers;
};

inline constexpr int64_t kReadGrain = 512;  // bytes

// An ISA without its own file gets the portable loops.
const RooflineKernels& GetRooflineKernels(Isa isa);

}  // namespace mla
#endif  // MLA_KERNELS_ROOFLINE_ROOFLINE_H_
