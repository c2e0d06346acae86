#include "kernels/matmul/arm64_dotprod_simd.h"

namespace mla {

const MatmulKernels kMatmulDotprod = {Prepare, MultiplyWith<Dotprod>, kTileRows,
                                      PackRows<kTileRows>};

}  // namespace mla
