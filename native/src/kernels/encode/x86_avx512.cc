// Rows of the cache in AVX-512.
#include <immintrin.h>
#include <stdint.h>

#include "kernels/encode/implementations.h"

namespace mla {
namespace {
constexpr int32_t kLanes = 16;
}
}  // namespace mla

#include "kernels/encode/lanes_simd.h"

namespace mla {
namespace {

struct Avx512Halves {
  static void To(Floats x, HalfBits* bits) {
    *bits = (HalfBits)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT);
  }
  static Floats From(HalfBits bits) { return (Floats)_mm512_cvtph_ps((__m256i)bits); }
};

}  // namespace

const EncodeKernels kEncodeAvx512 = {Pack<Avx512Halves>, PackGroups<Avx512Halves>,
                                     ToHalves<Avx512Halves>, ToBfloats};

}  // namespace mla
