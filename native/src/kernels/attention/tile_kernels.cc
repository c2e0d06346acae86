#include "kernels/attention/tile_kernels.h"

#include "kernels/isa.h"

namespace mla {

const AttentionTileKernels& GetAttentionTileKernels(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return Avx512AttentionTileKernels();
    case Isa::kAvxVnni:
      return AvxVnniAttentionTileKernels();
    case Isa::kAvx2:
      return Avx2AttentionTileKernels();
#elif defined(__aarch64__)
    case Isa::kI8mm:
    case Isa::kDotprod:
      return DotprodAttentionTileKernels();
    case Isa::kNeon:
      return NeonAttentionTileKernels();
#endif
    default:
      return GenericAttentionTileKernels();
  }
}

}  // namespace mla
