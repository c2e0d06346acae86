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

// Where unit u of token `row` is among the floats of a tile: lanes read four neighbouring units of
// rows 4 apart, or two of rows 16 apart.
MLA_DEVICE int UnitAt(int row, int unit, int pitch) {
  return row * pitch + (unit ^ ((row >> 2 & 1) << 2 | (row >> 3 & 1) << 1));
}

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
      const float value = reinterpret_cast<const float*>(from)[i];
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

// The calling unit of `warps` warps, `thread` of them: asks for a piece of a tile, as a group of
// copies that the caller commits; what comes otherwise is there at the next barrier.
MLA_DEVICE void LoadPiece(const GpuTilePiece& piece, const GpuTileLine* lines, int tokens,
                          const Tile& tile, uint8_t* slot, int thread, int warps) {
  const int threads = warps * kWarp;
  const int offset = tile.first % kPageTokens;
  // Blocks and key scalars, four tokens a chunk. Fields of other tokens mean nothing.
  const int chunks = tokens / 4, shift = tokens == 64 ? 4 : tokens == 32 ? 3 : 2;
  const int block_chunks = (piece.blocks + piece.scalars) * chunks;
  for (int i = thread; i < block_chunks; i += threads) {
    const int line = i >> shift, chunk = i & (chunks - 1);
    if (chunk * 4 + 4 <= tile.begin || chunk * 4 >= tile.end) continue;
    const Quad at = LoadQuad(lines + line);
    const uint8_t* page = line < piece.blocks ? tile.page : tile.scalars;
    const int swizzle = static_cast<int>(at.word[2]);
    CopyAsync(slot + (line * chunks + (chunk ^ swizzle)) * 16,
              page + static_cast<int>(at.word[0]) + (offset + chunk * 4) * 4);
  }
  uint8_t* numbers = slot + piece.NumbersAt(tokens);
  const GpuTileLine* number_lines = lines + piece.blocks + piece.scalars;
  for (int i = thread; i < piece.numbers * (chunks / 2); i += threads) {
    const int line = i >> (shift - 1), chunk = i & (chunks / 2 - 1);
    const int begin = tile.begin - chunk * 8, end = tile.end - chunk * 8;
    uint8_t* to = numbers + i * 16;
    if (begin >= 8 || end <= 0) {
      StoreShared(to, {});
      continue;
    }
    const Quad at = LoadQuad(number_lines + line);
    const uint8_t* from = tile.page + static_cast<int>(at.word[0]) + (offset + chunk * 8) * 2;
    if (begin <= 0 && end >= 8) {
      CopyAsync(to, from);
    } else {
      StoreShared(to, MaskNumbers(LoadQuad(from), begin, end));
    }
  }
  // Rows of floats, a warp each.
  uint8_t* floats = slot + piece.FloatsAt(tokens);
  const GpuTileLine* unit_lines = number_lines + piece.numbers;
  if (piece.units == 0) return;
  for (int row = thread / kWarp; row < tokens; row += warps) {
    const bool there = row >= tile.begin && row < tile.end;
    for (int unit = Lane(); unit < piece.units; unit += kWarp) {
      uint8_t* to = floats + UnitAt(row, unit, piece.pitch) * 16;
      if (!there) {
        StoreShared(to, {});
        continue;
      }
      const Quad at = LoadQuad(unit_lines + unit);
      const uint8_t* from = tile.page + static_cast<int>(at.word[0]) +
                            int64_t{offset + row} * static_cast<int>(at.word[1]);
      if (at.word[2] == kAlignedHalves) {
        CopyAsync(to, from);
      } else {
        StoreShared(to,
                    GatherUnit(from, static_cast<int>(at.word[2]), static_cast<int>(at.word[3])));
      }
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_TILE_H_
