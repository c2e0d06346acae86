#include <algorithm>

#include "cuda/simt.h"
#include "kernels/matmul/gpu.h"
#include "kernels/matmul/gpu_half_rows.h"
#include "kernels/matmul/gpu_input.h"
#include "kernels/matmul/gpu_weight_tile.h"

namespace mla::MLA_GPU {
namespace {

// Products of one form of weights. Those of heads: KV head g's rows of weights with the `group`
// inputs of its heads, of every i; all others have one head.
struct MatMulArgs {
  HalfRows input;
  int32_t n;  // rows of a head's input, of all its group
  int32_t group;
  // In rows of `input`, from i to the next, from a KV head to the next, from a head to the next.
  int32_t input_stride, input_kv_stride, input_head_stride;
  int64_t out_head_stride;
  int64_t cols;
  int32_t count;
  int64_t rows[GpuProducts::kMostProducts];  // a head's
  GpuProduct products[GpuProducts::kMostProducts];
};

// What a block computes: warps lie side by side along rows of weights and of input, each with tiles
// of Mma.
template <int kRowWarps, int kInputWarps, int kRowTilesT, int kInputTilesT, int kMostStagesT>
struct BlockShape {
  static constexpr int kThreads = kRowWarps * kInputWarps * kWarp;
  static constexpr int kWarpsOfRows = kRowWarps;
  static constexpr int kRowTiles = kRowTilesT, kInputTiles = kInputTilesT;
  static constexpr int kRows = kRowWarps * kRowTiles * 16;
  static constexpr int kInputs = kInputWarps * kInputTiles * 8;
  static constexpr int kInputBytes = kInputs * kChunk * 2;
  static constexpr int kMostStages = kMostStagesT;
};

// The widest one reads 26 bytes of packed weights and input for every 2,048 products, 64 x 64 of
// them a warp: a weight is unpacked for 64 inputs. Bounds, on paper, of 32 Mma (a step of 16
// elements of a warp), with int4 weights: 98 instructions, of which 52 unpack; 21 cycles of shared
// memory, and 6 more for what is on its way into it. sm_80 needs 256 cycles of a tensor core for
// them. sm_90 would do them in 64, but Mma reaches less than two thirds of that (its full speed is
// wgmma's alone): there issue slots, shared memory and tensor cores are all nearly used up.
using Wide = BlockShape<4, 2, 4, 8, 4>;
// Four of these are on a processor together, for products with fewer rows of weights.
using Middle = BlockShape<4, 1, 2, 8, 4>;
// Bounded by the weights' way from memory; many copies must be on their way.
using Narrow = BlockShape<4, 1, 1, 4, 6>;
using Slim = BlockShape<2, 1, 1, 2, 8>;

constexpr int kSharedBytes = 160 << 10;  // of sm_80 and later ones

template <GpuForm kForm, class Shape>
struct Stages {
  using Source = WeightSource<kForm, Shape::kRows, Shape::kThreads>;
  static constexpr int kBytes = Shape::kInputBytes + Source::kBytes;
  static constexpr int kCount = std::min(Shape::kMostStages, kSharedBytes / kBytes);
  static_assert(kCount >= 2);
};

// Rows of prepared input on their way into shared memory. Pieces of 16 bytes, eight a row, are
// placed so that eight rows' pieces of equal number lie in different banks.
template <class Shape>
class InputSource {
  static constexpr int kEach = Shape::kInputs * 8 / Shape::kThreads;
  static constexpr int kRowsAtOnce = Shape::kThreads / 8;

 public:
  MLA_DEVICE InputSource(const MatMulArgs& a, int first, int kv_head) {
    piece_ = ThreadIndex() % 8;
    from_ = a.input.halves + piece_ * 16;
    const uint32_t row_pieces = static_cast<uint32_t>(ChunksOf(a.cols) * 8);
    MLA_UNROLL
    for (int i = 0; i < kEach; ++i) {
      const int row = first + ThreadIndex() / 8 + i * kRowsAtOnce;
      const int inside = row < a.n ? row : a.n - 1;  // one more time: nobody stores its products
      const int at = inside / a.group * a.input_stride + kv_head * a.input_kv_stride +
                     inside % a.group * a.input_head_stride;
      pieces_[i] = static_cast<uint32_t>(at) * row_pieces;
    }
  }

