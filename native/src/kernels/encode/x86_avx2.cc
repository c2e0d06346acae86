// Rows of the cache in AVX2 and F16C.
#include <immintrin.h>
#include <stdint.h>

#include "kernels/encode/implementations.h"

namespace mla {
namespace {
constexpr int32_t kLanes = 8;
}
}  // namespace mla

#include "kernels/encode/lanes_simd.h"

namespace mla {
namespace {

struct Avx2Halves {
  static void To(Floats x, HalfBits* bits) {
    *bits = (HalfBits)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT);
  }
  static Floats From(HalfBits bits) { return (Floats)_mm256_cvtph_ps((__m128i)bits); }
};

}  // namespace

const EncodeKernels kEncodeAvx2 = {Pack<Avx2Halves>, PackGroups<Avx2Halves>, ToHalves<Avx2Halves>,
                                   ToBfloats};

}  // namespace mla
