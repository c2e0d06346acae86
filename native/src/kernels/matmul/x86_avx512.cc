// Quantized weights by vpdpbusd. An activation is 256 * high + low, two signed bytes, so a product
// with a weight is exact and a column of 32 sums up in 32-bit integers before it meets its scales.
// The 16 lanes are 16 rows of the weights: nothing is summed across lanes, results land side by
// side, and one column or many take the same steps in the same order, so that a step and a batch
// agree to the last bit.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/matmul/implementations.h"
#include "kernels/matmul/x86_avx512_blocks.h"

namespace mla {
namespace {

constexpr int64_t kColumns = 128;  // rows of activations that stay in the second-level cache
constexpr int kChunkTiles = 18;    // of two panels, that stay in the first-level cache

// One half of a block: 16 activations to high and low bytes; the sum of the whole numbers.
int32_t PrepareHalf(__m512 x, __m512 inverse, uint8_t* high, uint8_t* low) {
  const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
  const __m512i h = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(128)), 8);
  const __m512i l = _mm512_sub_epi32(q, _mm512_slli_epi32(h, 8));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(high), _mm512_cvtepi32_epi8(h));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(low), _mm512_cvtepi32_epi8(l));
  return _mm512_reduce_add_epi32(q);
}

void PrepareBlock(const float* x, ActivationBlock* block) {
  const __m512 a = _mm512_loadu_ps(x);
  const __m512 b = _mm512_loadu_ps(x + 16);
  // Magnitudes order like their bits, and NaN above all.
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const uint32_t bits = _mm512_reduce_max_epu32(
      _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), magnitude),
                       _mm512_and_si512(_mm512_castps_si512(b), magnitude)));
  float largest;
  memcpy(&largest, &bits, sizeof(largest));
  const bool finite = bits < 0x7f800000;
  block->scale = finite ? largest / kActivationLimit : __builtin_nanf("");
  const __m512 inverse =
      _mm512_set1_ps(finite && largest > kSmallestActivation ? kActivationLimit / largest : 0.0f);
  const int32_t first = PrepareHalf(a, inverse, block->q, block->q + 32);
  const int32_t second = PrepareHalf(b, inverse, block->q + 16, block->q + 48);
  block->half_sum[0] = block->scale * static_cast<float>(first);
  block->half_sum[1] = block->scale * static_cast<float>(second);
  block->sum = block->half_sum[0] + block->half_sum[1];
}

void Prepare(ActivationForm form, const float* x, int64_t x_stride, int64_t, int64_t cols,
             void* prepared, int64_t begin, int64_t end) {
  if (form == ActivationForm::kFloat) {
    for (int64_t i = begin; i < end; ++i) {
      memcpy(static_cast<float*>(prepared) + i * cols, x + i * x_stride,
             static_cast<size_t>(cols) * sizeof(float));
    }
    return;
  }
  ActivationBlock* blocks = static_cast<ActivationBlock*>(prepared);
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t b = 0; b < cols / 32; ++b) {
      PrepareBlock(x + i * x_stride + 32 * b, blocks + i * (cols / 32) + b);
    }
  }
}

__m512i Broadcast32(const uint8_t* bytes) {
  int32_t value;
  memcpy(&value, bytes, sizeof(value));
  return _mm512_set1_epi32(value);
}

// sums[p][c] += tile p · x[c], over 32 columns of weights.
template <int kPanels, int kCols, int kScales>
[[gnu::always_inline]] inline void MultiplyTile(const Tile<kScales>* const tiles[kPanels],
                                                const ActivationBlock* const x[kCols],
                                                __m512 sums[kPanels][kCols]) {
  // Integer sums are exact in any order: where too few are under way to hide an instruction's
  // latency, split them.
  constexpr int kChains = kPanels * kCols < 4 ? 2 : 1;
  constexpr int kSteps = 8 / kScales;
#pragma GCC unroll 2
  for (int s = 0; s < kScales; ++s) {
    __m512i high[kPanels][kCols][kChains], low[kPanels][kCols][kChains];
#pragma GCC unroll 8
    for (int j = 0; j < kSteps; ++j) {
      const int k = j % kChains;
#pragma GCC unroll 8
      for (int c = 0; c < kCols; ++c) {
        const __m512i x_high = Broadcast32(x[c]->q + 4 * (s * kSteps + j));
        const __m512i x_low = Broadcast32(x[c]->q + 32 + 4 * (s * kSteps + j));
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
          const __m512i w = tiles[p]->q[s * kSteps + j];
          const __m512i zero = _mm512_setzero_si512();
          high[p][c][k] = _mm512_dpbusd_epi32(j < kChains ? zero : high[p][c][k], w, x_high);
          low[p][c][k] = _mm512_dpbusd_epi32(j < kChains ? zero : low[p][c][k], w, x_low);
        }
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < kCols; ++c) {
      const __m512 scale = _mm512_set1_ps(x[c]->scale);
      const __m512 sum = _mm512_set1_ps(kScales == 1 ? x[c]->sum : x[c]->half_sum[s]);
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
        __m512i h = high[p][c][0], l = low[p][c][0];
        if (kChains == 2) {
          h = _mm512_add_epi32(h, high[p][c][kChains - 1]);
          l = _mm512_add_epi32(l, low[p][c][kChains - 1]);
        }
        const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(h, 8), l));
        const __m512 scaled = _mm512_mul_ps(dot, tiles[p]->scale[s]);
        sums[p][c] = _mm512_fmadd_ps(scaled, scale, sums[p][c]);
        sums[p][c] = _mm512_fmadd_ps(tiles[p]->min[s], sum, sums[p][c]);
      }
    }
  }
}