  MLA_DEVICE void Copy(int chunk, uint8_t* to) const {
    const uint8_t* from = from_ + chunk * (kChunk * 2);
    MLA_UNROLL
    for (int i = 0; i < kEach; ++i) {
      const int row = ThreadIndex() / 8 + i * kRowsAtOnce;
      CopyAsync(to + (row * 8 + (piece_ ^ (row & 7))) * 16, from + int64_t{pieces_[i]} * 16);
    }
  }

 private:
  const uint8_t* from_;
  int piece_;
  uint32_t pieces_[kEach];
};

// Of a power of two, given as a float's bits.
MLA_DEVICE float InversePower(uint32_t bits) { return FloatOfBits((254u << 23) - bits); }

// k is never split, and its order is the same in every shape: a product's bits depend on neither n
// nor the grid. The price is a chain of Mma as long as a row where the grid is small.
template <GpuForm kForm, class Shape>
MLA_KERNEL void MultiplyTile(const MatMulArgs a) {
  using Stage = Stages<kForm, Shape>;
  constexpr int kRowTiles = Shape::kRowTiles, kInputTiles = Shape::kInputTiles;
  uint8_t* shared = SharedMemory();
  int64_t tile = BlockY();
  int part = 0;
  for (;; ++part) {
    const int64_t tiles = (a.rows[part] + Shape::kRows - 1) / Shape::kRows;
    if (tile < tiles) break;
    tile -= tiles;
  }
  const int64_t first = tile * Shape::kRows, left = a.rows[part] - first;
  const int rows = left < Shape::kRows ? static_cast<int>(left) : Shape::kRows;
  const int kv_head = BlockZ(), first_input = BlockX() * Shape::kInputs;
  const int64_t first_weights = kv_head * a.rows[part] + first;
  const GpuMatrix& w = a.products[part].w;
  const typename Stage::Source weights(w, first_weights, rows);
  const InputSource<Shape> input(a, first_input, kv_head);

  const int g = Lane() / 4, t = Lane() % 4;
  const int warp_row = WarpIndex() % Shape::kWarpsOfRows * (kRowTiles * 16);
  const int warp_input = WarpIndex() / Shape::kWarpsOfRows * (kInputTiles * 8);
  uint32_t row_scales[kRowTiles][2];
  MLA_UNROLL
  for (int i = 0; i < kRowTiles * 2; ++i) {
    const int row = warp_row + i * 8 + g;
    row_scales[i / 2][i % 2] = WeightChunk<kForm>::kRowScales && row < rows
                                   ? w.scales[first_weights + row]
                                   : BitsOfFloat(1.0f);
  }

  float sums[kRowTiles][kInputTiles][4] = {};
  const int chunks = static_cast<int>(ChunksOf(a.cols));
  int read = 0, write = 0;  // stages' places
  const auto next = [](int stage) {
    return stage == (Stage::kCount - 1) * Stage::kBytes ? 0 : stage + Stage::kBytes;
  };
  const auto copy = [&](int chunk) {
    if (chunk < chunks) {
      input.Copy(chunk, shared + write);
      weights.Copy(chunk, shared + write + Shape::kInputBytes);
      write = next(write);
    }
    CommitCopies();
  };
  MLA_UNROLL
  for (int chunk = 0; chunk < Stage::kCount - 1; ++chunk) copy(chunk);
  for (int chunk = 0; chunk < chunks; ++chunk, read = next(read)) {
    WaitCopies<Stage::kCount - 2>();
    SyncBlock();  // the chunk is there, and nobody reads the one before any more
    copy(chunk + Stage::kCount - 1);
    const uint8_t* stage = shared + read;
    LaneWeights<kForm, Shape::kRows> lanes[kRowTiles][2];
    MLA_UNROLL
    for (int i = 0; i < kRowTiles * 2; ++i) {
      lanes[i / 2][i % 2].Load(stage + Shape::kInputBytes, warp_row + g, i * 8, t,
                               InversePower(row_scales[i / 2][i % 2]));
    }
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      uint32_t x[2][kInputTiles][2];
      MLA_UNROLL
      for (int i = 0; i < kInputTiles; ++i) {
        // Two tiles of eight rows, of two pieces each.
        const int step = i % 2, pair = i / 2;
        const int row = warp_input + pair * 16 + Lane() / 16 * 8 + Lane() % 8;
        const int piece = half * 4 + step * 2 + Lane() / 8 % 2;
        uint32_t four[4];
        LoadMatrices(four, stage + (row * 8 + (piece ^ (Lane() & 7))) * 16);
        x[step][pair * 2][0] = four[0];
        x[step][pair * 2][1] = four[1];
        x[step][pair * 2 + 1][0] = four[2];
        x[step][pair * 2 + 1][1] = four[3];
      }
      MLA_UNROLL
      for (int r = 0; r < kRowTiles; ++r) {
        uint32_t upper[4], lower[4];
        lanes[r][0].Halves(half, upper);
        lanes[r][1].Halves(half, lower);
        MLA_UNROLL
        for (int step = 0; step < 2; ++step) {
          const uint32_t fragment[4] = {upper[2 * step], lower[2 * step], upper[2 * step + 1],
                                        lower[2 * step + 1]};
          MLA_UNROLL
          for (int i = 0; i < kInputTiles; ++i) Mma(sums[r][i], fragment, x[step][i]);
        }
      }
    }
  }

