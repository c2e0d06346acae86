// Decode (one row of activations) in bytes of weights a second, beside what plain reading reaches
// on the machine, steps of 16 sessions and prompts (512 rows) in multiply-adds a second. Shapes are
// SmolLM2-135M's.
// MLA_ISA chooses the implementation.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/matmul/matmul.h"
#include "kernels/roofline/roofline.h"
#include "tensor/aligned_buffer.h"
#include "tensor/convert.h"
#include "tensor/large_pages.h"

namespace mla {
namespace {

constexpr int64_t kFarBytes = 192 << 20;  // more than any cache holds
constexpr int64_t kSessions = 16;         // of a step of several

struct Shape {
  const char* name;
  int64_t rows, cols;
};
constexpr Shape kShapes[] = {{"attn_q 576x576", 576, 576},
                             {"attn_k 192x576", 192, 576},
                             {"ffn_up 1536x576", 1536, 576},
                             {"ffn_down 576x1536", 576, 1536},
                             {"output 49152x576", 49152, 576}};

std::vector<float> RandomReals(int64_t count) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(random);
  return values;
}

// With outliers where SmolLM2's are: in an eighth of the blocks of every row, the same ones, and in
// a twentieth of the others, so that 28 % of four rows' blocks have one.
std::vector<float> RandomActivations(int64_t rows, int64_t cols) {
  std::vector<float> values = RandomReals(rows * cols);
  std::mt19937 random(4);
  for (int64_t block = 0; block < rows * cols / 32; ++block) {
    const uint32_t number = static_cast<uint32_t>(random());
    if (block % (cols / 32) % 8 == 5 || number % 20 == 0) {
      values[static_cast<size_t>(32 * block + number / 20 % 32)] = 12.0f;
    }
  }
  return values;
}

// Copies of one matrix side by side, so that every pass reads weights that no cache holds: as a
// decoder's step does, and packed into panels as its weights are (graph/packed_weights.h).
struct Weights {
  std::vector<uint8_t> rows;
  std::unique_ptr<uint8_t, decltype(&std::free)> panels{nullptr, &std::free};
};

const Weights& WeightsOf(Type type, int64_t rows, int64_t cols, int64_t bytes) {
  static Weights weights;
  static Type held_type;
  static int64_t held_rows = 0, held_cols = 0, held_bytes = 0;
  if (held_rows == rows && held_cols == cols && held_type == type && held_bytes == bytes) {
    return weights;
  }
  const int64_t row = RowBytes(type, cols);
  const std::vector<float> reals = RandomReals(cols);
  std::vector<uint8_t> one(static_cast<size_t>(row));
  QuantizeRow(type, reals.data(), one.data(), cols);
  const int64_t copies = std::max<int64_t>(1, bytes / (row * rows));
  weights.rows.resize(static_cast<size_t>(copies * rows * row));
  for (int64_t r = 0; r < copies * rows; ++r) {
    std::memcpy(&weights.rows[static_cast<size_t>(r * row)], one.data(), one.size());
  }
  weights.panels.reset();
  const Matrix all{type, weights.rows.data(), copies * rows, cols};
  if (PanelRows(all) == copies * rows) {
    constexpr size_t kHugePage = 2 << 20;
    const size_t size = (weights.rows.size() + kHugePage - 1) / kHugePage * kHugePage;
    weights.panels.reset(static_cast<uint8_t*>(std::aligned_alloc(kHugePage, size)));
    PreferLargePages(weights.panels.get(), static_cast<int64_t>(size));
    PackPanels(all, 0, copies * rows, weights.panels.get());
  }
  held_type = type, held_rows = rows, held_cols = cols, held_bytes = bytes;
  return weights;
}

void BM_Matmul(benchmark::State& state, Type type, Shape shape, int64_t n) {
  const int threads = state.threads(), member = state.thread_index();
  static std::vector<float> x, y;
  static std::vector<uint8_t> prepared;
  static const Weights* weights;
  if (member == 0) {
    weights = &WeightsOf(type, shape.rows, shape.cols, n <= kSessions ? kFarBytes : 0);
    x = RandomActivations(n, shape.cols);
    y.assign(static_cast<size_t>(n * shape.rows), 0);
    prepared.resize(
        static_cast<size_t>(ActivationBytes(FormFor(type, Activations::kMixed), n, shape.cols)) +
        64);
  }
  Matrix w{type, nullptr, shape.rows, shape.cols};
  const int64_t grains = shape.rows / kMatmulRowGrain;
  const int64_t begin = grains * member / threads * kMatmulRowGrain;
  const int64_t end = grains * (member + 1) / threads * kMatmulRowGrain;
  int64_t copy = 0;
  for (auto _ : state) {
    const int64_t bytes = RowBytes(type, shape.cols) * shape.rows;
    const int64_t copies = static_cast<int64_t>(weights->rows.size()) / bytes;
    void* at = prepared.data() + (64 - reinterpret_cast<uintptr_t>(prepared.data()) % 64) % 64;
    if (member == 0 && copy == 0) {
      PrepareActivations(FormFor(type, Activations::kMixed), x.data(), shape.cols, n, shape.cols,
                         at, 0, n);
    }
    w.data = weights->rows.data() + copy * bytes;
    if (weights->panels) w.panels = weights->panels.get() + copy * bytes;
    copy = (copy + 1) % copies;
    Matmul({w, at, n, y.data(), shape.rows, nullptr, false}, begin, end);
    benchmark::ClobberMemory();
  }
  const double passes = static_cast<double>(state.iterations()) / threads;
  const double products = static_cast<double>(shape.rows * shape.cols * n);
  state.counters["GB/s"] = benchmark::Counter(
      passes * static_cast<double>(RowBytes(type, shape.cols) * shape.rows) / 1e9,
      benchmark::Counter::kIsRate);
  state.counters["GMAC/s"] =
      benchmark::Counter(passes * products / 1e9, benchmark::Counter::kIsRate);
}

void BM_Prepare(benchmark::State& state, int64_t n, int64_t cols) {
  const std::vector<float> x = RandomActivations(n, cols);
  const ActivationForm form = ActivationForm::kMixedBlocks32;
  std::vector<uint8_t> bytes(static_cast<size_t>(ActivationBytes(form, n, cols)) + 64);
  void* at = bytes.data() + (64 - reinterpret_cast<uintptr_t>(bytes.data()) % 64) % 64;
  for (auto _ : state) {
    PrepareActivations(form, x.data(), cols, n, cols, at, 0, n);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * n * cols);
}

// The roofline of decoding.
void BM_Read(benchmark::State& state) {
  static AlignedBuffer memory;
  if (state.thread_index() == 0) {
    memory = AlignedBuffer(kFarBytes);
    std::memset(memory.data(), 1, kFarBytes);
  }
  const RooflineKernels& kernels = GetRooflineKernels(ChosenIsa().isa);
  const int64_t part = kFarBytes / state.threads() / kReadGrain * kReadGrain;
  for (auto _ : state) {
    benchmark::DoNotOptimize(kernels.read(memory.data() + part * state.thread_index(), part));
  }
  state.counters["GB/s"] = benchmark::Counter(
      static_cast<double>(state.iterations()) / state.threads() * kFarBytes / 1e9,
      benchmark::Counter::kIsRate);
}

void Register(Type type, const Shape& shape, int64_t n) {
  const char* what = n == 1 ? "decode/" : n == kSessions ? "step16/" : "prompt512/";
  const std::string name = what + std::string(GetTypeTraits(type).name) + "/" + shape.name;
  for (int threads : {1, 2}) {
    benchmark::RegisterBenchmark(name.c_str(), BM_Matmul, type, shape, n)
        ->Threads(threads)
        ->UseRealTime();
  }
}

void RegisterAll() {
  for (int threads : {1, 2}) {
    benchmark::RegisterBenchmark("read", BM_Read)->Threads(threads)->UseRealTime();
  }
  benchmark::RegisterBenchmark("prepare/1x1536", BM_Prepare, 1, 1536);
  benchmark::RegisterBenchmark("prepare/512x576", BM_Prepare, 512, 576);
  const Shape other = {"1024x2048", 1024, 2048};
  for (int64_t n : {int64_t{1}, kSessions, int64_t{512}}) {
    for (Type type : {Type::kQ4_1, Type::kQ5_0, Type::kIQ4_NL, Type::kQ8_0, Type::kQ4_0, Type::kF16,
                      Type::kF32}) {
      for (const Shape& shape : kShapes) {
        if (n > kSessions && shape.rows > 10000) continue;  // only the last token's are needed
        Register(type, shape, n);
      }
    }
    for (Type type : {Type::kQ3_K, Type::kIQ4_XS, Type::kQ4_K, Type::kQ5_K, Type::kQ6_K})
      Register(type, other, n);
  }
}

const bool kRegistered = (RegisterAll(), true);

}  // namespace
}  // namespace mla
