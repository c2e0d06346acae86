// The implementations behind RopeRotate, by instruction set. Plain, so that their files can include
// it.
#ifndef MLA_KERNELS_ROPE_IMPLEMENTATIONS_H_
#define MLA_KERNELS_ROPE_IMPLEMENTATIONS_H_

#include <cstdint>

namespace mla {

// Which two elements of a rotary group form pair i of R/2.
enum class RopeLayout {
  kHalves,      // (i, i + R/2): Hugging Face, Qwen GGUF, converted models
  kInterleaved  // (2i, 2i + 1): GGUF's llama
};

using RopeKernel = void (*)(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                            int64_t heads, int64_t rope_dim);

void RopeRotateGeneric(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                       int64_t heads, int64_t rope_dim);
void RopeRotateAvx2(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                    int64_t heads,
                    int64_t rope_dim);  // x86 only
void RopeRotateNeon(RopeLayout layout, const float* cos_sin, float* x, int64_t stride,
                    int64_t heads,
                    int64_t rope_dim);  // arm64 only

}  // namespace mla
#endif  // MLA_KERNELS_ROPE_IMPLEMENTATIONS_H_
