// The context's rows from the cache's pages to scratch: keys and values that the cache has as
// halves, latents that are to be up-projected as floats.
#ifndef MLA_KERNELS_PROMPT_GPU_EXPAND_H_
#define MLA_KERNELS_PROMPT_GPU_EXPAND_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/prompt/gpu.h"

namespace mla::MLA_GPU {

struct ExpandArgs {
  GpuPromptSizes sizes;
  GpuPromptBatch batch;
  const GpuExpandPiece* pieces;
  uint8_t* const* const* pages;
  PageTablePlaces places;
  int32_t layer;
  int32_t tokens;  // rows of scratch
  uint16_t* keys;
  uint16_t* values;
  float* scalars;
  float* latents;
};
void LaunchExpand(GpuStream& stream, const ExpandArgs& args, int32_t pieces);

// A tile of the batch's tokens.
struct PromptTile {
  int form, position, tokens;
  int row;  // of scratch
};

// Number `index` of the batch's tiles, section by section; without an index that registers have
// not.
MLA_DEVICE PromptTile TileOf(const GpuPromptBatch& batch, int index) {
  PromptTile tile = {0, 0, 0, index * kPromptTileTokens};
  MLA_UNROLL
  for (int i = 0; i < kRowForms; ++i) {
    const GpuPromptSection& section = batch.sections[i];
    const int inside = tile.row - section.at, left = section.tokens - inside;
    if (i >= batch.count || inside < 0 || left <= 0) continue;
    tile.form = section.form;
    tile.position = section.position + inside;
    tile.tokens = left < kPromptTileTokens ? left : kPromptTileTokens;
  }
  return tile;
}

MLA_BOTH int TilesOf(const GpuPromptBatch& batch) {
  return (batch.rows() + kPromptTileTokens - 1) / kPromptTileTokens;
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_PROMPT_GPU_EXPAND_H_
