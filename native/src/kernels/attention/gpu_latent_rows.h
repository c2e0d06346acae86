// How a tile, a page's tokens of the latent and the rotary rows, comes into shared memory: packed
// or 16-bit floats, as it is, by all threads of a block.
#ifndef MLA_KERNELS_ATTENTION_GPU_LATENT_ROWS_H_
#define MLA_KERNELS_ATTENTION_GPU_LATENT_ROWS_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_latent.h"
#include "kernels/attention/gpu_seen.h"
#include "kernels/attention/gpu_tile.h"

namespace mla::MLA_GPU {

// Which tokens a tile has, those between `begin` and `end` of it being asked for.
struct LatentTile {
  MLA_DEVICE LatentTile(int of_form, int number, const GpuTokens& asked)
      : form(of_form),
        first(number * kPageTokens),
        begin(asked.begin > first ? asked.begin - first : 0),
        end(asked.end - first < kPageTokens ? asked.end - first : kPageTokens) {}

  int form;
  int first;  // position of its token 0
  int begin, end;

  MLA_DEVICE bool whole() const { return begin == 0 && end == kPageTokens; }
};

// `count` chunks of 16 bytes by a block's threads, kLine of them a line; bytes from a line to the
// next are `pitch` in the slot, and nothing is between them in the page.
template <int kThreads, int kLine>
MLA_DEVICE void BringChunks(const uint8_t* from, int to, int count, int pitch) {
  constexpr int kUnrolled = 4;
  const int thread = ThreadIndex(), step = kThreads / kLine * pitch;
  from += thread * 16;
  to += thread / kLine * pitch + thread % kLine * 16;
  int left = count - thread;
  MLA_UNROLL_BY(1)
  for (; left > (kUnrolled - 1) * kThreads; left -= kUnrolled * kThreads) {
    MLA_UNROLL
    for (int i = 0; i < kUnrolled; ++i) CopyAsync(to + i * step, from + i * kThreads * 16);
    from += kUnrolled * kThreads * 16;
    to += kUnrolled * step;
  }
  MLA_UNROLL_BY(1)
  for (; left > 0; left -= kThreads) {
    CopyAsync(to, from);
    from += kThreads * 16;
    to += step;
  }
}

// `pitch`: the array's.
template <int kThreads>
MLA_DEVICE void BringPacked(const GpuLatentArray& array, const LatentTile& tile,
                            const uint8_t* page, int slot, int pitch) {
  constexpr int kLine = kPageTokens * kBlockBytes / 16, kNumberLine = kPageTokens * 2 / 16;
  BringChunks<kThreads, kLine>(page + array.source, slot + array.to, array.chunks, pitch);
  const uint8_t* from = page + array.number_source;
  const int to = slot + array.number_to, chunks = array.number_lines * kNumberLine;
  if (tile.whole()) {
    BringChunks<kThreads, kNumberLine>(from, to, chunks, kNumberLine * 16);
    return;
  }
  MLA_UNROLL_BY(1)
  for (int c = ThreadIndex(); c < chunks; c += kThreads) {
    const int token = c % kNumberLine * 8;
    StoreShared(to + c * 16,
                MaskNumbers(LoadQuad(from + c * 16), tile.begin - token, tile.end - token));
  }
}

// Zeros of tokens that nobody asks for.
template <int kThreads>
MLA_DEVICE void BringFloats(const GpuLatentArray& array, const LatentTile& tile,
                            const uint8_t* page, int slot) {
  const int lanes = 1 << array.lane_shift, at_once = kWarp >> array.lane_shift;
  const int step = kThreads / kWarp * at_once;
  const int begin = WarpIndex() * at_once + (Lane() >> array.lane_shift);
  const int from_step = step * array.source_row, to_step = step * array.pitch;
  int source = array.source + begin * array.source_row;
  if (tile.form == kFirstForm) source += tile.first * array.source_row;
  const bool whole = tile.whole();
  MLA_UNROLL_BY(1)
  for (int c = Lane() & (lanes - 1); c < array.chunks; c += lanes) {
    const uint8_t* from = page + source + c * 16;
    int to = slot + array.to + begin * array.pitch + c * 16;
    if (whole && at_once == 1) {  // long rows, a warp each
      MLA_UNROLL
      for (int i = 0; i < kPageTokens / (kThreads / kWarp); ++i) {
        CopyAsync(to, from);
        from += from_step;
        to += to_step;
      }
      continue;
    }
    MLA_UNROLL_BY(1)
    for (int row = begin; row < kPageTokens; row += step) {
      if (row >= tile.begin && row < tile.end) {
        CopyAsync(to, from);
      } else {
        StoreShared(to, Quad{});
      }
      from += from_step;
      to += to_step;
    }
  }
}

template <int kThreads>
MLA_DEVICE void BringArray(const GpuLatentArray& array, const LatentTile& tile, const uint8_t* page,
                           int slot) {
  if (array.strips == 0) return;
  if (IsFloat(static_cast<CacheType>(array.type))) {
    BringFloats<kThreads>(array, tile, page, slot);
  } else {
    BringPacked<kThreads>(array, tile, page, slot, array.pitch);
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_LATENT_ROWS_H_
