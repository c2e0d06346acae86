#include <algorithm>

#include "cuda/simt.h"
#include "kernels/matmul/gpu.h"
#include "kernels/matmul/gpu_input.h"

namespace mla::MLA_GPU {
namespace {

// Eight floats of a row, from a multiple of eight on.
MLA_DEVICE void LoadEight(const GpuMatrix& w, int64_t row, int64_t eighth, float (&to)[8]) {
  const int64_t at = row * GpuPaddedCols(w.cols) + eighth * 8;
  if (w.form == GpuForm::kF32) {
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Quad quad = LoadQuad(w.values + (at + half * 4) * 4);
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) to[half * 4 + i] = FloatOfBits(quad.word[i]);
    }
    return;
  }
  const Quad quad = LoadQuad(w.values + at * 2);
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint16_t low = static_cast<uint16_t>(quad.word[i]);
    const uint16_t high = static_cast<uint16_t>(quad.word[i] >> 16);
    const bool half = w.form == GpuForm::kF16;
    to[2 * i] = half ? HalfToFloat(low) : Bfloat16ToFloat(low);
    to[2 * i + 1] = half ? HalfToFloat(high) : Bfloat16ToFloat(high);
  }
}

// A lane's share of w[row] · x[i], i < kN: every `lanes`-th eight from `lane` on.
template <int kN>
MLA_DEVICE void DotFloats(const GpuMatrix& w, int64_t row, const float* x, int lane, int lanes,
                          float (&sums)[kN]) {
  const int64_t padded = GpuPaddedCols(w.cols);
  for (int64_t e = lane; e < padded / 8; e += lanes) {
    float weights[8];
    LoadEight(w, row, e, weights);
    MLA_UNROLL
    for (int i = 0; i < kN; ++i) {
      const float* at = x + i * padded + e * 8;
      MLA_UNROLL
      for (int j = 0; j < 8; ++j) sums[i] += weights[j] * at[j];
    }
  }
}

// The integers of 16 elements of a row of input: one plane of a group.
MLA_DEVICE Quad InputQuad(const uint8_t* planes, int plane, int64_t groups, int64_t group) {
  return *reinterpret_cast<const Quad*>(planes + (plane * groups + group) * 16);
}

MLA_DEVICE int Word(const Quad& quad, int i) { return static_cast<int>(quad.word[i]); }

// A lane's share of w[row] · x[i]: every `lanes`-th group from `lane` on.
template <int kN>
MLA_DEVICE void DotInt4(const GpuMatrix& w, int64_t row, const uint8_t* shared,
                        const InputPlaces& p, int lane, int lanes, float (&sums)[kN]) {
  const int64_t groups = w.cols / kGpuGroup;
  for (int64_t g = lane; g < groups; g += lanes) {
    const Quad fields = LoadQuad(w.values + (row * groups + g) * 16);
    const uint32_t numbers = w.scales[row * groups + g];
    const float scale = HalfToFloat(static_cast<uint16_t>(numbers));
    const float minimum = HalfToFloat(static_cast<uint16_t>(numbers >> 16));
    MLA_UNROLL
    for (int i = 0; i < kN; ++i) {
      const uint8_t* planes = shared + p.integers + i * groups * 64;
      int high = 0, low = 0;
      MLA_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Quad x_high = InputQuad(planes, half, groups, g);
        const Quad x_low = InputQuad(planes, 2 + half, groups, g);
        MLA_UNROLL
        for (int j = 0; j < 2; ++j) {
          const uint32_t word = fields.word[half * 2 + j];
          const int first = static_cast<int>(word & 0x0f0f0f0fu);
          const int second = static_cast<int>(word >> 4 & 0x0f0f0f0fu);
          high = Dot4(second, Word(x_high, 2 * j + 1), Dot4(first, Word(x_high, 2 * j), high));
          low = Dot4(second, Word(x_low, 2 * j + 1), Dot4(first, Word(x_low, 2 * j), low));
        }
      }
      const float* scales = reinterpret_cast<const float*>(shared + p.scales) + i * groups;
      const float* group_sums = reinterpret_cast<const float*>(shared + p.sums) + i * groups;
      sums[i] += scale * scales[g] * static_cast<float>(high * 128 + low) + minimum * group_sums[g];
    }
  }
}

