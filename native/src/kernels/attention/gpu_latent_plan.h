// Which layers the latent kernel attends to (gpu_latent_kernel.h), which of them the group kernel
// (gpu_group_kernel.h), and how they are cut.
#ifndef MLA_KERNELS_ATTENTION_GPU_LATENT_PLAN_H_
#define MLA_KERNELS_ATTENTION_GPU_LATENT_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "cache/layout.h"
#include "cuda/gpu_stream.h"
#include "kernels/attention/gpu_latent.h"
#include "kernels/attention/gpu_plan.h"

namespace mla {

struct GpuLatentPlan {
  GpuLatentShape shape;
  GpuLatentSizes latent;
  GpuAttentionSizes sizes;
  int32_t shared_bytes;
  int32_t blocks;  // side by side on a processor
  std::vector<int32_t> tables;
};

// Nothing where another kernel has to: heads with segments or rotary rows of their own, keys that
// are not values, key scalars, float rows that are f32 or no multiple of eight elements, bf16
// beside other rows, values of more than 1,024, or rows too long for the stream's shared memory.
std::optional<GpuLatentPlan> PlanLatent(const LayerLayout& layout, const CacheOptions& options,
                                        int32_t queries, const GpuStream& stream);

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_LATENT_PLAN_H_
