// How quantized weights meet activations, whatever the instruction set: rows of the weights in
// panels as wide as a register, so that nothing is summed across lanes and results land side by
// side; one column or many, and any split of the rows, take the same steps in the same order, so
// that they agree to the last bit. For the x86_*.cc and arm64_*.cc files of this folder, inside
// their own unnamed namespace.
//
// `Simd` says how: kRows of a panel; kPanels and kColumns that are multiplied together; up to
// kFewColumns for which unpacking into memory does not pay, kTogether or half as many at a time;
// Sums, a register of floats, one per row; and the operations on them. One that kArranges has an
// order of its own for tiles that meet many columns: Arrange makes it and MultiplyArranged expects
// it. A `Read` decodes one type: kBytes and kTiles of a block, Tile for 32 columns of a panel,
// kScales of it, Begin at a block, Load for each of its tiles in order.
#ifndef MLA_KERNELS_MATMUL_PANELS_H_
#define MLA_KERNELS_MATMUL_PANELS_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/matmul/implementations.h"

namespace mla {
namespace {

constexpr int64_t kCacheColumns = 128;  // rows of activations that stay in the second-level cache
constexpr int kChunkTiles = 18;         // of kPanels panels, that stay in the first-level cache

inline int32_t LoadWord(const uint8_t* bytes) {
  int32_t word;
  memcpy(&word, bytes, sizeof(word));
  return word;
}

// Rows [begin, end) of x with `prepare_row`(x, blocks of the row, their number), or copied where
// the weights are plain floats.
template <typename PrepareRow>
void PrepareRows(ActivationForm form, const float* x, int64_t x_stride, int64_t cols,
                 void* prepared, int64_t begin, int64_t end, PrepareRow prepare_row) {
  for (int64_t i = begin; i < end; ++i) {
    if (form == ActivationForm::kFloat) {
      memcpy(static_cast<float*>(prepared) + i * cols, x + i * x_stride,
             static_cast<size_t>(cols) * sizeof(float));
      continue;
    }
    prepare_row(x + i * x_stride, static_cast<ActivationBlock*>(prepared) + i * (cols / 32),
                cols / 32);
  }
}

// The unit of a block whose largest magnitude is given, and whether it needs low bytes: those that
// stay below coarse_below do not. Returns the number of units in 1.
inline float SetScale(float largest, float coarse_below, ActivationBlock* block) {
  const bool finite = largest <= 3.402823466e38f;
  const bool fine = !(largest < coarse_below);
  const float most = fine ? kFineMost : kCoarseMost;
  block->fine = fine;
  block->scale = finite ? largest / most : __builtin_nanf("");
  return finite && largest > kSmallestActivation ? most / largest : 0.0f;
}

// Rows of blocks of bytes: sum_magnitudes(x, cols) of a row, prepare_blocks(x, their number,
// coarse_below, blocks).
template <typename SumMagnitudes, typename PrepareBlocks>
void PrepareByteRows(ActivationForm form, const float* x, int64_t x_stride, int64_t cols,
                     void* prepared, int64_t begin, int64_t end, SumMagnitudes sum_magnitudes,
                     PrepareBlocks prepare_blocks) {
  const bool mixed = form == ActivationForm::kMixedBlocks32;
  PrepareRows(form, x, x_stride, cols, prepared, begin, end,
              [&](const float* row, ActivationBlock* blocks, int64_t count) {
                const float coarse_below =
                    mixed ? kCoarseLimit * sum_magnitudes(row, cols) / static_cast<float>(cols)
                          : 0.0f;
                prepare_blocks(row, count, coarse_below, blocks);
              });
}

// The blocks one by one: kPrepareBlock(x, coarse_below, block).
template <auto kPrepareBlock>
void PrepareEachBlock(const float* x, int64_t count, float coarse_below, ActivationBlock* blocks) {
  for (int64_t b = 0; b < count; ++b) kPrepareBlock(x + 32 * b, coarse_below, blocks + b);
}

// What is fetched while a panel meets some columns: what comes 8 KiB behind or, where it will meet
// others, too, every second line of the next panel. One pass that brought it all would wait for
// memory, and the others let it idle.
enum class Fetch { kAhead, kEvenLines, kOddLines };

// kRows rows of the weights, of which some are wanted: near the matrix's end a panel reaches back
// to rows that others compute, and a matrix of fewer rows is copied block by block, so that nothing
// beyond it is read.
template <typename Simd, typename Read>
class Panel {
 public:
  static constexpr int kRows = Simd::kRows;

