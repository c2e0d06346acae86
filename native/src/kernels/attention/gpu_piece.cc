#include "kernels/attention/gpu_piece.h"

#include <algorithm>

#include "kernels/attention/rounding.h"

namespace mla {
namespace {

// Elements of a row that are one line.
int32_t LineElements(const RowFormat& format) {
  return format.packed() ? format.block_elements() : kUnitElements;
}

GpuTileArray Describe(const RowArray& row, int32_t length) {
  GpuTileArray array = {};
  array.type = static_cast<int32_t>(row.format.type);
  array.length = length;
  array.group_shift = row.format.group == 64 ? 6 : 5;
  array.step = CeilDiv(length, LineElements(row.format));
  array.number_step = row.format.groups() * row.format.scales_per_group;
  return array;
}

}  // namespace

GpuTileArray GpuPieceBuilder::Add(const RowArray& row, int32_t begin, int32_t end) {
  GpuTileArray array = Describe(row, end - begin);
  if (row.format.packed()) {
    array.at = static_cast<int32_t>(blocks_.size());
    array.numbers = static_cast<int32_t>(numbers_.size());
    AddBlocks(row, begin, end);
  } else {
    array.at = static_cast<int32_t>(units_.size());
    AddUnits(row, begin, end);
  }
  return array;
}

GpuTileArray GpuPieceBuilder::From(const RowArray& row, GpuTileArray array, int32_t begin) {
  array.length -= begin;
  array.at += begin / LineElements(row.format);
  if (row.format.packed()) {
    array.numbers += begin / row.format.group * row.format.scales_per_group;
  }
  return array;
}

void GpuPieceBuilder::AddScalars(int64_t scalars, int32_t kv_head) {
  scalars_.push_back({static_cast<int32_t>(scalars + int64_t{kv_head} * kPageTokens * 4),
                      static_cast<int32_t>(sizeof(float)), 0, 0});
}

GpuTilePiece GpuPieceBuilder::Counted() const {
  GpuTilePiece counted = piece;
  counted.blocks = static_cast<int32_t>(blocks_.size());
  counted.scalars = static_cast<int32_t>(scalars_.size());
  counted.numbers = static_cast<int32_t>(numbers_.size());
  counted.units = static_cast<int32_t>(units_.size());
  counted.pitch = RoundUp(counted.units, 8);  // UnitAt moves units among eight
  return counted;
}

GpuTilePiece GpuPieceBuilder::Finish(std::vector<GpuTileLine>* lines) const {
  GpuTilePiece finished = Counted();
  finished.lines = static_cast<int32_t>(lines->size());
  for (const auto* part : {&blocks_, &scalars_, &numbers_, &units_}) {
    lines->insert(lines->end(), part->begin(), part->end());
  }
  return finished;
}

void GpuPieceBuilder::AddBlocks(const RowArray& row, int32_t begin, int32_t end) {
  const RowFormat& format = row.format;
  const int32_t elements = format.block_elements();
  const bool in_twos = format.type == CacheType::kInt8;
  for (int32_t b = begin / elements; b * elements < end; ++b) {
    const int32_t at = static_cast<int32_t>(blocks_.size());
    blocks_.push_back({static_cast<int32_t>(row.values + b * kBlockStride), kBlockBytes,
                       BlockSwizzle(at, in_twos), elements});
  }
  for (int32_t g = begin / format.group; g * format.group < end; ++g) {
    for (int32_t i = 0; i < format.scales_per_group; ++i) {
      const int64_t number = int64_t{g} * format.scales_per_group + i;
      numbers_.push_back({static_cast<int32_t>(row.scales + number * kPageTokens * 2), 2, 0, 0});
    }
  }
}

void GpuPieceBuilder::AddUnits(const RowArray& row, int32_t begin, int32_t end) {
  const bool floats = row.format.type == CacheType::kF32;
  const bool aligned = !floats && row.values % 16 == 0 && row.format.stride % 16 == 0;
  const int64_t bytes = floats ? 4 : 2;
  for (int32_t e = begin; e < end; e += kUnitElements) {
    units_.push_back({static_cast<int32_t>(row.values + e * bytes),
                      static_cast<int32_t>(row.format.stride),
                      aligned  ? kAlignedHalves
                      : floats ? kFloats
                               : kHalves,
                      std::min(kUnitElements, end - e)});
  }
}

}  // namespace mla