// 16 rows of the weights, of which the lanes in `mask` are wanted: near the matrix's end a panel
// reaches back to rows that others compute, and a matrix of fewer rows is copied block by block.
template <typename Read>
class Panel {
 public:
  void Set(const MatmulParams& p, int64_t row, int64_t row_end) {
    row_bytes_ = p.w.cols / (32 * Read::kTiles) * Read::kBytes;
    few_rows_ = p.w.rows < kPanel ? static_cast<int>(p.w.rows) : 0;
    first_ = few_rows_ > 0 ? 0 : row < p.w.rows - kPanel ? row : p.w.rows - kPanel;
    const int64_t count = row_end - first_ < kPanel ? row_end - first_ : kPanel;
    mask_ = static_cast<__mmask16>((uint32_t{1} << count) - (uint32_t{1} << (row - first_)));
    data_ = p.w.data + first_ * row_bytes_;
    if (few_rows_ > 0) {
      memset(copy_, 0, sizeof(copy_));
      rows_.Set(copy_, Read::kBytes);
    } else {
      rows_.Set(data_, row_bytes_);
    }
  }

  // Blocks in order from 0; Load for each of a block's tiles in order.
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
  void Load(int t, Tile<Read::kScales>* tile) { read_.Load(rows_, t, tile); }

  void Store(const MatmulParams& p, int64_t column, __m512 sums) const {
    float* y = p.y + column * p.y_stride + first_;
    if (p.bias != nullptr) {
      sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(mask_, p.bias + first_));
    }
    if (p.accumulate) sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(mask_, y));
    _mm512_mask_storeu_ps(y, mask_, sums);
  }

  // The next panel's share that corresponds to tile t of `block`.
  void Prefetch(int64_t block, int t) const {
    constexpr int64_t kShare = kPanel * Read::kBytes / Read::kTiles;
    const uint8_t* next = data_ + kPanel * row_bytes_ + (block * Read::kTiles + t) * kShare;
    for (int64_t o = 0; o < kShare; o += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(next + o), _MM_HINT_T0);
    }
  }

 private:
  BlockRows rows_;
  Read read_;
  const uint8_t* data_;
  int64_t row_bytes_, first_;
  int few_rows_;
  __mmask16 mask_;
  uint8_t copy_[kPanel * Read::kBytes];
};

// Decode: every weight is read once, unpacked in registers and forgotten.
template <typename Read>
void MultiplyOne(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  const int64_t blocks = p.w.cols / (32 * Read::kTiles);
  Panel<Read> panel;
  for (int64_t r = row_begin; r < row_end; r += kPanel) {
    panel.Set(p, r, row_end);
    const bool more = r + kPanel < row_end;
    const ActivationBlock* x = static_cast<const ActivationBlock*>(p.prepared);
    __m512 sums[1][1] = {{_mm512_setzero_ps()}};
    for (int64_t b = 0; b < blocks; ++b) {
      panel.Begin(b);
#pragma GCC unroll 8
      for (int t = 0; t < Read::kTiles; ++t, ++x) {
        if (more) panel.Prefetch(b, t);
        Tile<Read::kScales> tile;
        panel.Load(t, &tile);
        const Tile<Read::kScales>* const tiles[1] = {&tile};
        MultiplyTile<1, 1, Read::kScales>(tiles, &x, sums);
      }
    }
    panel.Store(p, 0, sums[0][0]);
  }
}

// Two panels (or one) of unpacked tiles times columns [begin, end); `carried` holds the sums from
// chunk to chunk.
template <typename Read>
class Chunk {
 public:
  static constexpr int kScales = Read::kScales;
  Tile<kScales> tiles[2][kChunkTiles];
  int count;               // of tiles
  int64_t first_tile;      // where they start in a row
  bool is_first, is_last;  // of the row's chunks