  void Set(const MatmulParams& p, int64_t row, int64_t row_end) {
    blocks_ = p.w.cols / (32 * Read::kTiles);
    row_bytes_ = blocks_ * Read::kBytes;
    few_rows_ = p.w.rows < kRows ? static_cast<int>(p.w.rows) : 0;
    first_ = few_rows_ > 0 ? 0 : row < p.w.rows - kRows ? row : p.w.rows - kRows;
    lane_begin_ = static_cast<int>(row - first_);
    lane_end_ = row_end - first_ < kRows ? static_cast<int>(row_end - first_) : kRows;
    data_ = p.w.data + first_ * row_bytes_;
    if (few_rows_ > 0) {
      memset(copy_, 0, sizeof(copy_));
      rows_.Set(copy_, Read::kBytes);
    } else {
      rows_.Set(data_, row_bytes_);
    }
  }

  // Blocks in order from 0.
  void Begin(int64_t block) {
    if (few_rows_ > 0) {
      for (int r = 0; r < few_rows_; ++r) {
        memcpy(copy_ + r * Read::kBytes, data_ + r * row_bytes_ + block * Read::kBytes,
               Read::kBytes);
      }
    } else if (block > 0) {
      rows_.Advance(Read::kBytes);
    }
    read_.Begin(rows_);
  }
  void Load(int t, typename Read::Tile* tile) { read_.Load(rows_, t, tile); }

  void Store(const MatmulParams& p, int64_t column, typename Simd::Sums sums) const {
    Simd::Finish(p.y + column * p.y_stride + first_, p.bias == nullptr ? nullptr : p.bias + first_,
                 p.accumulate, lane_begin_, lane_end_, sums);
  }

  template <Fetch kFetch>
  void Prefetch(int64_t, int) const {}
  void PrefetchResults(const MatmulParams&, int64_t) const {}

 private:
  typename Simd::BlockRows rows_;
  Read read_;
  const uint8_t* data_;
  int64_t blocks_, row_bytes_, first_;
  int few_rows_, lane_begin_, lane_end_;
  uint8_t copy_[kRows * Read::kBytes];
};

// Where a block of a packed panel lies: the 32-bit words of all its rows side by side,
// [words][rows], and where its bytes are no whole number of words the half that is left over of
// each row. Blocks go in pairs, both one's halves before both one's words, so that a panel is read
// from its beginning to its end and words stay aligned to a register; a last block without a
// second has its halves behind.
struct PanelPlaces {
  int64_t words, halves;  // in bytes from the panel's beginning

  PanelPlaces(int64_t block, int64_t blocks, int64_t word_bytes, int64_t half_bytes) {
    const int64_t second = block % 2, pair = (block - second) * (word_bytes + half_bytes);
    const bool alone = second == 0 && block + 1 == blocks;
    words = pair + (alone ? 0 : 2 * half_bytes + second * word_bytes);
    halves = pair + (alone ? word_bytes : second * half_bytes);
  }
};

// The same of weights that were packed (MatmulKernels::pack).
template <typename Simd, typename Read>
class PackedPanel {
 public:
  static constexpr int kRows = Simd::kRows;
  static constexpr int64_t kWordBytes = Read::kBytes / 4 * 4 * kRows;
  static constexpr int64_t kHalfBytes = Read::kBytes % 4 / 2 * 2 * kRows;

