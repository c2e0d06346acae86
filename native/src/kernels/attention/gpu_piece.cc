#include "kernels/attention/gpu_piece.h"

#include <algorithm>

#include "kernels/attention/rounding.h"

namespace mla {
namespace {

constexpr int32_t kUnitBytes = 16;

// Elements of a row that are one line or unit.
int32_t LineElements(const RowFormat& format) {
  return format.packed() ? format.block_elements() : kUnitElements;
}

// Shorter copies cost more in bulk, one after the other, than 16 bytes a lane: of int4 with 16
// heads, lines of 256 bytes, 191 µs for 176 on an H200; of f16, rows of 1,024, 235 for 260.
constexpr int32_t kLeastBulkBytes = 512;

// How a whole tile's rows, `bytes` each, come in bulk.
void PlanBulk(int32_t bytes, GpuTileRun* run) {
  const bool together = run->source_row == bytes && run->to_row == bytes;
  run->bulk_rows = together ? 1 : run->rows;
  run->bulk_bytes = together ? run->rows * bytes : bytes;
  if (run->bulk_bytes < kLeastBulkBytes) run->bulk_rows = run->bulk_bytes = 0;
}

// Lanes that share a row of so many chunks.
int32_t LaneShift(int32_t chunks) {
  int32_t shift = 0;
  while (shift < 5 && 1 << shift < chunks) ++shift;
  return shift;
}

// Whether `next` goes on where `run` ends, or repeats it a step further: then it is in `run`.
bool Merged(const GpuTileRun& next, GpuTileRun* run) {
  if (next.kind != run->kind || next.chunks != run->chunks || next.elements != run->elements ||
      next.source_row != run->source_row || next.to_row != run->to_row) {
    return false;
  }
  const bool lines = next.kind == kBlocks || next.kind == kScalars || next.kind == kNumbers;
  if (lines && run->groups == 1 && next.source == run->source + run->rows * run->source_row &&
      next.to == run->to + run->rows * run->to_row) {
    run->rows += next.rows;
    return true;
  }
  if (next.rows != run->rows) return false;
  const int32_t source_step = next.source - run->source, to_step = next.to - run->to;
  if (run->groups == 1) {
    run->source_group = source_step;
    run->to_group = to_step;
  } else if (source_step != run->groups * run->source_group ||
             to_step != run->groups * run->to_group) {
    return false;
  }
  ++run->groups;
  return true;
}

}  // namespace

void GpuPieceBuilder::AddRun(GpuTileRun run) {
  run.groups = 1;
  run.lane_shift = LaneShift(run.chunks);
  const auto last = std::find_if(runs_.rbegin(), runs_.rend(),
                                 [&](const GpuTileRun& other) { return other.kind == run.kind; });
  if (last == runs_.rend() || !Merged(run, &*last)) runs_.push_back(run);
}

GpuTileArray GpuPieceBuilder::Add(const RowArray& row, int32_t begin, int32_t end) {
  const RowFormat& format = row.format;
  const int32_t lines = CeilDiv(end - begin, LineElements(format));
  GpuTileArray array = {};
  array.type = static_cast<int32_t>(format.type);
  array.length = end - begin;
  GpuTileRun run = {};
  array.at = row_bytes_;
  if (!format.packed()) {
    // Odd: neighbouring tokens' units meet in no bank.
    array.pitch = (lines | 1) * kUnitBytes;
    array.step = tokens_ * array.pitch;
    const bool aligned = row.values % kUnitBytes == 0 && format.stride % kUnitBytes == 0;
    const bool as_it_is = (format.type == CacheType::kBf16) == (rows_ == GpuRows::kBfloats);
    run.kind = format.type == CacheType::kF32 ? kFloats
               : !as_it_is                    ? kBfloats
               : aligned                      ? kUnits
                                              : kHalves;
    run.source = static_cast<int32_t>(row.values + begin * FloatBytes(format.type));
    run.source_row = static_cast<int32_t>(format.stride);
    run.to = row_bytes_;
    run.to_row = array.pitch;
    run.rows = tokens_;
    run.chunks = lines;
    run.elements = end - begin;
    AddRun(run);
    row_bytes_ += array.step;
    return array;
  }
  array.pitch = BlockLinePitch(format.type, tokens_);
  // Room for whole eights (GpuTileArray::Eight), two lines of int8, of which a row may end in one.
  array.step = RoundUp(lines, CeilDiv(kUnitElements, format.block_elements())) * array.pitch;
  array.numbers = numbers_;
  array.group_shift = format.group == 64 ? 6 : 5;
  array.number_step = format.groups() * format.scales_per_group;
  run.kind = kBlocks;
  run.source = static_cast<int32_t>(row.values + begin / format.block_elements() * kBlockStride);
  run.source_row = static_cast<int32_t>(kBlockStride);
  run.to = row_bytes_;
  run.to_row = array.pitch;
  run.rows = lines;
  run.chunks = tokens_ / 4;
  AddRun(run);
  row_bytes_ += array.step;
  const int32_t first_group = begin / format.group;
  run.kind = kNumbers;
  run.source_row = kPageTokens * 2;
  run.source =
      static_cast<int32_t>(row.scales + first_group * format.scales_per_group * run.source_row);
  run.to_row = tokens_ * 2;
  run.to = numbers_ * run.to_row;
  run.rows = (CeilDiv(end, format.group) - first_group) * format.scales_per_group;
  run.chunks = tokens_ / 8;
  AddRun(run);
  numbers_ += run.rows;
  return array;
}

GpuTileArray GpuPieceBuilder::From(const RowArray& row, GpuTileArray array, int32_t begin) {
  array.length -= begin;
  const int32_t lines = begin / LineElements(row.format);
  array.at += lines * (row.format.packed() ? array.pitch : kUnitBytes);
  if (row.format.packed()) {
    array.numbers += begin / row.format.group * row.format.scales_per_group;
  }
  return array;
}

void GpuPieceBuilder::AddScalars(int64_t scalars, int32_t kv_head) {
  GpuTileRun run = {};
  run.kind = kScalars;
  run.source_row = kPageTokens * 4;
  run.source = static_cast<int32_t>(scalars) + kv_head * run.source_row;
  run.to_row = tokens_ * 4;
  run.to = piece.scalars++ * run.to_row;
  run.rows = 1;
  run.chunks = tokens_ / 4;
  AddRun(run);
}

GpuTilePiece GpuPieceBuilder::Counted() const {
  GpuTilePiece counted = piece;
  counted.scalars_at = row_bytes_;
  counted.numbers_at = counted.scalars_at + piece.scalars * tokens_ * 4;
  counted.bytes = RoundUp(counted.numbers_at + numbers_ * tokens_ * 2, 128);
  return counted;
}

GpuTilePiece GpuPieceBuilder::Finish(std::vector<GpuTileRun>* runs) const {
  GpuTilePiece finished = Counted();
  finished.run = static_cast<int32_t>(runs->size());
  finished.runs = static_cast<int32_t>(runs_.size());
  for (GpuTileRun run : runs_) {
    if (run.kind == kScalars) run.to += finished.scalars_at;
    if (run.kind == kNumbers) run.to += finished.numbers_at;
    if (run.kind <= kUnits) PlanBulk(run.chunks * kUnitBytes, &run);
    finished.bulk_bytes += run.groups * run.bulk_rows * run.bulk_bytes;
    runs->push_back(run);
  }
  return finished;
}

}  // namespace mla
