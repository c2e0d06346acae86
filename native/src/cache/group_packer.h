// Gathers groups of single tokens' rows, of any pages, until there are enough to be packed side by
// side.
#ifndef MLA_CACHE_GROUP_PACKER_H_
#define MLA_CACHE_GROUP_PACKER_H_

#include <cstdint>

#include "cache/row_format.h"
#include "kernels/encode/encode.h"

namespace mla {

// One thread's. Rows are written, and their values read, until it is gone.
class GroupPacker {
 public:
  GroupPacker() = default;
  GroupPacker(const GroupPacker&) = delete;
  GroupPacker& operator=(const GroupPacker&) = delete;
  ~GroupPacker() {
    for (int type = 0; type < kTypes; ++type) Pack(type);
  }

  // All groups of a token's row: row and scales as for EncodeRow (row_codec.h).
  void Add(const RowFormat& format, const float* values, uint8_t* row, uint16_t* scales);

 private:
  static constexpr int kTypes = 3;  // from int8 on
  static constexpr int kFirstType = static_cast<int>(CacheType::kInt8);

  void Pack(int type);

  int32_t count_[kTypes] = {};
  PackedGroup groups_[kTypes][kEncodedTokens];
};

}  // namespace mla
#endif  // MLA_CACHE_GROUP_PACKER_H_