  void Set(const MatmulParams& p, int64_t row, int64_t row_end) {
    blocks_ = p.w.cols / (32 * Read::kTiles);
    first_ = row / kRows * kRows;
    lane_begin_ = static_cast<int>(row - first_);
    lane_end_ = row_end - first_ < kRows ? static_cast<int>(row_end - first_) : kRows;
    data_ = p.w.panels + first_ * blocks_ * Read::kBytes;
  }
  void Begin(int64_t block) {
    const PanelPlaces places(block, blocks_, kWordBytes, kHalfBytes);
    rows_.words = data_ + places.words;
    rows_.halves = data_ + places.halves;
    read_.Begin(rows_);
  }
  void Load(int t, typename Read::Tile* tile) { read_.Load(rows_, t, tile); }
  void Store(const MatmulParams& p, int64_t column, typename Simd::Sums sums) const {
    Simd::Finish(p.y + column * p.y_stride + first_, p.bias == nullptr ? nullptr : p.bias + first_,
                 p.accumulate, lane_begin_, lane_end_, sums);
  }
  // Panels follow one another, so this runs on into the next. 2, 4 and 8 KiB ahead are as good
  // where memory or a last cache answers quickly, 16 cost 2 to 5 %. On a Xeon whose last cache
  // others used, too, 8 saved 4 % of a step at depth 7,680, and in bad minutes a quarter.
  template <Fetch kFetch>
  void Prefetch(int64_t block, int t) const {
    constexpr int64_t kAhead = 8192, kShare = kRows * Read::kBytes / Read::kTiles;
    if constexpr (kFetch == Fetch::kAhead) {
      const uint8_t* ahead = rows_.words + t * kShare + kAhead;
      for (int64_t o = 0; o < kShare; o += 64) __builtin_prefetch(ahead + o);
    } else {
      const uint8_t* next = Stream(1, block) + t * kShare;
      for (int64_t o = kFetch == Fetch::kOddLines ? 64 : 0; o < kShare; o += 128) {
        __builtin_prefetch(next + o, 0, 2);
      }
    }
  }
  // The next panel's: of logits each is a line of its own that no cache holds.
  void PrefetchResults(const MatmulParams& p, int64_t column) const {
    __builtin_prefetch(p.y + column * p.y_stride + first_ + kRows, 1);
  }
  // From where on a block of this panel, or of one so many panels behind it, is read.
  const uint8_t* Stream(int64_t panels, int64_t block) const {
    return data_ + (panels * blocks_ + block) * Read::kBytes * kRows;
  }

