#include "cache/group_packer.h"

#include <algorithm>

namespace mla {

void GroupPacker::Add(const RowFormat& format, const float* values, uint8_t* row,
                      uint16_t* scales) {
  const int type = static_cast<int>(format.type) - kFirstType;
  for (int32_t i = 0; i < format.length; i += format.group) {
    groups_[type][count_[type]++] = {values + i, std::min(format.group, format.length - i),
                                     row + i / format.block_elements() * kBlockStride, scales};
    scales += format.scales_per_group * kPageTokens;
    if (count_[type] == kEncodedTokens) Pack(type);
  }
}

void GroupPacker::Pack(int type) {
  if (count_[type] == 0) return;
  GetEncodeKernels().pack_groups(static_cast<CacheType>(kFirstType + type), groups_[type],
                                 count_[type]);
  count_[type] = 0;
}

}  // namespace mla
