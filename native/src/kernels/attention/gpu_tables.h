// What the attention kernel of the GPU is told of a layer: which heads, rows and columns a block of
// threads has, and what of a page goes where in its shared memory. Written by gpu_plan.cc; plain.
#ifndef MLA_KERNELS_ATTENTION_GPU_TABLES_H_
#define MLA_KERNELS_ATTENTION_GPU_TABLES_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

// Rows are scored 32 elements and summed 64 elements at a time.
inline constexpr int32_t kScoreStrip = 32;
inline constexpr int32_t kValueStrip = 64;
inline constexpr int32_t kUnitElements = 8;  // halves of 16 bytes
inline constexpr int32_t kMostSlots = 3;     // of tiles in shared memory

// Softmax weights of a tile, halves from a column to the next: lanes that read eight bytes of four
// columns, or where no rows are packed four bytes of eight, meet in no bank.
constexpr int32_t WeightPitch(bool packed) { return packed ? 80 : 72; }

// Units from a column's query to the next one's in shared memory. Prepared queries are an odd
// number of strips apart: lanes read four units of a column; where no rows are packed, one of
// eight.
constexpr int32_t QueryPitch(int32_t prepared, bool packed) { return prepared + (packed ? 0 : 1); }

// How a block's warps share a tile's scores: by tokens, then by eights of columns, `at_once` of
// them at a time, then by strips, whose parts are added.
struct GpuScoreSplit {
  int32_t token_groups, column_groups, strip_groups;
};
// Of more columns at a time than these the sums' registers have no room; rows are unpacked for
// each.
constexpr int32_t ScoreTiles(int32_t tiles, bool packed) {
  return tiles < 8 ? tiles : packed ? 2 : 4;
}
constexpr GpuScoreSplit SplitScores(int32_t warps, int32_t tiles, int32_t tokens, bool packed) {
  const int32_t by_token = tokens > 32 && warps > 1 ? 2 : 1;
  const int32_t wanted = tiles / ScoreTiles(tiles, packed), left = warps / by_token;
  const int32_t by_column = wanted < left ? wanted : left;
  return {by_token, by_column, left / by_column};
}

// What a block's shared memory has for its work (gpu_work.h), and for its slots: which
// tiles they hold, and barriers of their copies.
inline constexpr int32_t kWorkBytes = 128;
inline constexpr int32_t kTileBytes = 32;
inline constexpr int32_t kSlotStateBytes = 128;
static_assert(kMostSlots * (kTileBytes + 8) <= kSlotStateBytes);

// Where a row comes from: CacheView's pages.
enum GpuRowForm : int32_t { kRowsForm, kExactForm, kFirstForm, kRowForms };

// What a layer's rows are to a kernel: some are packed, and others become halves; all are floats
// that do; or all are bf16.
enum class GpuRows { kPacked, kHalves, kBfloats };

// What of a page goes to shared memory in one way, 16 bytes (a chunk) at a time.
enum GpuRunKind : int32_t {
  kBlocks,   // rows are lines: what a page's tokens have of a packed row's block, 4 bytes each
  kScalars,  // lines of key scalars, 4 bytes a token, of the page of rows in any form
  kNumbers,  // lines of packed rows' numbers, 2 bytes a token; zeros of tokens not asked for
  kUnits,    // rows are tokens, a chunk eight 16-bit floats; zeros of tokens not asked for
  kHalves,   // the same at no 16-byte boundary
  kBfloats,  // the same of bf16, which become halves
  kFloats    // the same of f32, which become halves
};
struct alignas(16) GpuTileRun {
  int32_t kind;
  // Bytes in the page: where token 0's first row begins, from a row, a group to the next.
  int32_t source, source_row, source_group;
  int32_t to, to_row, to_group;  // the same in the slot, of the tile's first token
  int32_t rows, chunks, groups;  // [groups][rows][chunks]
  int32_t lane_shift;            // 2^ of it lanes share a row
  int32_t elements;              // of a row of halves or floats
  // Of a whole tile in bulk: [groups][bulk_rows] copies of so many bytes; 0: not in bulk.
  int32_t bulk_rows, bulk_bytes;
};

// From a line of blocks to the next in shared memory, of tiles of 32 or 64 tokens: lanes read a
// chunk of four neighbouring lines (int8: in twos, of every other line) or two each of two, which
// then never meet in a bank.
constexpr int32_t BlockLinePitch(CacheType type, int32_t tokens) {
  return tokens * 4 + (type == CacheType::kInt8 ? 16 : 32);
}

// A row's place in a piece.
struct GpuTileArray {
  int32_t type;         // CacheType
  int32_t length;       // elements from strip 0 on
  int32_t at;           // byte of the slot where strip 0 begins, of the first line or token
  int32_t pitch;        // bytes from a line to the next; of floats, from a token to the next
  int32_t numbers;      // packed: the line of numbers where strip 0 begins
  int32_t group_shift;  // packed: 2^ of it elements share numbers
  int32_t step;         // from `at` of a rotary group to the next one's
  int32_t number_step;  // the same of `numbers`

  // The eight elements from `element` on, or the row's last where there are none: what is read
  // beyond a row's end meets zeros of queries, or becomes sums that nobody wants, but it is a
  // row's.
  constexpr int32_t Eight(int32_t element) const {
    const int32_t last = (length - 1) & ~(kUnitElements - 1);
    return element < last ? element : last;
  }
};

// What is brought into shared memory at once: lines of blocks, [tokens][pitch] of rows of halves,
// [key scalars][tokens][4 bytes], [numbers][tokens] halves.
struct GpuTilePiece {
  int32_t run, runs;               // its first, in integers from the task's beginning; how many
  int32_t scalars_at, numbers_at;  // bytes in the slot
  int32_t bytes;                   // of all
  int32_t bulk_bytes;              // that come in bulk; 0: none
  int32_t scalars;                 // lines
  int32_t score_begin, score_end;  // strips: of all rotary groups, then of the key
  int32_t value_begin, value_end;  // strips
  GpuTileArray rope, key, value;
};

struct GpuTileForm {
  int32_t tokens;  // of a tile: 16, 32 or 64; 32 or 64 where rows are packed
  int32_t shift;   // 2^ of it
  int32_t piece;   // its first, in integers from the task's beginning
  int32_t pieces;  // one, or where rows are too long: those that are scored, then those summed
  int32_t score_pieces;
};

// A pair of head and query whose score and sum a task computes.
struct GpuColumn {
  int32_t head;  // -1: none
  int32_t query;
  int32_t rope;     // rotary group among the task's
  int32_t kv_head;  // among the task's
};

// A block's heads, and which of their values' elements. Behind it [columns of the plan] GpuColumns,
// in the order of the KV heads, the pieces, and at a multiple of 16 bytes their runs.
struct GpuTask {
  int32_t integers;  // of all of that
  int32_t rope_groups, rope_length;
  int32_t key_length;
  int32_t value_begin, value_length;
  GpuTileForm forms[kRowForms];

  constexpr int32_t rope_strips() const { return (rope_length + kScoreStrip - 1) / kScoreStrip; }
};

}  // namespace mla
#endif  // MLA_KERNELS_ATTENTION_GPU_TABLES_H_
