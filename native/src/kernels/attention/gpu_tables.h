// What the attention kernel of the GPU is told of a layer: which heads, rows and columns a block of
// threads has, and what of a page goes where in its shared memory. Written by gpu_plan.cc; plain.
#ifndef MLA_KERNELS_ATTENTION_GPU_TABLES_H_
#define MLA_KERNELS_ATTENTION_GPU_TABLES_H_

#include <cstdint>

namespace mla {

// Rows are scored 32 elements and summed 64 elements at a time.
inline constexpr int32_t kScoreStrip = 32;
inline constexpr int32_t kValueStrip = 64;
inline constexpr int32_t kUnitElements = 8;  // halves of 16 bytes

// Softmax weights of a tile, halves from a column to the next: lanes of four columns read theirs
// without meeting in a bank.
inline constexpr int32_t kWeightPitch = 80;

// What a block's shared memory has for its work (gpu_work.h).
inline constexpr int32_t kWorkBytes = 128;

// Where a row comes from: CacheView's pages.
enum GpuRowForm : int32_t { kRowsForm, kExactForm, kFirstForm, kRowForms };

// One of a piece's lines: what a tile's tokens have of a block of a packed row (4 bytes each), of
// its numbers (2 bytes), of the key scalars (4 bytes), or of eight elements of a row of floats.
struct alignas(16) GpuTileLine {
  int32_t source;    // token 0's byte in the page
  int32_t stride;    // bytes from token to token
  int32_t kind;      // of floats: a LineKind; of a packed row's blocks: see BlockSwizzle
  int32_t elements;  // of floats: that are there, of eight
};
enum LineKind : int32_t {
  kAlignedHalves,  // 16 bytes at a 16-byte boundary
  kHalves,
  kFloats
};

// Lines lie in shared memory as [line][tokens][4 bytes], so that neighbouring tokens are read at
// once. Lanes read pairs of chunks (16 bytes) from four neighbouring lines, or four chunks from
// two: moved by this, they never meet in a bank. Lines of int8 are read in twos.
constexpr int32_t BlockSwizzle(int32_t line, bool in_twos) {
  const int32_t key = in_twos ? line >> 1 : line;
  return (key & 1) << 2 | (key & 2);
}

// A row's place in a piece.
struct GpuTileArray {
  int32_t type;         // CacheType
  int32_t length;       // elements from strip 0 on
  int32_t at;           // packed: the line, floats: the unit where strip 0 begins
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

// What is brought into shared memory at once: [blocks and key scalars][tokens][4 bytes],
// [numbers][tokens] halves, [tokens][pitch] units of eight halves.
struct GpuTilePiece {
  int32_t lines;  // its first, in lines from the tables' beginning
  int32_t blocks, scalars, numbers, units;
  int32_t pitch;
  int32_t score_begin, score_end;  // strips: of all rotary groups, then of the key
  int32_t value_begin, value_end;  // strips
  GpuTileArray rope, key, value;

  constexpr int32_t NumbersAt(int32_t tokens) const { return (blocks + scalars) * tokens * 4; }
  constexpr int32_t FloatsAt(int32_t tokens) const {
    return (NumbersAt(tokens) + numbers * tokens * 2 + 127) / 128 * 128;
  }
  constexpr int32_t Bytes(int32_t tokens) const { return FloatsAt(tokens) + tokens * pitch * 16; }
};

struct GpuTileForm {
  int32_t tokens;  // of a tile: 16, 32 or 64; 32 or 64 where rows are packed
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
// in the order of the KV heads, and the pieces.
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
