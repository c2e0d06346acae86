#include <algorithm>

#include "cache/group_arithmetic.h"
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
  uint16_t* halves;  // in place of the one product's out, if not null
};

// What a block computes. Warps lie side by side along rows of weights and of input, each with tiles
// of Mma; or groups of four warps along rows of weights, each with tiles of GroupMma, of which a
// warp has 16 rows.
template <int kRowWarpsT, int kInputWarps, int kRowTilesT, int kInputTilesT, int kMostStagesT,
          bool kGroupsT = false>
struct BlockShape {
  static constexpr bool kGroups = kGroupsT;
  static constexpr int kThreads = kRowWarpsT * kInputWarps * kWarp;
  static constexpr int kRowWarps = kRowWarpsT;
  static constexpr int kRowTiles = kRowTilesT, kInputTiles = kInputTilesT;
  static constexpr int kTileRows = kGroups ? 64 : 16;  // from a warp's tile to its next
  static constexpr int kRows = kRowWarps * kRowTiles * 16;
  static constexpr int kInputs = kInputWarps * kInputTiles * 8;
  static constexpr int kInputBytes = kInputs * kChunk * 2;
  static constexpr int kMostStages = kMostStagesT;
};

// Bounds of 256 x 128 products, on paper, of 16 elements with int4 weights, in cycles of an H100's
// processor, whose tensor cores need 128 at full speed: 52 of shared memory for what is on its way
// into it, 24 for the weights' way out, 128 for the input's (should the tensor cores read as other
// units do); 134 instructions a scheduler by ptxas, 52 of which unpack, while the tensor cores
// multiply. So shared memory is the bound, at five eighths of full speed. From the second-level
// cache come 26 bytes for every 2,048 products.
using Groups = BlockShape<8, 1, 2, 16, 4, true>;
// The same by Mma, whose input every warp reads for itself: 168 cycles for its way out, and 270
// instructions a scheduler. sm_80's tensor cores take 512 for the products: there they are the
// bound.
using Wide = BlockShape<4, 2, 4, 8, 4>;
// Three or four of these are on a processor together, for products with fewer rows of weights.
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
  // Chunks that are in shared memory or on their way there: of the stages, one is being read, and
  // where a group goes on multiplying with the one before, that one too.
  static constexpr int kAhead = kCount - (Shape::kGroups ? 2 : 1);
  static_assert(kAhead >= 1);
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

// A block's chunks, one after the other through the stages in shared memory.
template <GpuForm kForm, class Shape>
class Chunks {
  using Stage = Stages<kForm, Shape>;

 public:
  MLA_DEVICE Chunks(const MatMulArgs& a, const GpuMatrix& w, int64_t first_weights, int rows)
      : input_(a, BlockX() * Shape::kInputs, BlockZ()),
        weights_(w, first_weights, rows),
        count_(static_cast<int>(ChunksOf(a.cols))) {
    MLA_UNROLL
    for (int i = 0; i < Stage::kAhead; ++i) Copy();
  }

  MLA_DEVICE int count() const { return count_; }

  // Whole block. The next one, input first; all threads have read the one before, or with groups
  // the one before that.
  MLA_DEVICE const uint8_t* Next() {
    WaitCopies<Stage::kAhead - 1>();
    if constexpr (Shape::kGroups) ShowGroupMmas();
    SyncBlock();
    Copy();
    const uint8_t* stage = SharedMemory() + read_;
    read_ = Behind(read_);
    return stage;
  }

 private:
  MLA_DEVICE static int Behind(int stage) {
    return stage == (Stage::kCount - 1) * Stage::kBytes ? 0 : stage + Stage::kBytes;
  }
  MLA_DEVICE void Copy() {
    if (copied_ < count_) {
      uint8_t* to = SharedMemory() + write_;
      input_.Copy(copied_, to);
      weights_.Copy(copied_, to + Shape::kInputBytes);
      write_ = Behind(write_);
      ++copied_;
    }
    CommitCopies();
  }

  InputSource<Shape> input_;
  typename Stage::Source weights_;
  int count_, copied_ = 0;
  int read_ = 0, write_ = 0;  // stages' places
};

// Of a power of two, given as a float's bits.
MLA_DEVICE float InversePower(uint32_t bits) { return FloatOfBits((254u << 23) - bits); }

