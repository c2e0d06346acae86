// What matrices are of that warps and groups of them multiply on the GPU.
#ifndef MLA_CUDA_MMA_FLOAT_H_
#define MLA_CUDA_MMA_FLOAT_H_

namespace mla {

// 16 bits: IEEE's (10 of mantissa, up to 65,504), or a float32's upper half (7).
enum class MmaFloat { kHalf, kBfloat };

}  // namespace mla
#endif  // MLA_CUDA_MMA_FLOAT_H_
