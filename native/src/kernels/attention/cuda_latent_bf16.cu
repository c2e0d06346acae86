#include "kernels/attention/gpu_latent_kernel.h"

namespace mla::MLA_GPU {
template void LaunchLatentOf<CacheType::kBf16>(GpuStream&, const LatentArgs&, const Grid&);
}  // namespace mla::MLA_GPU
