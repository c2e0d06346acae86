#include <algorithm>

#include "cuda/simt.h"
#include "kernels/matmul/gpu.h"
#include "kernels/matmul/gpu_input.h"
#include "kernels/matmul/gpu_row.h"

namespace mla::MLA_GPU {
namespace {

constexpr int kMostThreads = 384;  // a block

struct MatVecArgs {
  GpuMatVec call;
  InputPlaces places;
  int32_t rows;           // of all products
  int32_t lane_bits;      // 2^lane_bits lanes share a row
  int32_t tiles;          // of as many rows as a warp has at a time
  int32_t stages;         // in which a lane goes through its share of a row
  int32_t early;          // last rounds in which the next launch may begin
  int32_t ahead;          // a warp's first tiles that come to the cache at once
  bool integers, floats;  // what the products need
};

// A row of one of the products.
struct ProductRow {
  bool there;
  int part, row;
};

// Lane's row of a tile. Gate's and up's rows take turns, so that neighbours meet.
MLA_DEVICE ProductRow FindRow(const MatVecArgs& a, int lane_bits, int tile) {
  int row = (tile << (5 - lane_bits)) + (Lane() >> lane_bits);
  if (row >= a.rows) return {false, 0, 0};
  if (a.call.gated) return {true, row & 1, row >> 1};
  int part = 0;
  while (row >= static_cast<int>(a.call.products[part].w.rows)) {
    row -= static_cast<int>(a.call.products[part++].w.rows);
  }
  return {true, part, row};
}

// The row that a round of `rows` further, in the sequence of all rows, is the lane's.
MLA_DEVICE void GoOn(const MatVecArgs& a, int lane_bits, int tile, int rows, ProductRow* row) {
  row->row += a.call.gated ? rows / 2 : rows;
  if (!row->there || row->row >= static_cast<int>(a.call.products[row->part].w.rows)) {
    *row = FindRow(a, lane_bits, tile);
  }
}

// Forms of weights that kernels are made for; kAny: each matrix its own.
enum class Forms { kInt4, kInt5, kInt8, kAny };

template <Forms kForms>
MLA_DEVICE GpuForm FormOf(const MatVecArgs& a, const ProductRow& at) {
  return kForms == Forms::kInt4   ? GpuForm::kInt4
         : kForms == Forms::kInt5 ? GpuForm::kInt5
         : kForms == Forms::kInt8 ? GpuForm::kInt8
                                  : a.call.products[at.part].w.form;
}

template <Forms kForms>
MLA_DEVICE WeightRow WeightsOf(const MatVecArgs& a, const ProductRow& at) {
  WeightRow row = FindWeights(a.call.products[at.part].w, FormOf<kForms>(a, at),
                              static_cast<int>(a.call.cols), at.row);
  if (!at.there) row.values = nullptr;
  return row;
}

// A tile's weights to the second-level cache, a row by the first of its lanes.
template <Forms kForms>
MLA_DEVICE void PrefetchTile(const MatVecArgs& a, int lane_bits, int tile) {
  const ProductRow at = FindRow(a, lane_bits, tile);
  if (!at.there || (Lane() & ((1 << lane_bits) - 1)) != 0) return;
  const WeightRow row = WeightsOf<kForms>(a, at);
  const int cols = static_cast<int>(a.call.cols);
  Prefetch(row.values, ValueBytesOfRow(FormOf<kForms>(a, at), cols));
  if (kForms != Forms::kAny) {
    Prefetch(reinterpret_cast<const uint8_t*>(row.scales),
             static_cast<int>(GpuScaleWords(FormOf<kForms>(a, at), cols)) * 4);
  }
}

// Where a lane's result goes, if it has any, and what is added to it.
struct Result {
  float* out = nullptr;
  float add = 0.0f, bias = 0.0f;
};

// Lane i has the results of row i of the input; of a gate and its up-projection, the gate's.
MLA_DEVICE Result ResultOf(const MatVecArgs& a, const ProductRow& at, int lane) {
  Result result;
  if (!at.there || lane >= a.call.n) return result;
  const GpuProduct& product = a.call.products[at.part];
  if (product.bias != nullptr) result.bias = product.bias[at.row];
  if (a.call.gated && at.part > 0) return result;
  result.out = product.out + lane * product.out_stride + at.row;
  if (product.add) result.add = *result.out;
  return result;
}

// Warps walk the rows of all products together. As soon as a quad of weights is multiplied the one
// a stage later is asked for; the first ones, and what the cache is to have, are on their way while
// earlier launches end. A row's result does not depend on the others, nor on the grid. kLaneBits:
// the arguments', known when it is compiled, or 0.
template <int kN, Forms kForms, int kLaneBits>
MLA_KERNEL_OF(kMostThreads, kN == 1 && kForms != Forms::kAny ? 2 : 1)
void MatVec(const MatVecArgs a) {
  uint8_t* shared = SharedMemory();
  const int cols = static_cast<int>(a.call.cols);
  const int lane_bits = kLaneBits > 0 ? kLaneBits : a.lane_bits;
  const int lanes = 1 << lane_bits, lane = Lane() & (lanes - 1);
  // Neighbours in different blocks, so that what is left at the end is every processor's.
  const int warps = GridX() * (BlockThreads() / kWarp);
  int tile = WarpIndex() * GridX() + BlockX();
  // Not at once: what the next one asks of memory is to come when this one asks for no more.
  const auto let_later_start = [&](int at) {
    const int of_first_warp = at - WarpIndex() * GridX();
    if (of_first_warp + a.early * warps >= a.tiles) LetLaterStart();
  };
  let_later_start(tile);
  ProductRow row = FindRow(a, lane_bits, tile);
  WeightRow weights = WeightsOf<kForms>(a, row);
  Stage stage = {};
  {
    const GpuForm form = FormOf<kForms>(a, row);
    LoadStage(form, StageOf(form, weights, UnitsOf(form, cols), lane), lanes, &stage);
  }
  for (int i = 0; i < a.ahead; ++i) PrefetchTile<kForms>(a, lane_bits, tile + i * warps);
  const bool whole = IsWhole<kN>(a.call.input, cols);
  FirstFours fours = {};
  LoadAhead(a.call.input, cols, whole, &fours);
  WaitForEarlier();
  LoadFours(a.call.input.x, ThreadIndex(), cols, whole, fours.x);
  Result result = ResultOf(a, row, lane);
  PrepareInput<kN>(a.call.input, a.call.n, cols, whole, kForms != Forms::kAny || a.integers,
                   kForms == Forms::kAny && a.floats, shared, a.places, fours);
  const float factor =
      lane < a.call.n ? FactorOf(a.call.input, lane, cols, shared, a.places) : 1.0f;
  const PreparedInput input = {shared + a.places.integers,
                               reinterpret_cast<const InputGroup*>(shared + a.places.groups),
                               reinterpret_cast<const float*>(shared + a.places.floats)};
  for (; tile < a.tiles; tile += warps) {
    const ProductRow now = row;
    let_later_start(tile);
    const GpuForm form = FormOf<kForms>(a, now);
    const int form_units = UnitsOf(form, cols);
    float sums[kN] = {};
    for (int s = 0; s < a.stages; ++s) {
      const bool last = s + 1 == a.stages;
      if (last) {
        GoOn(a, lane_bits, tile + warps, warps << (5 - lane_bits), &row);
        weights = WeightsOf<kForms>(a, row);
      }
      const GpuForm next_form = FormOf<kForms>(a, row);
      const WeightStage next = StageOf(next_form, weights, UnitsOf(next_form, cols),
                                       FirstUnit(next_form, lane, lanes, last ? 0 : s + 1));
      const InputStage x = StageOf(input, form_units, FirstUnit(form, lane, lanes, s), lane);
      MLA_UNROLL
      for (int i = 0; i < kStageQuads; ++i) {
        AddQuadOf<kN>(form, stage, x, lanes, i, sums);
        LoadQuadOf(next_form, next, lanes, i, &stage);
      }
    }
    SyncWarp();
    float sum = 0.0f;
    MLA_UNROLL
    for (int i = 0; i < kN; ++i) {
      const float of_row = SumOver(sums[i], lanes);
      if (lane == i) sum = of_row;
    }
    float value = result.add + sum * factor + result.bias;
    if (a.call.gated) {
      const float up = ShuffleXor(value, lanes);
      value = value / (1.0f + Exp(-value)) * up;
    }
    if (result.out != nullptr) *result.out = value;
    result = ResultOf(a, row, lane);
  }
}

// Eight floats of a row, from a multiple of eight on.
MLA_DEVICE void LoadEight(const GpuMatrix& w, int64_t row, int64_t eighth, float (&to)[8]) {
  const int64_t at = row * GpuPaddedCols(w.cols) + eighth * 8;
  Quad quad = {};
  if (w.form != GpuForm::kF32) {
    LoadWeights(true, w.values + at * 2, &quad);
    return WidenEight(w.form, quad, to);
  }
  MLA_UNROLL
  for (int half = 0; half < 2; ++half) {
    LoadWeights(true, w.values + (at + half * 4) * 4, &quad);
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) to[half * 4 + i] = FloatOfBits(quad.word[i]);
  }
}

MLA_KERNEL void Lookup(const GpuLookup a) {
  LetLaterStart();
  WaitForEarlier();
  const int64_t row = a.rows[BlockY()], groups = a.w.cols / kGpuGroup;
  float* out = a.out + BlockY() * a.w.cols;
  const int64_t eighths = GpuPaddedCols(a.w.cols) / 8;
  for (int64_t e = BlockX() * BlockThreads() + ThreadIndex(); e < eighths;
       e += GridX() * BlockThreads()) {
    float eight[8];
    if (!a.w.quantized()) {
      LoadEight(a.w, row, e, eight);
    } else {
      const int64_t g = e / 4, part = e % 4;  // eight elements of the group's 32
      const uint32_t* words = a.w.scales + row * GpuScaleWords(a.w.form, a.w.cols) + g;
      const uint32_t numbers = words[0];
      for (int i = 0; i < 8; ++i) {
        if (a.w.form != GpuForm::kInt8) {
          const uint8_t byte = a.w.values[(row * groups + g) * 16 + part * 4 + i % 4];
          const float scale = HalfToFloat(static_cast<uint16_t>(numbers));
          const float minimum = HalfToFloat(static_cast<uint16_t>(numbers >> 16));
          int field = byte >> (i / 4 * 4) & 15;
          if (a.w.form == GpuForm::kInt5) {
            field |= static_cast<int>(words[groups] >> (i % 4 * 8 + part * 2 + i / 4) & 1) << 4;
          }
          eight[i] = scale * static_cast<float>(field) + minimum;
        } else {
          const int64_t half = part / 2;
          const auto* bytes =
              reinterpret_cast<const int8_t*>(a.w.values + ((row * 2 + half) * groups + g) * 16);
          const float scale = HalfToFloat(static_cast<uint16_t>(numbers >> (16 * half)));
          eight[i] = scale * static_cast<float>(bytes[part % 2 * 8 + i]);
        }
      }
    }
    for (int i = 0; i < 8 && e * 8 + i < a.w.cols; ++i) out[e * 8 + i] = eight[i];
  }
}

constexpr int kHeadThreads = 128;

struct HeadProductArgs {
  GpuHeadProduct call;
  int32_t lane_bits;  // 2^lane_bits lanes share a row
  int32_t stages;
};

// A block has a KV head and some of its rows; its columns are the head's rows of all queries,
// kColumns at a time.
template <int kColumns>
MLA_KERNEL_OF(kHeadThreads, 2)
void HeadProduct(const HeadProductArgs args) {
  const GpuHeadProduct& a = args.call;
  LetLaterStart();
  uint8_t* shared = SharedMemory();
  const int cols = static_cast<int>(a.w.cols), padded = static_cast<int>(GpuPaddedCols(cols));
  const int rows = static_cast<int>(a.w.rows) / a.kv_heads;
  const int g = BlockY(), columns = a.group * a.n;
  const int lanes = 1 << args.lane_bits, lane = Lane() & (lanes - 1);
  const int at_once = kWarp >> args.lane_bits, warps = GridX() * (kHeadThreads / kWarp);
  const int first = (WarpIndex() * GridX() + BlockX()) * at_once;
  const int units = UnitsOf(a.w.form, cols);
  const auto weights_of = [&](int row) {
    WeightRow weights = FindWeights(a.w, a.w.form, cols, g * rows + row);
    if (row >= rows) weights.values = nullptr;
    return weights;
  };
  WeightRow weights = weights_of(first + (Lane() >> args.lane_bits));
  Stage stage = {};
  LoadStage(a.w.form, StageOf(a.w.form, weights, units, lane), lanes, &stage);
  bool loaded = true;
  WaitForEarlier();
  const PreparedInput input = {nullptr, nullptr, reinterpret_cast<const float*>(shared)};
  for (int begin = 0; begin < columns; begin += kColumns) {
    if (begin > 0) SyncBlock();  // x may be in use
    for (int j = ThreadIndex(); j < kColumns * padded / 4; j += kHeadThreads) {
      const int i = j / (padded / 4), c = j % (padded / 4) * 4, column = begin + i;
      float four[4] = {};
      if (column < columns) {
        const int head = g * a.group + column % a.group;
        const float* row = a.x + column / a.group * a.x_stride + head * a.x_head_stride;
        LoadFour(row, c, cols, IsWhole(row, cols), four);
      }
      StoreFour(four, reinterpret_cast<float*>(shared) + i * padded + c);
    }
    SyncBlock();
    for (int tile = first; tile < rows; tile += warps * at_once) {
      const int row = tile + (Lane() >> args.lane_bits);
      if (!loaded) weights = weights_of(row);
      float sums[kColumns] = {};
      for (int s = 0; s < args.stages; ++s) {
        const int unit = FirstUnit(a.w.form, lane, lanes, s);
        if (!loaded) LoadStage(a.w.form, StageOf(a.w.form, weights, units, unit), lanes, &stage);
        loaded = false;
        const InputStage x = StageOf(input, units, unit, lane);
        MLA_UNROLL
        for (int i = 0; i < kStageQuads; ++i) {
          AddQuadOf<kColumns>(a.w.form, stage, x, lanes, i, sums);
        }
      }
      float sum = 0.0f;
      MLA_UNROLL
      for (int i = 0; i < kColumns; ++i) {
        const float of_column = SumOver(sums[i], lanes);
        if (lane == i) sum = of_column;
      }
      const int column = begin + lane;
      if (row >= rows || lane >= kColumns || column >= columns) continue;
      const int head = g * a.group + column % a.group;
      a.out[column / a.group * a.out_stride + head * a.out_head_stride + row] = sum;
    }
  }
}

int64_t Groups(int64_t count, int64_t each) { return (count + each - 1) / each; }

// No fewer lanes than rows of the input: each writes one.
constexpr int kLeastLaneBits = 3;
static_assert(1 << kLeastLaneBits == GpuMatVec::kMostRows);

// Lanes to a row of so many units: as many as it employs, but where rows are many enough, fewer, of
// which a lesser share idles.
int LaneBitsOf(int64_t units, int64_t rows, int most_bits, int processors) {
  int most = kLeastLaneBits;
  while (most < most_bits && int64_t{1} << most < units) ++most;
  const auto spent = [units](int bits) { return Groups(units, int64_t{1} << bits) << bits; };
  int best = most;
  for (int bits = most - 1; bits >= kLeastLaneBits; --bits) {
    constexpr int kLeastThreads = 128;  // a processor
    const bool enough = rows << bits >= int64_t{kLeastThreads} * processors;
    if (enough && spent(bits) * 10 <= spent(best) * 9) best = bits;
  }
  return best;
}

// The widest form's.
int StagesOf(const GpuMatrix& w, int lane_bits) {
  return static_cast<int>(
      Groups(UnitsOf(w.form, static_cast<int>(w.cols)), StageUnits(w.form) << lane_bits));
}

// Rows of the input that a launch takes: no more than shared memory holds.
int RowsAtOnce(const MatVecArgs& a, int threads, int shared_bytes) {
  int n = a.call.n > 4 ? 8 : a.call.n > 2 ? 4 : a.call.n;
  while (n > 1 && PlaceInput(n, a.call.cols, a.integers, a.floats, threads).bytes > shared_bytes) {
    n /= 2;
  }
  return n;
}

// Of a processor's memory traffic: what a launch brings into the second-level cache while the one
// before ends, and what is left of it when the next one may do so.
constexpr int64_t kAheadBytes = 64 << 10;
constexpr int64_t kEarlyBytes = 64 << 10;

using MatVecKernel = void (*)(MatVecArgs);

// Of one row the commonest forms have kernels that know how many lanes share one.
template <Forms kForms>
MatVecKernel KernelOf(int rows, int lane_bits) {
  if constexpr (kForms != Forms::kAny) {
    if (rows == 1) {
      return lane_bits == 3   ? MatVec<1, kForms, 3>
             : lane_bits == 4 ? MatVec<1, kForms, 4>
                              : MatVec<1, kForms, 5>;
    }
  }
  return rows == 1   ? MatVec<1, Forms::kAny, 0>
         : rows == 2 ? MatVec<2, kForms, 0>
         : rows == 4 ? MatVec<4, kForms, 0>
                     : MatVec<8, kForms, 0>;
}

MatVecKernel KernelOf(const MatVecArgs& a, int rows) {
  const auto all = [&](GpuForm form) {
    return std::all_of(a.call.products, a.call.products + a.call.count,
                       [form](const GpuProduct& product) { return product.w.form == form; });
  };
  return all(GpuForm::kInt4)   ? KernelOf<Forms::kInt4>(rows, a.lane_bits)
         : all(GpuForm::kInt5) ? KernelOf<Forms::kInt5>(rows, a.lane_bits)
         : all(GpuForm::kInt8) ? KernelOf<Forms::kInt8>(rows, a.lane_bits)
                               : KernelOf<Forms::kAny>(rows, a.lane_bits);
}

}  // namespace

