#include "kernels/attention/tile_kernels.h"

#include "kernels/isa.h"

namespace mla {

const AttentionTileKernels& GetAttentionTileKernels(Isa isa) {
  (void)isa;
  return GenericAttentionTileKernels();
}

}  // namespace mla
