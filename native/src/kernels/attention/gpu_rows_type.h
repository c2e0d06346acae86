// Kernels that are compiled for each type of rows.
#ifndef MLA_KERNELS_ATTENTION_GPU_ROWS_TYPE_H_
#define MLA_KERNELS_ATTENTION_GPU_ROWS_TYPE_H_

#include "kernels/attention/gpu_latent.h"

namespace mla {

// Calls call.operator()<type>() with the type of a layer's rows of the latent, on the host.
template <typename Call>
void WithRowsType(const GpuLatentSizes& sizes, const Call& call) {
  switch (static_cast<CacheType>(sizes.forms[kRowsForm].latent.type)) {
    case CacheType::kInt8:
      return call.template operator()<CacheType::kInt8>();
    case CacheType::kInt4:
      return call.template operator()<CacheType::kInt4>();
    case CacheType::kInt2:
      return call.template operator()<CacheType::kInt2>();
    case CacheType::kBf16:
      return call.template operator()<CacheType::kBf16>();
    default:
      return call.template operator()<CacheType::kF16>();
  }
}

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_ROWS_TYPE_H_