template <int kN>
MLA_DEVICE void DotInt8(const GpuMatrix& w, int64_t row, const uint8_t* shared,
                        const InputPlaces& p, int lane, int lanes, float (&sums)[kN]) {
  const int64_t groups = w.cols / kGpuGroup;
  for (int64_t g = lane; g < groups; g += lanes) {
    const uint32_t numbers = w.scales[row * groups + g];
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Quad weights = LoadQuad(w.values + ((row * 2 + half) * groups + g) * 16);
      const float scale = HalfToFloat(static_cast<uint16_t>(numbers >> (16 * half)));
      MLA_UNROLL
      for (int i = 0; i < kN; ++i) {
        const uint8_t* planes = shared + p.integers + i * groups * 64;
        const Quad x_high = InputQuad(planes, half, groups, g);
        const Quad x_low = InputQuad(planes, 2 + half, groups, g);
        int high = 0, low = 0;
        MLA_UNROLL
        for (int j = 0; j < 4; ++j) {
          high = Dot4(Word(weights, j), Word(x_high, j), high);
          low = Dot4(Word(weights, j), Word(x_low, j), low);
        }
        const float* scales = reinterpret_cast<const float*>(shared + p.scales) + i * groups;
        sums[i] += scale * scales[g] * static_cast<float>(high * 128 + low);
      }
    }
  }
}

struct MatVecArgs {
  GpuMatVec call;
  InputPlaces places;
  int32_t lanes;          // that share a row
  int64_t rows;           // of all products
  bool integers, floats;  // what the products need
};

// Neighbouring lanes share a row; rows of all products are one sequence, which the warps of the
// grid walk together.
template <int kN>
MLA_KERNEL void MatVec(const MatVecArgs a) {
  WaitForEarlier();
  LetLaterStart();
  uint8_t* shared = SharedMemory();
  PrepareInput<kN>(a.call.input, a.call.n, a.call.cols, a.integers, a.floats, shared, a.places);
  const int lane = Lane() % a.lanes, at_once = kWarp / a.lanes;
  const int64_t warps = int64_t{GridX()} * (BlockThreads() / kWarp);
  const int64_t warp = int64_t{BlockX()} * (BlockThreads() / kWarp) + WarpIndex();
  for (int64_t first = warp * at_once; first < a.rows; first += warps * at_once) {
    int64_t row = first + Lane() / a.lanes;
    const bool there = row < a.rows;
    int part = 0;
    while (there && row >= a.call.products[part].w.rows) row -= a.call.products[part++].w.rows;
    const GpuProduct& product = a.call.products[part];
    float sums[kN] = {};
    if (there) {
      if (product.w.form == GpuForm::kInt4) {
        DotInt4<kN>(product.w, row, shared, a.places, lane, a.lanes, sums);
      } else if (product.w.form == GpuForm::kInt8) {
        DotInt8<kN>(product.w, row, shared, a.places, lane, a.lanes, sums);
      } else {
        DotFloats<kN>(product.w, row, reinterpret_cast<const float*>(shared + a.places.floats),
                      lane, a.lanes, sums);
      }
    }
    SyncWarp();
    MLA_UNROLL
    for (int i = 0; i < kN; ++i) sums[i] = SumOver(sums[i], a.lanes);
    if (!there || lane != 0) continue;
    const float bias = product.bias == nullptr ? 0.0f : product.bias[row];
    MLA_UNROLL
    for (int i = 0; i < kN; ++i) {
      if (i >= a.call.n) break;
      float* out = product.out + i * product.out_stride + row;
      *out = (product.add ? *out : 0.0f) + sums[i] + bias;
    }
  }
}

