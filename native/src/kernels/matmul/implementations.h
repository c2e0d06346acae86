// The tables that the implementation files of this folder export, and what their quantized
// activations have in common.
#ifndef MLA_KERNELS_MATMUL_IMPLEMENTATIONS_H_
#define MLA_KERNELS_MATMUL_IMPLEMENTATIONS_H_

#include <cstdint>

#include "kernels/matmul/matmul.h"

namespace mla {

// 32 activations as whole numbers: x = scale * q. How q lies in its 64 bytes, and what is its unit,
// is each implementation's own affair, since the one that prepares is the one that multiplies.
//
// 8 bits alone would be too coarse beside a model's outliers: on 2,048 tokens of text they moved
// SmolLM2-135M's next-token distributions by a KL divergence of 3.3e-3. So q has 15 bits, or 8
// where that costs little and an instruction set gains by it (kCoarseLimit).
struct ActivationBlock {
  uint8_t q[64];
  float scale;
  float sum;          // scale * sum of q: what the weights' minimum or offset multiplies
  float half_sum[2];  // the same of elements 0-15 and 16-31
  int32_t fine;       // whether q has more than 8 bits, for implementations that have both
};
static_assert(sizeof(ActivationBlock) == 84);

// The largest value that splits into two signed bytes, 256 * 127 + 127.
inline constexpr int32_t kActivationLimit = 32639;
// A block whose largest magnitude is below this counts as zeros (its inverse scale would overflow);
// one that holds an infinity or a NaN has a NaN for its scale, so that results say so.
inline constexpr float kSmallestActivation = 1e-30f;

// For instruction sets that multiply bytes: q is high + low / 256 in units of its block's scale,
// two signed bytes, the 32 high ones first. In most blocks low is zero and left out, which is half
// of the work: in those that have no element of kCoarseLimit times the row's mean magnitude, and so
// steps not much above other blocks'. With 7 means 20 % of SmolLM2-135M's blocks keep both bytes,
// and its next-token distributions move by a KL divergence of 5.1e-4 (3.4e-4 with a limit of 5 and
// 34 %, 3.3e-3 without low bytes).
inline constexpr float kCoarseLimit = 7.0f;
inline constexpr float kCoarseMost = 127.0f;
// kActivationLimit in units of the high byte.
inline constexpr float kFineMost = 127.0f + 127.0f / 256;

extern const MatmulKernels kMatmulGeneric;
#if defined(__x86_64__)
extern const MatmulKernels kMatmulAvx2;
extern const MatmulKernels kMatmulAvxVnni;
extern const MatmulKernels kMatmulAvx512;
// Their F32, F16 and BF16 parts, in files of their own.
void MultiplyFloatAvx2(const MatmulParams& p, int64_t row_begin, int64_t row_end);
void MultiplyFloatAvx512(const MatmulParams& p, int64_t row_begin, int64_t row_end);
#elif defined(__aarch64__)
extern const MatmulKernels kMatmulNeon;
extern const MatmulKernels kMatmulDotprod;
extern const MatmulKernels kMatmulI8mm;
void MultiplyFloatNeon(const MatmulParams& p, int64_t row_begin, int64_t row_end);
#endif

}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_IMPLEMENTATIONS_H_
