// The tile kernels in AVX2, FMA, F16C and AVX-VNNI.
#include "kernels/attention/packed_kernels_simd.h"
#include "kernels/attention/x86_avx2_simd.h"
#include "kernels/x86_avxvnni_dots.h"

namespace mla {
namespace {

struct VnniVec8 : Vec8 {
  static Int DotAdd(Int sums, Int bytes, Int digits, int) { return DotBytes(sums, bytes, digits); }
  static Int PairAdd(Int sums, Int a, Int b, int) { return DotShorts(sums, a, b); }
};

constexpr AttentionTileKernels kKernels = MakeAttentionTileKernels<VnniVec8>();

}  // namespace

const AttentionTileKernels& AvxVnniAttentionTileKernels() { return kKernels; }

}  // namespace mla
