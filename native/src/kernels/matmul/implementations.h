// The tables that the implementation files of this folder export, and what their quantized
// activations have in common.
#ifndef MLA_KERNELS_MATMUL_IMPLEMENTATIONS_H_
#define MLA_KERNELS_MATMUL_IMPLEMENTATIONS_H_

#include <cstdint>

#include "kernels/matmul/matmul.h"

namespace mla {

// 32 activations as whole numbers: x = scale * q, |q| <= kActivationLimit. How q lies in its 64
// bytes is each implementation's own affair, since the one that prepares is the one that
// multiplies. 8 bits would be too coarse beside a model's outliers: on 512 tokens of text they
// moved SmolLM2-135M's next-token log-probabilities by 0.054 on average and 0.45 at most, where
// these 15 bits move them by 0.0003 and 0.003.
struct ActivationBlock {
  uint8_t q[64];
  float scale;
  float sum;          // scale * sum of q: what the weights' minimum or offset multiplies
  float half_sum[2];  // the same of elements 0-15 and 16-31
};
static_assert(sizeof(ActivationBlock) == 80);

// The largest value that splits into two signed bytes, 256 * 127 + 127.
inline constexpr int32_t kActivationLimit = 32639;
// A block whose largest magnitude is below this counts as zeros (its inverse scale would overflow);
// one that holds an infinity or a NaN has a NaN for its scale, so that results say so.
inline constexpr float kSmallestActivation = 1e-30f;

extern const MatmulKernels kMatmulGeneric;
#if defined(__x86_64__)
extern const MatmulKernels kMatmulAvx2;
extern const MatmulKernels kMatmulAvx512;
// Their F32, F16 and BF16 parts, in files of their own.
void MultiplyFloatAvx2(const MatmulParams& p, int64_t row_begin, int64_t row_end);
void MultiplyFloatAvx512(const MatmulParams& p, int64_t row_begin, int64_t row_end);
#endif

}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_IMPLEMENTATIONS_H_
