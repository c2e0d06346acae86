#include "kernels/attention/gpu_latent_plan.h"

#include <algorithm>
#include <cstring>

#include "cache/page_places.h"
#include "kernels/attention/gpu_task_heads.h"
#include "kernels/attention/rounding.h"

namespace mla {
namespace {

constexpr int32_t kUnitBytes = 16;
constexpr int32_t kLong = 256;  // latents of more elements

bool OneLatent(const LayerLayout& layout) {
  if (layout.key_scalar || layout.rope_groups > 1 || layout.segments.empty()) return false;
  const int32_t first = layout.key_segment[0];
  const auto all = [&](const std::vector<int32_t>& segments) {
    return std::all_of(segments.begin(), segments.end(),
                       [&](int32_t segment) { return segment == first; });
  };
  return first >= 0 && all(layout.key_segment) && all(layout.value_segment);
}

bool IsKnown(const RowArray& row, CacheType latent) {
  const CacheType type = row.format.type;
  if (type == CacheType::kF32) return false;
  if (IsFloat(type)) {
    const bool bfloats = latent == CacheType::kBf16;
    return (type == CacheType::kBf16) == bfloats && row.format.length % kUnitElements == 0;
  }
  return type == latent || (type == CacheType::kInt8 && !IsFloat(latent));
}

GpuLatentShape ShapeOf(int32_t columns, int32_t length, CacheType type) {
  const int32_t heads = columns > 16 ? 2 : 1;
  if (length <= 4 * 4 * 8) return {4, heads, 4};
  // Tiles so small that a processor has room for several blocks'.
  if (heads == 1 && HasMinima(type) && length > kLong && length <= kFewLongShape.value_length()) {
    return kFewLongShape;
  }
  if (length <= 8 * 8 * 8) return {8, heads, 8};
  return {8, 2, 16};
}

// Places rows in a slot one behind the other, and packed rows' numbers behind them.
class Slot {
 public:
  GpuLatentArray Add(const RowArray& row) {
    const RowFormat& format = row.format;
    GpuLatentArray array = {};
    array.type = static_cast<int32_t>(format.type);
    array.strips = CeilDiv(format.length, kScoreStrip);
    array.last = (format.length - 1) / kUnitElements * kUnitElements;
    array.source = static_cast<int32_t>(row.values);
    array.to = bytes_;
    if (!format.packed()) {
      array.chunks = format.length / kUnitElements;
      array.source_row = static_cast<int32_t>(format.stride);
      array.pitch = (array.chunks | 1) * kUnitBytes;  // odd: rows' units meet in no bank
      while (array.lane_shift < 5 && 1 << array.lane_shift < array.chunks) ++array.lane_shift;
      bytes_ += kPageTokens * array.pitch;
      return array;
    }
    // Whole strips: what lies behind the last line is multiplied with zeros of queries.
    const int32_t lines = array.strips * (kScoreStrip / format.block_elements());
    array.chunks = format.blocks() * static_cast<int32_t>(kBlockStride / kUnitBytes);
    array.pitch = BlockLinePitch(format.type, kPageTokens);
    array.group_shift = format.group == 64 ? 6 : 5;
    array.number_lines = format.groups() * format.scales_per_group;
    array.number_source = static_cast<int32_t>(row.scales);
    bytes_ += lines * array.pitch;
    return array;
  }
  void AddNumbers(GpuLatentArray* array) {
    array->number_to = bytes_;
    bytes_ += array->number_lines * kPageTokens * 2;
  }
  int32_t bytes() const { return RoundUp(bytes_, 128); }

 private:
  int32_t bytes_ = 0;
};

class Planner {
 public:
  Planner(const LayerLayout& layout, const CacheOptions& options, int32_t queries,
          const GpuStream& stream)
      : layout_(layout), options_(WindowOptions(options)), queries_(queries), stream_(stream) {}