void Launch(GpuStream& stream, const GpuMatVec& call) {
  MatVecArgs args = {};
  args.call = call;
  int64_t bytes = 0;
  for (int32_t i = 0; i < call.count; ++i) {
    const GpuMatrix& w = call.products[i].w;
    args.rows += static_cast<int32_t>(w.rows);
    bytes += GpuValueBytes(w.form, w.rows, w.cols) + GpuScaleBytes(w.form, w.rows, w.cols);
    (w.quantized() ? args.integers : args.floats) = true;
  }
  // A gate's row and its up's are neighbours in a warp.
  args.lane_bits = LaneBitsOf(args.integers ? call.cols / kGpuGroup : Groups(call.cols, 8),
                              args.rows, call.gated ? 4 : 5, stream.processors());
  for (int32_t i = 0; i < call.count; ++i) {
    args.stages = std::max(args.stages, StagesOf(call.products[i].w, args.lane_bits));
  }
  args.tiles = static_cast<int32_t>(Groups(args.rows, kWarp >> args.lane_bits));
  // Every block prepares the input: few large ones, but one for every processor.
  const bool large = args.tiles >= stream.processors() * (kMostThreads / kWarp);
  const int threads = large ? kMostThreads : 256;
  const int64_t warps = threads / kWarp;
  // Two blocks a processor: a 7B model decodes 1.17 times as fast on an H200 as with one, beside
  // which the next launch's would find room.
  const Grid grid = {
      static_cast<int>(std::min<int64_t>(Groups(args.tiles, warps), 2 * stream.processors()))};
  // So much a processor is what comes from memory while the input is prepared.
  constexpr int kLeastRow = 1024;  // bytes that are worth it
  const int64_t row = bytes / args.rows;
  const int64_t round = std::max<int64_t>((row << (5 - args.lane_bits)) * warps, 1);
  args.ahead = row < kLeastRow ? 0 : static_cast<int32_t>(kAheadBytes / round);
  args.early = static_cast<int32_t>(std::max<int64_t>(kEarlyBytes / round, 1));
  const int at_once = RowsAtOnce(args, threads, stream.shared_bytes());
  args.places = PlaceInput(at_once, call.cols, args.integers, args.floats, threads);
  const auto kernel = KernelOf(args, at_once);
  for (int32_t first = 0; first < call.n; first += at_once) {
    MatVecArgs part = args;
    part.call.n = std::min(at_once, call.n - first);
    part.call.input.x += first * call.input.stride;
    if (call.input.kind == GpuInput::Kind::kSwiGlu) part.call.input.by += first * call.input.stride;
    for (int32_t i = 0; i < call.count; ++i) {
      part.call.products[i].out += first * call.products[i].out_stride;
    }
    Launch(stream, grid, threads, args.places.bytes, kernel, part);
  }
}

