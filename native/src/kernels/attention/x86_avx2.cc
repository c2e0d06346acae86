// The tile kernels in AVX2, FMA and F16C.
#include "kernels/attention/packed_kernels_simd.h"
#include "kernels/attention/x86_avx2_simd.h"

namespace mla {
namespace {

constexpr AttentionTileKernels kKernels = MakeAttentionTileKernels<Vec8>();

}  // namespace

const AttentionTileKernels& Avx2AttentionTileKernels() { return kKernels; }

}  // namespace mla