// A lane's weights of a stage: of the rows of its tiles g, g + 8.
template <GpuForm kForm, class Shape>
struct LaneTiles {
  MLA_DEVICE void Load(const uint8_t* stage, int row,
                       const uint32_t (&row_scales)[Shape::kRowTiles][2]) {
    MLA_UNROLL
    for (int i = 0; i < Shape::kRowTiles * 2; ++i) {
      rows[i / 2][i % 2].Load(stage + Shape::kInputBytes, row, i / 2 * Shape::kTileRows + i % 2 * 8,
                              Lane() % 4, InversePower(row_scales[i / 2][i % 2]));
    }
  }
  // Of two steps, those of a half of the chunk.
  MLA_DEVICE void Fragments(int tile, int half, uint32_t (&to)[2][4]) const {
    uint32_t upper[4], lower[4];
    rows[tile][0].Halves(half, upper);
    rows[tile][1].Halves(half, lower);
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) {
      to[i / 2][i % 2 * 2] = upper[i];
      to[i / 2][i % 2 * 2 + 1] = lower[i];
    }
  }

  LaneWeights<kForm, Shape::kRows> rows[Shape::kRowTiles][2];
};

// Of half a chunk's input, the fragments of a warp's rows from `first` on.
template <int kTiles>
MLA_DEVICE void LoadInput(const uint8_t* stage, int first, int half, uint32_t (&to)[2][kTiles][2]) {
  MLA_UNROLL
  for (int i = 0; i < kTiles; ++i) {
    // Two tiles of eight rows, of two pieces each.
    const int step = i % 2, pair = i / 2;
    const int row = first + pair * 16 + Lane() / 16 * 8 + Lane() % 8;
    const int piece = half * 4 + step * 2 + Lane() / 8 % 2;
    uint32_t four[4];
    LoadMatrices(four, stage + (row * 8 + (piece ^ (Lane() & 7))) * 16);
    to[step][pair * 2][0] = four[0];
    to[step][pair * 2][1] = four[1];
    to[step][pair * 2 + 1][0] = four[2];
    to[step][pair * 2 + 1][1] = four[3];
  }
}

template <GpuForm kForm, class Shape>
MLA_DEVICE void MultiplyByWarps(Chunks<kForm, Shape>& chunks, int row, int input,
                                const uint32_t (&row_scales)[Shape::kRowTiles][2],
                                float (&sums)[Shape::kRowTiles][Shape::kInputTiles][4]) {
  for (int chunk = 0; chunk < chunks.count(); ++chunk) {
    const uint8_t* stage = chunks.Next();
    LaneTiles<kForm, Shape> lane;
    lane.Load(stage, row, row_scales);
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      uint32_t x[2][Shape::kInputTiles][2];
      LoadInput(stage, input, half, x);
      MLA_UNROLL
      for (int r = 0; r < Shape::kRowTiles; ++r) {
        uint32_t fragments[2][4];
        lane.Fragments(r, half, fragments);
        MLA_UNROLL
        for (int step = 0; step < 2; ++step) {
          MLA_UNROLL
          for (int i = 0; i < Shape::kInputTiles; ++i) {
            Mma(sums[r][i], fragments[step], x[step][i]);
          }
        }
      }
    }
  }
}

// While the tensor cores multiply half a chunk the next one is unpacked.
template <GpuForm kForm, class Shape>
MLA_DEVICE void MultiplyByGroups(Chunks<kForm, Shape>& chunks, int row,
                                 const uint32_t (&row_scales)[Shape::kRowTiles][2],
                                 float (&sums)[Shape::kRowTiles][Shape::kInputTiles][4]) {
  uint32_t fragments[2][Shape::kRowTiles][2][4];
  for (int chunk = 0; chunk < chunks.count(); ++chunk) {
    const uint8_t* stage = chunks.Next();
    LaneTiles<kForm, Shape> lane;
    lane.Load(stage, row, row_scales);
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      MLA_UNROLL
      for (int r = 0; r < Shape::kRowTiles; ++r) lane.Fragments(r, half, fragments[half][r]);
      BeginGroupMmas();
      MLA_UNROLL
      for (int step = 0; step < 2; ++step) {
        MLA_UNROLL
        for (int r = 0; r < Shape::kRowTiles; ++r) {
          GroupMma(sums[r], fragments[half][r][step], stage, half * 2 + step);
        }
      }
      CommitGroupMmas();
      WaitGroupMmas<1>();  // the half before, whose fragments are overwritten next
    }
  }
  WaitGroupMmas<0>();
}