void Launch(GpuStream& stream, const GpuLookup& args) {
  const int blocks = static_cast<int>(Groups(GpuPaddedCols(args.w.cols) / 8, kBlockThreads));
  Launch(stream, {blocks, args.n}, kBlockThreads, 0, Lookup, args);
}

void Launch(GpuStream& stream, const GpuHeadProduct& call) {
  HeadProductArgs args = {call, kLeastLaneBits, 0};
  const int64_t rows = call.w.rows / call.kv_heads;
  while (args.lane_bits < 5 && 1 << args.lane_bits < Groups(call.w.cols, 8)) ++args.lane_bits;
  args.stages = StagesOf(call.w, args.lane_bits);
  const int64_t rows_a_block = kHeadThreads >> args.lane_bits;
  const int64_t blocks =
      std::min(Groups(rows, rows_a_block), Groups(4 * stream.processors(), call.kv_heads));
  const Grid grid = {static_cast<int>(blocks), call.kv_heads};
  const int columns = call.group * call.n;
  const auto launch = [&](auto* kernel, int at_once) {
    const int shared = static_cast<int>(at_once * GpuPaddedCols(call.w.cols) * 4);
    Launch(stream, grid, kHeadThreads, shared, kernel, args);
  };
  if (columns == 1) {
    launch(&HeadProduct<1>, 1);
  } else if (columns <= 4) {
    launch(HeadProduct<4>, 4);
  } else {
    launch(HeadProduct<8>, 8);
  }
}

}  // namespace mla::MLA_GPU
