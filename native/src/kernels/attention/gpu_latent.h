// What the latent kernel is told of a layer (gpu_latent_kernel.h; gpu_group_kernel.h): where the
// one segment that is key and value of all heads lies, and the rotary rows that all share. Written
// by gpu_latent_plan.cc; plain.
#ifndef MLA_KERNELS_ATTENTION_GPU_LATENT_H_
#define MLA_KERNELS_ATTENTION_GPU_LATENT_H_

#include <cstdint>

#include "cache/row_format.h"
#include "kernels/attention/gpu_group.h"
#include "kernels/attention/gpu_tables.h"

namespace mla {

// A row in a page and in a slot of shared memory, whose tiles are a page's tokens.
struct GpuLatentArray {
  int32_t type;    // CacheType: f16, bf16 or packed
  int32_t strips;  // of 32 elements; 0: there is no such row
  int32_t last;    // the element at which its last unit begins
  int32_t source;  // bytes in the page
  int32_t to;      // in the slot
  // Packed: all lines' chunks of 16 bytes, and from a line to the next in the slot. Floats: a row's
  // chunks, and from a row to the next in the slot; in the page.
  int32_t chunks, pitch, source_row;
  int32_t lane_shift;  // floats: 2^ of it lanes share a row
  // Packed: 2^ of it elements share numbers; their lines, in the page and in the slot.
  int32_t group_shift, number_lines, number_source, number_to;
};

// From a line of a packed row's blocks to the next in a slot.
template <CacheType kType>
constexpr int32_t kLatentPitch = BlockLinePitch(kType, kPageTokens);

struct GpuLatentForm {
  GpuLatentArray rope, latent;  // where both have minima, their numbers side by side in the slot
};

// How many sums of queries' strips are those of rotary rows, which where these have minima come
// before the latent's: whole groups.
constexpr int32_t RopeSums(const GpuLatentForm& form) {
  if (!HasMinima(static_cast<CacheType>(form.rope.type))) return 0;
  const int32_t strips = 1 << (form.latent.group_shift - 5);  // of a group
  return (form.rope.strips + strips - 1) / strips * strips;
}

struct GpuLatentSizes {
  GpuLatentForm forms[kRowForms];
  int32_t slot_bytes, slots;              // of tiles of the cache's rows
  int32_t float_slot_bytes, float_slots;  // in the same memory, of tiles of the window's
  int32_t query_strips;                   // of rotary rows and the latent
  int32_t sum_blocks;                     // sixteens of strips of rows that have minima
  // Whether splits fill the processors; else they depend on nothing but a sequence's length.
  int32_t fills;
  GpuGroupSizes group;  // where the group kernel has the layer, else zeros
};

// A window's tiles that a split has at most: they are few, and one is seldom worth a block.
inline constexpr int32_t kFloatTiles = 4;

// Splits of so many tiles where they fill the processors, of which there is room for `most`: none
// is shorter than two tiles, where there are so many.
constexpr int32_t SplitsToFill(int32_t tiles, int32_t most) {
  const int32_t wanted = (tiles + 1) / 2;
  return wanted < most ? wanted : most;
}

struct GpuLatentShape {
  int32_t warps;
  int32_t heads;        // sixteens of columns
  int32_t value_tiles;  // eights of a value's elements that a warp sums

  bool operator==(const GpuLatentShape&) const = default;
  constexpr int32_t columns() const { return heads * 16; }
  constexpr int32_t value_length() const { return warps * value_tiles * 8; }
  // How many a processor's registers are for.
  constexpr int32_t blocks() const {
    const int32_t sums = heads * value_tiles * 4;  // of a thread
    if (warps == 4) return sums > 16 ? 3 : 4;
    return sums > 64 ? 1 : 2;
  }
};
// Of few heads and int4's or int2's long latents, whose splits fill the processors.
inline constexpr GpuLatentShape kFewLongShape = {4, 1, 16};
// What the kernel is compiled for, each for rows of every type.
inline constexpr GpuLatentShape kGpuLatentShapes[] = {{4, 1, 4}, {8, 1, 8}, kFewLongShape,
                                                      {4, 2, 4}, {8, 2, 8}, {8, 2, 16}};
// Shared memory besides slots: columns, weights as the left operand's fragments of four products of
// 16 tokens, references and totals of every warp, flags, factors; queries and sums of their strips
// as fragments (gpu_latent_query.h).
constexpr int32_t LatentFixedBytes(const GpuLatentShape& shape, const GpuLatentSizes& sizes) {
  const int32_t columns = shape.columns();
  return columns * 16 + 4 * shape.heads * 512 + 2 * shape.warps * columns * 4 + 64 + columns * 4 +
         shape.heads * (sizes.query_strips + sizes.sum_blocks) * 1024;
}

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_LATENT_H_