  template <int kPanels, int kCols>
  void Multiply(const MatmulParams& p, const Panel<Read>* panels, int64_t column,
                float (*carried)[2 * kPanel]) const {
    const int64_t row_tiles = p.w.cols / 32;
    const ActivationBlock* x[kCols];
    __m512 sums[kPanels][kCols];
    for (int c = 0; c < kCols; ++c) {
      x[c] =
          static_cast<const ActivationBlock*>(p.prepared) + (column + c) * row_tiles + first_tile;
      for (int q = 0; q < kPanels; ++q) {
        sums[q][c] = is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(carried[c] + q * kPanel);
      }
    }
    for (int t = 0; t < count; ++t) {
      const Tile<kScales>* at[kPanels];
      for (int q = 0; q < kPanels; ++q) at[q] = &tiles[q][t];
      MultiplyTile<kPanels, kCols, kScales>(at, x, sums);
      for (int c = 0; c < kCols; ++c) ++x[c];
    }
    for (int c = 0; c < kCols; ++c) {
      for (int q = 0; q < kPanels; ++q) {
        if (is_last) {
          panels[q].Store(p, column + c, sums[q][c]);
        } else {
          _mm512_storeu_ps(carried[c] + q * kPanel, sums[q][c]);
        }
      }
    }
  }

  template <int kPanels>
  void MultiplyColumns(const MatmulParams& p, const Panel<Read>* panels, int64_t begin, int64_t end,
                       float (*carried)[2 * kPanel]) const {
    int64_t c = begin;
    for (; c + 4 <= end; c += 4) Multiply<kPanels, 4>(p, panels, c, carried + (c - begin));
    if (end - c == 3) Multiply<kPanels, 3>(p, panels, c, carried + (c - begin));
    if (end - c == 2) Multiply<kPanels, 2>(p, panels, c, carried + (c - begin));
    if (end - c == 1) Multiply<kPanels, 1>(p, panels, c, carried + (c - begin));
  }
};

// Prompts: tiles of up to 32 rows are unpacked once for up to kColumns rows of activations.
template <typename Read>
void MultiplyMany(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  constexpr int64_t kChunkBlocks = kChunkTiles / Read::kTiles;
  const int64_t blocks = p.w.cols / (32 * Read::kTiles);
  const int64_t chunks = (blocks + kChunkBlocks - 1) / kChunkBlocks;
  Chunk<Read> chunk;
  Panel<Read> panels[2];
  alignas(64) float carried[kColumns][2 * kPanel];
  for (int64_t column = 0; column < p.n; column += kColumns) {
    const int64_t column_end = column + kColumns < p.n ? column + kColumns : p.n;
    for (int64_t r = row_begin; r < row_end; r += 2 * kPanel) {
      const int count = row_end - r > kPanel ? 2 : 1;
      for (int q = 0; q < count; ++q) panels[q].Set(p, r + q * kPanel, row_end);
      for (int64_t i = 0; i < chunks; ++i) {
        const int64_t begin = blocks * i / chunks, end = blocks * (i + 1) / chunks;
        for (int q = 0; q < count; ++q) {
          Tile<Read::kScales>* tile = chunk.tiles[q];
          for (int64_t b = begin; b < end; ++b) {
            panels[q].Begin(b);
#pragma GCC unroll 8
            for (int t = 0; t < Read::kTiles; ++t) panels[q].Load(t, tile++);
          }
        }
        chunk.count = static_cast<int>((end - begin) * Read::kTiles);
        chunk.first_tile = begin * Read::kTiles;
        chunk.is_first = i == 0;
        chunk.is_last = i + 1 == chunks;
        if (count == 2) {
          chunk.template MultiplyColumns<2>(p, panels, column, column_end, carried);
        } else {
          chunk.template MultiplyColumns<1>(p, panels, column, column_end, carried);
        }
      }
    }
  }
}

template <typename Read>
void MultiplyQuantized(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  if (p.n == 1) {
    MultiplyOne<Read>(p, row_begin, row_end);
  } else {
    MultiplyMany<Read>(p, row_begin, row_end);
  }
}

void Multiply(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  switch (p.w.type) {
    case Type::kQ4_0:
      return MultiplyQuantized<ReadQ4_0>(p, row_begin, row_end);
    case Type::kQ4_1:
      return MultiplyQuantized<ReadQ4_1>(p, row_begin, row_end);
    case Type::kQ8_0:
      return MultiplyQuantized<ReadQ8_0>(p, row_begin, row_end);
    case Type::kQ4_K:
      return MultiplyQuantized<ReadQ4_K>(p, row_begin, row_end);
    case Type::kQ6_K:
      return MultiplyQuantized<ReadQ6_K>(p, row_begin, row_end);
    case Type::kF32:
    case Type::kF16:
    case Type::kBF16:
      return MultiplyFloatAvx512(p, row_begin, row_end);
  }
}

}  // namespace

const MatmulKernels kMatmulAvx512 = {Prepare, Multiply};

}  // namespace mla