  const GpuProduct& product = a.products[part];
  float bias[kRowTiles][2];
  MLA_UNROLL
  for (int i = 0; i < kRowTiles * 2; ++i) {
    const int row = warp_row + i * 8 + g;
    bias[i / 2][i % 2] =
        product.bias != nullptr && row < rows ? product.bias[first_weights + row] : 0.0f;
  }
  MLA_UNROLL
  for (int i = 0; i < kInputTiles * 2; ++i) {
    const int row = first_input + warp_input + i / 2 * 8 + 2 * t + i % 2;
    if (row >= a.n) continue;
    const int at = row / a.group, head = row % a.group;
    const float scale = a.input.scales[int64_t{at} * a.input_stride + kv_head * a.input_kv_stride +
                                       head * a.input_head_stride];
    float* out = product.out + at * product.out_stride +
                 (int64_t{kv_head} * a.group + head) * a.out_head_stride + first;
    MLA_UNROLL
    for (int j = 0; j < kRowTiles * 2; ++j) {
      const int r = warp_row + j * 8 + g;
      if (r >= rows) continue;
      const float row_scale = FloatOfBits(row_scales[j / 2][j % 2]);
      const float sum = sums[j / 2][i / 2][j % 2 * 2 + i % 2] * scale * row_scale;
      out[r] = (product.add ? out[r] : 0.0f) + sum + bias[j / 2][j % 2];
    }
  }
}

template <class Shape>
Grid GridOf(const MatMulArgs& a, int kv_heads) {
  int64_t tiles = 0;
  for (int32_t i = 0; i < a.count; ++i) tiles += (a.rows[i] + Shape::kRows - 1) / Shape::kRows;
  return {(a.n + Shape::kInputs - 1) / Shape::kInputs, static_cast<int>(tiles), kv_heads};
}

// The inputs' tiles are the grid's first dimension, so that weights come from memory once: what
// they are multiplied with stays in the second-level cache.
template <GpuForm kForm, class Shape>
bool Launched(GpuStream& stream, const MatMulArgs& a, int kv_heads, bool suits) {
  const Grid grid = GridOf<Shape>(a, kv_heads);
  constexpr int kShared = Stages<kForm, Shape>::kCount * Stages<kForm, Shape>::kBytes;
  if (!suits || kShared > stream.shared_bytes()) return false;
  Launch(stream, grid, Shape::kThreads, kShared, MultiplyTile<kForm, Shape>, a);
  return true;
}

template <class Shape>
bool Fills(const GpuStream& stream, const MatMulArgs& a, int kv_heads) {
  const Grid grid = GridOf<Shape>(a, kv_heads);
  return int64_t{grid.x} * grid.y * grid.z >= stream.processors();
}

template <GpuForm kForm>
void LaunchForm(GpuStream& stream, const MatMulArgs& a, int kv_heads) {
  const bool wide = a.n > Middle::kInputs && Fills<Wide>(stream, a, kv_heads);
  const bool middle = a.n > Narrow::kInputs && Fills<Middle>(stream, a, kv_heads);
  const bool narrow = a.n > Slim::kInputs && Fills<Narrow>(stream, a, kv_heads);
  if constexpr (kForm != GpuForm::kF32) {  // it would have too few registers, and stages
    if (Launched<kForm, Wide>(stream, a, kv_heads, wide)) return;
  }
  if (Launched<kForm, Middle>(stream, a, kv_heads, middle)) return;
  if (Launched<kForm, Narrow>(stream, a, kv_heads, narrow)) return;
  Launched<kForm, Slim>(stream, a, kv_heads, true);
}

void LaunchProducts(GpuStream& stream, GpuForm form, const MatMulArgs& a, int kv_heads) {
  switch (form) {
    case GpuForm::kF32:
      return LaunchForm<GpuForm::kF32>(stream, a, kv_heads);
    case GpuForm::kF16:
      return LaunchForm<GpuForm::kF16>(stream, a, kv_heads);
    case GpuForm::kBf16:
      return LaunchForm<GpuForm::kBf16>(stream, a, kv_heads);
    case GpuForm::kInt4:
      return LaunchForm<GpuForm::kInt4>(stream, a, kv_heads);
    case GpuForm::kInt8:
      return LaunchForm<GpuForm::kInt8>(stream, a, kv_heads);
  }
}

}  // namespace

