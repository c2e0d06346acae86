// How a tile's rows come from the cache's pages into shared memory: packed as they are, floats as
// halves; without a scratch copy, and without a byte of a token that nobody asks for.
#ifndef MLA_KERNELS_ATTENTION_GPU_TILE_H_
#define MLA_KERNELS_ATTENTION_GPU_TILE_H_

#include <cstdint>

#include "cache/row_format.h"
#include "cuda/simt.h"
#include "kernels/attention/gpu_tables.h"

namespace mla::MLA_GPU {

// Which tokens a tile has, [begin, end) of a form's rows being asked for.
struct Tile {
  int32_t form;
  int32_t first;           // position of its token 0, a multiple of its tokens
  int32_t begin, end;      // tokens of it that are asked for
  const uint8_t* page;     // of the form
  const uint8_t* scalars;  // the page of the key scalars
};
static_assert(sizeof(Tile) == kTileBytes);

MLA_DEVICE void StoreShared(uint8_t* to, const Quad& quad) { *reinterpret_cast<Quad*>(to) = quad; }
MLA_DEVICE Quad LoadShared(const uint8_t* from) { return *reinterpret_cast<const Quad*>(from); }

constexpr float kLargestHalf = 65504.0f;

// Eight elements of a row that are not halves at a 16-byte boundary.
MLA_DEVICE Quad GatherUnit(const uint8_t* from, int kind, int elements) {
  uint16_t halves[kUnitElements];
  MLA_UNROLL
  for (int i = 0; i < kUnitElements; ++i) {
    if (i >= elements) {
      halves[i] = 0;
    } else if (kind == kHalves) {
      halves[i] = reinterpret_cast<const uint16_t*>(from)[i];
    } else {
      const float value = kind == kBfloats
                              ? Bfloat16ToFloat(reinterpret_cast<const uint16_t*>(from)[i])
                              : reinterpret_cast<const float*>(from)[i];
      // Not by Max and Min, which would lose a NaN.
      const float above = value > kLargestHalf ? kLargestHalf : value;
      halves[i] = FloatToHalf(above < -kLargestHalf ? -kLargestHalf : above);
    }
  }
  Quad quad;
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) {
    quad.word[i] = halves[2 * i] | static_cast<uint32_t>(halves[2 * i + 1]) << 16;
  }
  return quad;
}

// The numbers of eight tokens, those outside [begin, end) zero: with them a packed row is zero,
// whatever its fields are.
MLA_DEVICE Quad MaskNumbers(Quad quad, int begin, int end) {
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint32_t low = 2 * i >= begin && 2 * i < end ? 0xffffu : 0u;
    const uint32_t high = 2 * i + 1 >= begin && 2 * i + 1 < end ? 0xffff0000u : 0u;
    quad.word[i] &= low | high;
  }
  return quad;
}

// A run's [groups][rows] of which a warp of `warps` has every so many, lanes sharing them: calls
// with each row and where it comes from and goes to.
template <typename Call>
MLA_DEVICE void ForRows(const GpuTileRun& run, const uint8_t* from, uint8_t* to, int warp,
                        int warps, const Call& call) {
  const int at_once = kWarp >> run.lane_shift, lane_row = Lane() >> run.lane_shift;
  const int blocks = (run.rows + at_once - 1) >> (5 - run.lane_shift);
  MLA_UNROLL_BY(1)
  for (int group = 0, block = warp;; block += warps) {
    while (block >= blocks) {
      block -= blocks;
      ++group;
    }
    if (group >= run.groups) break;
    const int row = block * at_once + lane_row;
    if (row < run.rows) {
      call(row, from + group * run.source_group + row * run.source_row,
           to + group * run.to_group + row * run.to_row);
    }
  }
}