 private:
  typename Simd::PackedBlock rows_;
  Read read_;
  const uint8_t* data_;
  int64_t blocks_, first_;
  int lane_begin_, lane_end_;
};

// One panel of kRows rows from `row` on, zeros behind the last one.
template <int kRows>
void PackRows(const Matrix& w, int64_t row, uint8_t* out) {
  const int64_t row_bytes = w.row_bytes(), block_bytes = GetTypeTraits(w.type).bytes;
  const int64_t blocks = row_bytes / block_bytes;
  const int64_t words = block_bytes / 4, halves = block_bytes % 4 / 2;
  static constexpr uint8_t kZeros[256] = {};  // a block of any type
  // Where the half that is left over lies in a block of the file.
  const int64_t half_at = GetTypeTraits(w.type).block == 256 ? 4 * words : 0;
  for (int64_t b = 0; b < blocks; ++b) {
    const PanelPlaces places(b, blocks, words * 4 * kRows, halves * 2 * kRows);
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* block = row + r < w.rows ? w.row(row + r) + b * block_bytes : kZeros;
      const uint8_t* first_word = half_at == 0 ? block + 2 * halves : block;
      for (int64_t i = 0; i < words; ++i) {
        memcpy(out + places.words + (i * kRows + r) * 4, first_word + 4 * i, 4);
      }
      if (halves > 0) memcpy(out + places.halves + r * 2, block + half_at, 2);
    }
  }
}

// A panel's rows of the weights, and the activations from `column` on that they meet next.
struct FewColumns {
  int64_t row, row_end, column;
  bool more;  // there is a panel behind it
};

// Times kCols rows of activations, unpacked in registers and forgotten. The panel is its own: one
// that a caller had would be in memory wherever this is not inlined.
template <typename Simd, typename Read, typename Panel, Fetch kFetch, int kCols>
void MultiplyColumns(const MatmulParams& p, const FewColumns& at) {
  const int64_t row_tiles = p.w.cols / 32;
  Panel panel;
  panel.Set(p, at.row, at.row_end);
  const ActivationBlock* x[kCols];
  typename Simd::Sums sums[1][kCols];
#pragma GCC unroll 16
  for (int c = 0; c < kCols; ++c) {
    x[c] = static_cast<const ActivationBlock*>(p.prepared) + (at.column + c) * row_tiles;
    sums[0][c] = Simd::Zero();
    if constexpr (kCols > 1) panel.PrefetchResults(p, at.column + c);
  }
  for (int64_t b = 0; b < row_tiles / Read::kTiles; ++b) {
    panel.Begin(b);
#pragma GCC unroll 8
    for (int t = 0; t < Read::kTiles; ++t) {
      if (at.more) panel.template Prefetch<kFetch>(b, t);
      typename Read::Tile tile;
      panel.Load(t, &tile);
      const typename Read::Tile* const tiles[1] = {&tile};
      Simd::template MultiplyTile<1, kCols>(tiles, x, sums);
#pragma GCC unroll 16
      for (int c = 0; c < kCols; ++c) ++x[c];
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < kCols; ++c) panel.Store(p, at.column + c, sums[0][c]);
}

// The last columns, kCols at most.
template <typename Simd, typename Read, Fetch kFetch, int kCols>
void MultiplyLastColumns(const MatmulParams& p, const FewColumns& at) {
  if (p.n - at.column == kCols) {
    MultiplyColumns<Simd, Read, PackedPanel<Simd, Read>, kFetch, kCols>(p, at);
  } else if constexpr (kCols > 1) {
    MultiplyLastColumns<Simd, Read, kFetch, kCols - 1>(p, at);
  }
}

template <typename Simd>
constexpr int kHalfTogether = Simd::kTogether / 2;

// As many columns as go together; returns where the next begin.
template <typename Simd, typename Read, Fetch kFetch>
int64_t MultiplySome(const MatmulParams& p, const FewColumns& at) {
  using Panel = PackedPanel<Simd, Read>;
  const int64_t left = p.n - at.column;
  if (left >= Simd::kTogether) {
    MultiplyColumns<Simd, Read, Panel, kFetch, Simd::kTogether>(p, at);
    return at.column + Simd::kTogether;
  }
  if constexpr (Simd::kColumns < kHalfTogether<Simd>) {
    if (left >= kHalfTogether<Simd>) {
      MultiplyColumns<Simd, Read, Panel, kFetch, kHalfTogether<Simd>>(p, at);
      return at.column + kHalfTogether<Simd>;
    }
  }
  if (left >= Simd::kColumns) {
    MultiplyColumns<Simd, Read, Panel, kFetch, Simd::kColumns>(p, at);
    return at.column + Simd::kColumns;
  }
  MultiplyLastColumns<Simd, Read, kFetch, Simd::kColumns - 1>(p, at);
  return p.n;
}

// Decode: every weight is read from memory once; a batch finds a panel in the caches again.
template <typename Simd, typename Read>
void MultiplyFew(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  const bool one_pass =
      p.n <= Simd::kColumns || p.n == Simd::kTogether || p.n == kHalfTogether<Simd>;
  for (int64_t r = row_begin; r < row_end; r += Simd::kRows) {
    FewColumns at = {r, row_end, 0, r + Simd::kRows < row_end};
    if (one_pass) {
      MultiplySome<Simd, Read, Fetch::kAhead>(p, at);
      continue;
    }
    at.column = MultiplySome<Simd, Read, Fetch::kEvenLines>(p, at);
    for (; at.column < p.n; at.more = false) {
      at.column = MultiplySome<Simd, Read, Fetch::kOddLines>(p, at);
    }
  }
}

// Where there was no memory for panels. Two forms of the loops for each type of weights take no
// longer to compile than that is worth.
template <typename Simd, typename Read>
void MultiplyUnpacked(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  using Panel = mla::Panel<Simd, Read>;
  for (int64_t r = row_begin; r < row_end; r += Simd::kRows) {
    FewColumns at = {r, row_end, 0, false};
    for (; at.column + Simd::kColumns <= p.n; at.column += Simd::kColumns) {
      MultiplyColumns<Simd, Read, Panel, Fetch::kAhead, Simd::kColumns>(p, at);
    }
    for (; at.column < p.n; ++at.column) {
      MultiplyColumns<Simd, Read, Panel, Fetch::kAhead, 1>(p, at);
    }
  }
}

// Unpacked tiles of some panels, a stretch of their columns.
template <typename Simd, typename Read>
class Chunk {
 public:
  using Panel = PackedPanel<Simd, Read>;
  static constexpr int kRows = Simd::kRows;
  static constexpr int kCarried = Simd::kPanels * kRows;
  using Tile = typename Read::Tile;

  Tile tiles[Simd::kPanels][kChunkTiles];
  int count;               // of tiles
  int64_t first_tile;      // where they start in a row
  bool is_first, is_last;  // of the row's chunks

  // Times activations [begin, end); `carried` holds the sums from chunk to chunk.
  template <int kPanels>
  void MultiplyColumns(const MatmulParams& p, const Panel* panels, int64_t begin, int64_t end,
                       float (*carried)[kCarried]) const {
    int64_t c = begin;
    for (; c + Simd::kColumns <= end; c += Simd::kColumns) {
      Multiply<kPanels, Simd::kColumns>(p, panels, c, carried + (c - begin));
    }
    MultiplyRest<kPanels, Simd::kColumns - 1>(p, panels, c, end, carried + (c - begin));
  }

 private:
  template <int kPanels, int kCols>
  void MultiplyRest(const MatmulParams& p, const Panel* panels, int64_t column, int64_t end,
                    float (*carried)[kCarried]) const {
    if constexpr (kCols > 0) {
      if (end - column == kCols) return Multiply<kPanels, kCols>(p, panels, column, carried);
      MultiplyRest<kPanels, kCols - 1>(p, panels, column, end, carried);
    }
  }

  template <int kPanels, int kCols>
  void Multiply(const MatmulParams& p, const Panel* panels, int64_t column,
                float (*carried)[kCarried]) const {
    const int64_t row_tiles = p.w.cols / 32;
    const ActivationBlock* x[kCols];
    typename Simd::Sums sums[kPanels][kCols];
#pragma GCC unroll 4
    for (int c = 0; c < kCols; ++c) {
      x[c] =
          static_cast<const ActivationBlock*>(p.prepared) + (column + c) * row_tiles + first_tile;
#pragma GCC unroll 2
      for (int q = 0; q < kPanels; ++q) {
        sums[q][c] = is_first ? Simd::Zero() : Simd::LoadSums(carried[c] + q * kRows);
      }
    }
    for (int t = 0; t < count; ++t) {
      const Tile* at[kPanels];
      for (int q = 0; q < kPanels; ++q) at[q] = &tiles[q][t];
      if constexpr (Simd::kArranges) {
        Simd::template MultiplyArranged<kPanels, kCols>(at, x, sums);
      } else {
        Simd::template MultiplyTile<kPanels, kCols>(at, x, sums);
      }
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) ++x[c];
    }
#pragma GCC unroll 4
    for (int c = 0; c < kCols; ++c) {
#pragma GCC unroll 2
      for (int q = 0; q < kPanels; ++q) {
        if (is_last) {
          panels[q].Store(p, column + c, sums[q][c]);
        } else {
          Simd::StoreSums(carried[c] + q * kRows, sums[q][c]);
        }
      }
    }
  }
};

// Prompts: a chunk of weights is unpacked once for up to kCacheColumns rows of activations.
template <typename Simd, typename Read>
void MultiplyMany(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  constexpr int kRows = Simd::kRows;
  constexpr int64_t kChunkBlocks = kChunkTiles / Read::kTiles;
  const int64_t blocks = p.w.cols / (32 * Read::kTiles);
  const int64_t chunks = (blocks + kChunkBlocks - 1) / kChunkBlocks;
  Chunk<Simd, Read> chunk;
  PackedPanel<Simd, Read> panels[Simd::kPanels];
  alignas(64) float carried[kCacheColumns][Simd::kPanels * kRows];
  for (int64_t column = 0; column < p.n; column += kCacheColumns) {
    const int64_t column_end = column + kCacheColumns < p.n ? column + kCacheColumns : p.n;
    for (int64_t r = row_begin; r < row_end; r += Simd::kPanels * kRows) {
      const bool whole = row_end - r > (Simd::kPanels - 1) * kRows;
      const int count = whole ? Simd::kPanels : 1;
      for (int q = 0; q < count; ++q) panels[q].Set(p, r + q * kRows, row_end);
      for (int64_t i = 0; i < chunks; ++i) {
        const int64_t begin = blocks * i / chunks, end = blocks * (i + 1) / chunks;
        for (int q = 0; q < count; ++q) {
          auto* tile = chunk.tiles[q];
          // What the panel's next chunk is, or the one's that comes in its place, is fetched while
          // this one is multiplied.
          const uint8_t* ahead = nullptr;
          if (i + 1 < chunks) {
            ahead = panels[q].Stream(0, end);
          } else if (r + (Simd::kPanels + q) * kRows < row_end) {
            ahead = panels[q].Stream(Simd::kPanels, 0);
          }
          for (int64_t b = begin; b < end; ++b) {
            panels[q].Begin(b);
            if (ahead != nullptr) {
              constexpr int64_t kBlock = kRows * Read::kBytes;
              for (int64_t o = 0; o < kBlock; o += 64) __builtin_prefetch(ahead + o, 0, 2);
              ahead += kBlock;
            }
#pragma GCC unroll 8
            for (int t = 0; t < Read::kTiles; ++t) {
              panels[q].Load(t, tile);
              if constexpr (Simd::kArranges) Simd::Arrange(tile);
              ++tile;
            }
          }
        }
        chunk.count = static_cast<int>((end - begin) * Read::kTiles);
        chunk.first_tile = begin * Read::kTiles;
        chunk.is_first = i == 0;
        chunk.is_last = i + 1 == chunks;
        if (whole) {
          chunk.template MultiplyColumns<Simd::kPanels>(p, panels, column, column_end, carried);
        } else {
          chunk.template MultiplyColumns<1>(p, panels, column, column_end, carried);
        }
      }
    }
  }
}

template <typename Simd, typename Read>
void MultiplyPanels(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  if (p.n <= Simd::kFewColumns) {
    MultiplyFew<Simd, Read>(p, row_begin, row_end);
  } else {
    MultiplyMany<Simd, Read>(p, row_begin, row_end);
  }
}

template <typename Simd, typename Read>
void MultiplyQuantized(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  if (p.w.panels == nullptr) return MultiplyUnpacked<Simd, Read>(p, row_begin, row_end);
  // Panels begin at multiples of kRows.
  constexpr int64_t kRows = Simd::kRows;
  const int64_t aligned = (row_begin + kRows - 1) / kRows * kRows;
  const int64_t middle = aligned < row_end ? aligned : row_end;
  if (row_begin < middle) MultiplyPanels<Simd, Read>(p, row_begin, middle);
  if (middle < row_end) MultiplyPanels<Simd, Read>(p, middle, row_end);
}

}  // namespace
}  // namespace mla
#endif  // MLA_KERNELS_MATMUL_PANELS_H_
