#include "kernels/attention/gpu_piece.h"

#include <gtest/gtest.h>

namespace mla {
namespace {

// Lanes read elements by eights, a row's last ones too: lines of a packed row that are not its own
// would be on their way for another tile at that time.
TEST(GpuPieceBuilder, ARowHasRoomForItsEights) {
  for (const CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    for (int32_t length = 1; length <= 200; ++length) {
      const RowFormat format = MakeRowFormat(type, length, 32);
      GpuPieceBuilder builder(64, GpuRows::kPacked);
      const GpuTileArray row = builder.Add({format, 0, 0}, 0, length);
      const GpuTileArray next = builder.Add({format, 0, 0}, 0, length);
      const int32_t last = row.Eight(length + 100) + kUnitElements - 1;
      EXPECT_LE((last / format.block_elements() + 1) * row.pitch, next.at - row.at)
          << static_cast<int32_t>(type) << ", " << length;
    }
  }
}

}  // namespace
}  // namespace mla