  std::optional<GpuLatentPlan> Plan() {
    if (!OneLatent(layout_)) return std::nullopt;
    length_ = layout_.key_length(0);
    plan_.shape = ShapeOf(layout_.heads * queries_, length_, options_.latent);
    if (length_ > plan_.shape.value_length()) return std::nullopt;
    if (!Place(kRowsForm, PlaceRows(options_, layout_), &plan_.latent.slot_bytes)) {
      return std::nullopt;
    }
    int32_t* floats = &plan_.latent.float_slot_bytes;
    if (options_.residual > 0 &&
        !Place(kExactForm, PlaceExactRows(options_, layout_, kPageTokens), floats)) {
      return std::nullopt;
    }
    if (options_.sink > 0 &&
        !Place(kFirstForm, PlaceExactRows(options_, layout_, options_.sink), floats)) {
      return std::nullopt;
    }
    if (PlanGroups()) return plan_;
    WriteSizes(plan_.shape.columns());
    if (!Fit()) return std::nullopt;
    plan_.latent.fills = plan_.shape == kFewLongShape;
    SetSplits();
    return plan_;
  }

 private:
  const GpuLatentForm& rows() const { return plan_.latent.forms[kRowsForm]; }

  bool Place(GpuRowForm form, const PagePlaces& places, int32_t* bytes) {
    GpuLatentForm& to = plan_.latent.forms[form];
    Slot slot;
    const RowArray& latent = places.latent[static_cast<size_t>(layout_.key_segment[0])];
    if (!IsKnown(latent, options_.latent)) return false;
    if (!places.rope.empty()) {
      if (!IsKnown(places.rope[0], options_.latent)) return false;
      to.rope = slot.Add(places.rope[0]);
    }
    to.latent = slot.Add(latent);
    slot.AddNumbers(&to.rope);
    slot.AddNumbers(&to.latent);
    *bytes = std::max(*bytes, slot.bytes());
    return true;
  }

  // Whether groups of warps have the layer: a product of theirs is for 64 columns, and a block for
  // all of a processor, which pays where sums are many. Few columns of int4 and int2 go to warps
  // that unpack as they multiply: on an H200 these took as long when their loop had half as many
  // instructions again (int4 of 16 heads, one sequence of 131,072: 74.5 µs, groups 76.2; 32 of
  // them: 1,157 and 1,061).
  bool PlanGroups() {
    constexpr int32_t kMany = 32;
    if (!stream_.has_group_mma() || plan_.shape == kFewLongShape ||
        (length_ <= kLong && layout_.heads * queries_ <= kMany)) {
      return false;
    }
    const GpuLatentForm& of = rows();
    GpuGroupSizes sizes = {};
    const bool few = layout_.heads * queries_ <= kFewGroupColumns && length_ > kLong;
    sizes.columns = few ? kFewGroupColumns : kGroupColumns;
    sizes.values = CeilDiv(length_, kGroupElements);
    sizes.strips = sizes.values + CeilDiv(layout_.rope_dim, kGroupElements);
    const auto fills = [](const GpuLatentArray& array) {
      const bool packed = !IsFloat(static_cast<CacheType>(array.type));
      return array.strips == 0 || (packed ? array.strips % 2 : array.chunks % 8) == 0;
    };
    for (const GpuLatentForm& form : plan_.latent.forms) {
      if (!fills(form.rope) || !fills(form.latent)) sizes.clear = 1;
    }
    // A thread that unpacks has registers for one strip of 32 rotary elements, of every second.
    const bool packed = !IsFloat(static_cast<CacheType>(of.latent.type));
    const bool rope_fits =
        !packed || static_cast<CacheType>(of.rope.type) == CacheType::kF16 || of.rope.strips <= 2;
    if (sizes.values > kGroupValueStrips || !rope_fits ||
        GroupSharedBytes(sizes) > stream_.shared_bytes()) {
      return false;
    }
    if (packed && few && stream_.has_bulk_copies()) {
      GpuGroupSizes staged = sizes;
      staged.stages = kGroupStages;
      staged.stage_bytes = static_cast<int32_t>(PlaceRows(options_, layout_).page_bytes);
      if (GroupSharedBytes(staged) <= stream_.shared_bytes()) sizes = staged;
    }
    plan_.latent.group = sizes;
    plan_.latent.fills = 1;
    plan_.shared_bytes = GroupSharedBytes(sizes);
    plan_.blocks = 1;
    WriteSizes(sizes.columns);
    // On an H200, f16 of 16 heads: a sequence of 131,072 74.4 µs, 80.2 where each block makes
    // halves of its queries.
    plan_.sizes.prepared = 1;
    return true;
  }