// k is never split, and its order is the same in every shape: results depend on neither n nor the
// grid. The price is a chain of Mma as long as a row where the grid is small.
template <GpuForm kForm, class Shape>
MLA_KERNEL void MultiplyTile(const MatMulArgs a) {
  WaitForEarlier();
  LetLaterStart();
  constexpr int kRowTiles = Shape::kRowTiles, kInputTiles = Shape::kInputTiles;
  constexpr bool kFloats = !IsQuantized(kForm);
  int64_t tile = BlockY();
  int part = 0;
  for (;; ++part) {
    const int64_t tiles = (a.rows[part] + Shape::kRows - 1) / Shape::kRows;
    if (tile < tiles) break;
    tile -= tiles;
  }
  const int64_t first = tile * Shape::kRows, left = a.rows[part] - first;
  const int rows = left < Shape::kRows ? static_cast<int>(left) : Shape::kRows;
  const int kv_head = BlockZ();
  const int64_t first_weights = kv_head * a.rows[part] + first;
  const GpuMatrix& w = a.products[part].w;

  const int g = Lane() / 4, t = Lane() % 4, warp = WarpIndex();
  const int row_begin = (Shape::kGroups ? warp / 4 * (kRowTiles * 64) + warp % 4 * 16
                                        : warp % Shape::kRowWarps * (kRowTiles * 16)) +
                        g;
  const int input_begin = Shape::kGroups ? 0 : warp / Shape::kRowWarps * (kInputTiles * 8);
  // Of a lane's row of tile i / 2, the upper or the lower one.
  const auto row_of = [=](int i) { return row_begin + i / 2 * Shape::kTileRows + i % 2 * 8; };
  uint32_t row_scales[kRowTiles][2];
  MLA_UNROLL
  for (int i = 0; i < kRowTiles * 2; ++i) {
    row_scales[i / 2][i % 2] = WeightChunk<kForm>::kRowScales && row_of(i) < rows
                                   ? w.scales[first_weights + row_of(i)]
                                   : BitsOfFloat(1.0f);
  }

  float sums[kRowTiles][kInputTiles][4] = {};
  Chunks<kForm, Shape> chunks(a, w, first_weights, rows);
  if constexpr (!Shape::kGroups) {
    MultiplyByWarps<kForm, Shape>(chunks, row_begin, input_begin, row_scales, sums);
  } else if constexpr (kHasGroupMma) {
    MultiplyByGroups<kForm, Shape>(chunks, row_begin, row_scales, sums);
  }

  const GpuProduct& product = a.products[part];
  float bias[kRowTiles][2];
  MLA_UNROLL
  for (int i = 0; i < kRowTiles * 2; ++i) {
    bias[i / 2][i % 2] = product.bias != nullptr && row_of(i) < rows
                             ? product.bias[first_weights + row_of(i)]
                             : 0.0f;
  }
  MLA_UNROLL
  for (int i = 0; i < kInputTiles * 2; ++i) {
    const int row = BlockX() * Shape::kInputs + input_begin + i / 2 * 8 + 2 * t + i % 2;
    if (row >= a.n) continue;
    const int at = row / a.group, head = row % a.group;
    const float scale = a.input.scales[int64_t{at} * a.input_stride + kv_head * a.input_kv_stride +
                                       head * a.input_head_stride];
    const int64_t out =
        at * product.out_stride + (int64_t{kv_head} * a.group + head) * a.out_head_stride + first;
    MLA_UNROLL
    for (int j = 0; j < kRowTiles * 2; ++j) {
      if (row_of(j) >= rows) continue;
      const float row_scale = FloatOfBits(row_scales[j / 2][j % 2]);
      const float sum = sums[j / 2][i / 2][j % 2 * 2 + i % 2] * scale * row_scale;
      if constexpr (kFloats) {
        if (a.halves != nullptr) {
          a.halves[out + row_of(j)] = FloatToHalf(ClampToHalf(sum));
          continue;
        }
      }
      float* to = product.out + out + row_of(j);
      *to = (product.add ? *to : 0.0f) + sum + bias[j / 2][j % 2];
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
    const bool groups = wide && stream.has_group_mma();
    if (Launched<kForm, Groups>(stream, a, kv_heads, groups)) return;
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
    case GpuForm::kInt5:
      return LaunchForm<GpuForm::kInt5>(stream, a, kv_heads);
    case GpuForm::kInt8:
      return LaunchForm<GpuForm::kInt8>(stream, a, kv_heads);
  }
}

}  // namespace

void Launch(GpuStream& stream, const GpuMatMul& call) {
  const HalfRows rows = PlaceHalfRows(call.workspace, call.n, call.cols);
  LaunchHalfRows(stream, {call.input, 0, call.n, 1, call.cols, rows});
  for (const GpuForm form : {GpuForm::kInt4, GpuForm::kInt5, GpuForm::kInt8, GpuForm::kF16,
                             GpuForm::kBf16, GpuForm::kF32}) {
    MatMulArgs args = {rows, call.n, 1, 1, 0, 0, 0, call.cols, 0, {}, {}, nullptr};
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
                     {{call.w, nullptr, call.out, call.out_stride, false}},
                     call.halves};
  LaunchProducts(stream, call.w.form, args, call.kv_heads);
}

}  // namespace mla::MLA_GPU
