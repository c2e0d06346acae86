#include "kernels/roofline/roofline.h"

#include "kernels/roofline/implementations.h"

namespace mla {

const RooflineKernels& GetRooflineKernels(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return kRooflineAvx512;
    case Isa::kAvxVnni:
      return kRooflineAvxVnni;
    case Isa::kAvx2:
      return kRooflineAvx2;
#elif defined(__aarch64__)
    case Isa::kI8mm:
      return kRooflineI8mm;
    case Isa::kDotprod:
      return kRooflineDotprod;
    case Isa::kNeon:
      return kRooflineNeon;
#endif
    default:
      return kRooflineGeneric;
  }
}

}  // namespace mla
