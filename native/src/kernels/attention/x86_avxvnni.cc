// The tile kernels in AVX2, FMA, F16C and AVX-VNNI.
#include "kernels/attention/packed_kernels_simd.h"
#include "kernels/attention/x86_avx2_simd.h"
#include "kernels/x86_avxvnni_dots.h"

namespace mla {
namespace {

struct VnniVec8 : Vec8 {
  static Sums DotAdd(Sums sums, Int bytes, Int digits, int) {
    return (Sums)DotBytes((Int)sums, bytes, digits);
  }
  static Sums PairAdd(Sums sums, Int a, Int b, int) { return (Sums)DotShorts((Int)sums, a, b); }
};

constexpr AttentionTileKernels kKernels = MakeAttentionTileKernels<VnniVec8>();

}  // namespace

const AttentionTileKernels& AvxVnniAttentionTileKernels() { return kKernels; }

}  // namespace mla
