#include "kernels/encode/encode.h"

#include "kernels/encode/implementations.h"
#include "kernels/isa.h"

namespace mla {

const EncodeKernels& GetEncodeKernels(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return kEncodeAvx512;
    case Isa::kAvxVnni:
    case Isa::kAvx2:
      return kEncodeAvx2;
#endif
    default:
      return kEncodeGeneric;
  }
}

const EncodeKernels& GetEncodeKernels() {
  static const EncodeKernels& kernels = GetEncodeKernels(ChosenIsa().isa);
  return kernels;
}

}  // namespace mla
