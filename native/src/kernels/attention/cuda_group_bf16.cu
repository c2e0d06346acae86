#include "kernels/attention/gpu_group_kernel.h"

namespace mla::MLA_GPU {
template void LaunchGroupsOf<CacheType::kBf16>(GpuStream&, const GroupArgs&, const Grid&);
}  // namespace mla::MLA_GPU