  void WriteSizes(int32_t columns) {
    const std::vector<GpuTaskHeads> tasks = SplitHeads(layout_, queries_, columns, length_);
    GpuAttentionSizes& sizes = plan_.sizes;
    sizes.tasks = static_cast<int32_t>(tasks.size());
    sizes.queries = queries_;
    sizes.heads = layout_.heads;
    sizes.residual = options_.residual;
    sizes.sink = options_.sink;
    sizes.value_length = length_;
    sizes.rope_length = layout_.rope_dim;
    sizes.bfloats = options_.latent == CacheType::kBf16;
    plan_.latent.query_strips = rows().rope.strips + rows().latent.strips;
    plan_.latent.sum_blocks =
        HasMinima(options_.latent) ? CeilDiv(RopeSums(rows()) + rows().latent.strips, 16) : 0;
    sizes.query_pitch = plan_.latent.query_strips * 4;
    // More elements a thread than these take longer than to wait until they are prepared.
    constexpr int32_t kMostDirect = 24;
    sizes.prepared =
        columns * sizes.query_pitch * kUnitElements > kMostDirect * plan_.shape.warps * 32;
    std::vector<std::vector<int32_t>> written;
    for (const GpuTaskHeads& task : tasks) written.push_back(Write(task, columns));
    plan_.tables = JoinTables(layout_, written);
  }

  // A task's columns.
  std::vector<int32_t> Write(const GpuTaskHeads& task, int32_t count) const {
    std::vector<GpuColumn> columns;
    for (int32_t c = 0; c < count; ++c) columns.push_back(ColumnOf(layout_, queries_, task, c));
    std::vector<int32_t> all(columns.size() * sizeof columns[0] / 4);
    std::memcpy(all.data(), columns.data(), all.size() * 4);
    return all;
  }

  // As many slots as leave several blocks room, one of which works while another one waits.
  bool Fit() {
    GpuLatentSizes& latent = plan_.latent;
    const int32_t fixed = LatentFixedBytes(plan_.shape, latent);
    constexpr int32_t kReserved = 1 << 10;  // of a block, by the driver
    for (int32_t blocks = plan_.shape.blocks(); blocks >= 1; --blocks) {
      const int32_t room =
          blocks == 1 ? stream_.shared_bytes() : stream_.shared_bytes() / blocks - kReserved;
      for (latent.slots = kMostSlots; latent.slots >= 2; --latent.slots) {
        const int32_t all = std::max(latent.slots * latent.slot_bytes, latent.float_slot_bytes);
        if (fixed + all > room) continue;
        plan_.blocks = blocks;
        plan_.shared_bytes = fixed + all;
        latent.float_slots =
            latent.float_slot_bytes == 0 ? 0 : std::min(kMostSlots, all / latent.float_slot_bytes);
        return true;
      }
    }
    return false;
  }

  // A split costs halves of sums that are written and read again, a processor that has none all
  // that it could do, and a split must not depend on how many sequences there are. On an H200, f16
  // of 16 heads, one sequence of 8,192 took 20.5 µs with 64 splits and 25.2 with 32, 32 of them
  // 158.8 and 140.5.
  void SetSplits() {
    GpuAttentionSizes& sizes = plan_.sizes;
    sizes.least_split = kPageTokens;
    sizes.usual_splits = 64;
    sizes.long_split = 8 * kPageTokens;
    sizes.most_splits = std::max(1, stream_.processors() * plan_.blocks / sizes.tasks);
  }

  const LayerLayout& layout_;
  const CacheOptions options_;
  const int32_t queries_;
  const GpuStream& stream_;
  int32_t length_ = 0;
  GpuLatentPlan plan_ = {};
};

}  // namespace

std::optional<GpuLatentPlan> PlanLatent(const LayerLayout& layout, const CacheOptions& options,
                                        int32_t queries, const GpuStream& stream) {
  return Planner(layout, options, queries, stream).Plan();
}

}  // namespace mla