void Launch(GpuStream& stream, const GpuMatMul& call) {
  const HalfRows rows = PlaceHalfRows(call.workspace, call.n, call.cols);
  LaunchHalfRows(stream, {call.input, 0, call.n, 1, call.cols, rows});
  for (const GpuForm form :
       {GpuForm::kInt4, GpuForm::kInt8, GpuForm::kF16, GpuForm::kBf16, GpuForm::kF32}) {
    MatMulArgs args = {rows, call.n, 1, 1, 0, 0, 0, call.cols, 0, {}, {}};
    for (int32_t i = 0; i < call.count; ++i) {
      const GpuProduct& product = call.products[i];
      if (product.w.form != form) continue;
      args.rows[args.count] = product.w.rows;
      args.products[args.count++] = product;
    }
    if (args.count > 0) LaunchProducts(stream, form, args, 1);
  }
}

void Launch(GpuStream& stream, const GpuHeadMatMul& call) {
  const bool shared = call.x_head_stride == 0;
  const int32_t heads = shared ? 1 : call.kv_heads * call.group;
  const HalfRows rows = PlaceHalfRows(call.workspace, int64_t{call.n} * heads, call.w.cols);
  const GpuInput input = {GpuInput::Kind::kPlain, call.x, call.x_stride, nullptr, 0.0f};
  LaunchHalfRows(stream, {input, call.x_head_stride, call.n, heads, call.w.cols, rows});
  MatMulArgs args = {rows,
                     call.n * call.group,
                     call.group,
                     heads,
                     shared ? 0 : call.group,
                     shared ? 0 : 1,
                     call.out_head_stride,
                     call.w.cols,
                     1,
                     {call.w.rows / call.kv_heads},
                     {{call.w, nullptr, call.out, call.out_stride, false}}};
  LaunchProducts(stream, call.w.form, args, call.kv_heads);
}

}  // namespace mla::MLA_GPU
