// Rows of the cache in the compiler's vectors as every machine runs them.
#include <stdint.h>

#include "kernels/encode/implementations.h"
#include "tensor/convert.h"

namespace mla {
namespace {
constexpr int32_t kLanes = 4;
}
}  // namespace mla

#include "kernels/encode/lanes_simd.h"

namespace mla {
namespace {

struct PortableHalves {
  static void To(Floats x, HalfBits* bits) {
    for (int32_t i = 0; i < kLanes; ++i) (*bits)[i] = FloatToHalf(x[i]);
  }
  static Floats From(HalfBits bits) {
    Floats x = {};
    for (int32_t i = 0; i < kLanes; ++i) x[i] = HalfToFloat(bits[i]);
    return x;
  }
};

}  // namespace

const EncodeKernels kEncodeGeneric = {Pack<PortableHalves>, PackGroups<PortableHalves>,
                                      ToHalves<PortableHalves>, ToBfloats};

}  // namespace mla