MLA_KERNEL void Lookup(const GpuLookup a) {
  WaitForEarlier();
  LetLaterStart();
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
      const uint32_t numbers = a.w.scales[row * groups + g];
      for (int i = 0; i < 8; ++i) {
        if (a.w.form == GpuForm::kInt4) {
          const uint8_t byte = a.w.values[(row * groups + g) * 16 + part * 4 + i % 4];
          const float scale = HalfToFloat(static_cast<uint16_t>(numbers));
          const float minimum = HalfToFloat(static_cast<uint16_t>(numbers >> 16));
          eight[i] = scale * static_cast<float>(byte >> (i / 4 * 4) & 15) + minimum;
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

// Columns of a KV head's product that a block holds at a time.
constexpr int kHeadColumns = 8;

// A block has a KV head and some of its rows; its columns are the head's rows of all queries.
MLA_KERNEL void HeadProduct(const GpuHeadProduct a) {
  WaitForEarlier();
  LetLaterStart();
  float* x = reinterpret_cast<float*>(SharedMemory());
  const int64_t rows = a.w.rows / a.kv_heads, padded = GpuPaddedCols(a.w.cols);
  const int g = BlockY(), columns = a.group * a.n;
  for (int begin = 0; begin < columns; begin += kHeadColumns) {
    SyncBlock();  // x may be in use
    for (int64_t j = ThreadIndex(); j < kHeadColumns * padded; j += BlockThreads()) {
      const int column = begin + static_cast<int>(j / padded);
      const int64_t c = j % padded, head = g * a.group + column % a.group;
      const bool there = column < columns && c < a.w.cols;
      x[j] = there ? a.x[column / a.group * a.x_stride + head * a.x_head_stride + c] : 0.0f;
    }
    SyncBlock();
    for (int64_t r = BlockX() * (BlockThreads() / kWarp) + WarpIndex(); r < rows;
         r += int64_t{GridX()} * (BlockThreads() / kWarp)) {
      float sums[kHeadColumns] = {};
      DotFloats<kHeadColumns>(a.w, g * rows + r, x, Lane(), kWarp, sums);
      SyncWarp();
      MLA_UNROLL
      for (int i = 0; i < kHeadColumns; ++i) {
        const float sum = SumOver(sums[i], kWarp);
        const int column = begin + i;
        if (Lane() != 0 || column >= columns) continue;
        const int64_t head = g * a.group + column % a.group;
        a.out[column / a.group * a.out_stride + head * a.out_head_stride + r] = sum;
      }
    }
  }
}

int64_t Groups(int64_t count, int64_t each) { return (count + each - 1) / each; }

// As many lanes to a row as its groups employ.
int LanesOf(int64_t cols) {
  const int64_t pieces = Groups(cols, kGpuGroup);
  int lanes = 4;
  while (lanes < kWarp && lanes < pieces) lanes *= 2;
  return lanes;
}

// Rows of the input that a launch takes: no more than shared memory holds.
int RowsAtOnce(const MatVecArgs& a, int shared_bytes) {
  int n = a.call.n > 4 ? 8 : a.call.n > 2 ? 4 : a.call.n;
  while (n > 1 && PlaceInput(n, a.call.cols, a.integers, a.floats).bytes > shared_bytes) n /= 2;
  return n;
}

}  // namespace

void Launch(GpuStream& stream, const GpuMatVec& call) {
  MatVecArgs args = {call, {}, LanesOf(call.cols), 0, false, false};
  for (int32_t i = 0; i < call.count; ++i) {
    args.rows += call.products[i].w.rows;
    (call.products[i].w.quantized() ? args.integers : args.floats) = true;
  }
  const int at_once = RowsAtOnce(args, stream.shared_bytes());
  args.places = PlaceInput(at_once, call.cols, args.integers, args.floats);
  const int64_t rows_a_block = kBlockThreads / args.lanes;
  // Two blocks a processor: one prepares its input while the other one multiplies.
  const Grid grid = {static_cast<int>(
      std::min<int64_t>(Groups(args.rows, rows_a_block), 2 * stream.processors()))};
  const int shared = static_cast<int>(args.places.bytes);
  for (int32_t first = 0; first < call.n; first += at_once) {
    MatVecArgs part = args;
    part.call.n = std::min(at_once, call.n - first);
    part.call.input.x += first * call.input.stride;
    if (call.input.kind == GpuInput::Kind::kSwiGlu) part.call.input.by += first * call.input.stride;
    for (int32_t i = 0; i < call.count; ++i) {
      part.call.products[i].out += first * call.products[i].out_stride;
    }
    switch (at_once) {
      case 1:
        Launch(stream, grid, kBlockThreads, shared, MatVec<1>, part);
        break;
      case 2:
        Launch(stream, grid, kBlockThreads, shared, MatVec<2>, part);
        break;
      case 4:
        Launch(stream, grid, kBlockThreads, shared, MatVec<4>, part);
        break;
      default:
        Launch(stream, grid, kBlockThreads, shared, MatVec<8>, part);
        break;
    }
  }
}

void Launch(GpuStream& stream, const GpuLookup& args) {
  const int blocks = static_cast<int>(Groups(GpuPaddedCols(args.w.cols) / 8, kBlockThreads));
  Launch(stream, {blocks, args.n}, kBlockThreads, 0, Lookup, args);
}

void Launch(GpuStream& stream, const GpuHeadProduct& args) {
  const int64_t rows = args.w.rows / args.kv_heads;
  const int64_t blocks =
      std::min(Groups(rows, kBlockThreads / kWarp), Groups(4 * stream.processors(), args.kv_heads));
  const int shared = static_cast<int>(kHeadColumns * GpuPaddedCols(args.w.cols) * 4);
  Launch(stream, {static_cast<int>(blocks), args.kv_heads}, kBlockThreads, shared, HeadProduct,
         args);
}

}  // namespace mla::MLA_GPU