// Lines of tokens, four or eight a chunk.
template <int kTokenBytes>
MLA_DEVICE void LoadLines(const GpuTileRun& run, const Tile& tile, const uint8_t* from, uint8_t* to,
                          int warp, int warps) {
  constexpr int kTokens = 16 / kTokenBytes;
  const int lanes = 1 << run.lane_shift, first = Lane() & (lanes - 1);
  from += run.source + tile.first % kPageTokens * kTokenBytes;
  ForRows(run, from, to + run.to, warp, warps, [&](int, const uint8_t* line, uint8_t* slot) {
    MLA_UNROLL_BY(1)
    for (int chunk = first; chunk < run.chunks; chunk += lanes) {
      const int begin = tile.begin - chunk * kTokens, end = tile.end - chunk * kTokens;
      if (kTokenBytes == 4) {
        // Fields of tokens that nobody asks for mean nothing.
        if (begin < kTokens && end > 0) CopyAsync(slot + chunk * 16, line + chunk * 16);
      } else if (begin <= 0 && end >= kTokens) {
        CopyAsync(slot + chunk * 16, line + chunk * 16);
      } else {
        Quad numbers = {};
        if (begin < kTokens && end > 0) {
          numbers = MaskNumbers(LoadQuad(line + chunk * 16), begin, end);
        }
        StoreShared(slot + chunk * 16, numbers);
      }
    }
  });
}

// Rows of floats.
MLA_DEVICE void LoadUnits(const GpuTileRun& run, const Tile& tile, uint8_t* to, int warp,
                          int warps) {
  const int lanes = 1 << run.lane_shift, first = Lane() & (lanes - 1);
  const uint8_t* from = tile.page + run.source + tile.first % kPageTokens * run.source_row;
  ForRows(run, from, to + run.to, warp, warps, [&](int token, const uint8_t* row, uint8_t* slot) {
    const bool there = token >= tile.begin && token < tile.end;
    MLA_UNROLL_BY(1)
    for (int chunk = first; chunk < run.chunks; chunk += lanes) {
      uint8_t* unit = slot + chunk * 16;
      if (!there) {
        StoreShared(unit, {});
      } else if (run.kind == kUnits) {
        CopyAsync(unit, row + chunk * 16);
      } else {
        const int bytes = run.kind == kFloats ? 4 : 2;
        StoreShared(unit, GatherUnit(row + chunk * kUnitElements * bytes, run.kind,
                                     run.elements - chunk * kUnitElements));
      }
    }
  });
}

// A whole tile's, a warp's share: copies are a warp's, one after the other.
MLA_DEVICE void LoadBulk(const GpuTileRun& run, const Tile& tile, uint8_t* to, CopyBarrier* barrier,
                         int warp, int warps) {
  const int token_bytes = run.kind == kUnits ? run.source_row : run.kind == kNumbers ? 2 : 4;
  const uint8_t* from = (run.kind == kScalars ? tile.scalars : tile.page) + run.source +
                        tile.first % kPageTokens * token_bytes;
  to += run.to;
  MLA_UNROLL_BY(1)
  for (int group = 0, row = warp; group < run.groups; ++group) {
    MLA_UNROLL_BY(1)
    for (; row < run.bulk_rows; row += warps) {
      CopyBulk(to + group * run.to_group + row * run.to_row,
               from + group * run.source_group + row * run.source_row, run.bulk_bytes, barrier);
    }
    row -= run.bulk_rows;
  }
}

// Warp `warp` of a block's `warps` asks for a piece of a tile. In bulk where
// there is a barrier and the tile is whole, else as a group of copies that the caller commits; what
// comes otherwise is there at the next barrier of threads.
MLA_DEVICE void LoadPiece(const GpuTilePiece& piece, const GpuTileRun* runs, int tokens,
                          const Tile& tile, uint8_t* slot, CopyBarrier* barrier, int warp,
                          int warps) {
  const bool bulk =
      barrier != nullptr && piece.bulk_bytes > 0 && tile.begin == 0 && tile.end == tokens;
  if (barrier != nullptr && warp == 0 && Lane() == 0) {
    ExpectCopies(barrier, bulk ? piece.bulk_bytes : 0);
  }
  if (bulk && Lane() == 0) ShowCopies();
  MLA_UNROLL_BY(1)
  for (int i = 0; i < piece.runs; ++i) {
    const GpuTileRun run = runs[i];
    if (bulk && run.bulk_rows > 0) {
      if (Lane() == 0) LoadBulk(run, tile, slot, barrier, warp, warps);
    } else if (run.kind >= kUnits) {
      LoadUnits(run, tile, slot, warp, warps);
    } else if (run.kind == kNumbers) {
      LoadLines<2>(run, tile, tile.page, slot, warp, warps);
    } else {
      LoadLines<4>(run, tile, run.kind == kScalars ? tile.scalars : tile.page, slot, warp, warps);
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_TILE_H_
