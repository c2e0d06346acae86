// The GPU's products against plain loops over the weights as GGUF defines them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cuda/gpu_testing.h"
#include "kernels/matmul/gpu.h"
#include "kernels/matmul/gpu_testing.h"
#include "tensor/types.h"

namespace mla {
namespace {

// Of a product of a row of weights with x: half a level of x's 15 bits, sums in float32, and the
// rounding of the K types' scales and minima to halves.
double Bound(Type type, const float* w, const float* x, int64_t cols) {
  const bool floats = type == Type::kF32 || type == Type::kF16 || type == Type::kBF16;
  const bool rounded = HasRoundedNumbers(type);
  double bound = 0;
  for (int64_t begin = 0; begin < cols; begin += 32) {
    const int64_t end = std::min(cols, begin + 32);
    double largest = 0, weights = 0, most = 0;
    for (int64_t c = begin; c < end; ++c) {
      largest = std::max(largest, std::fabs(double{x[c]}));
      weights += std::fabs(double{w[c]});
      most = std::max(most, std::fabs(double{w[c]}));
      bound += 4e-6 * std::fabs(double{w[c]} * x[c]);
    }
    if (!floats) bound += weights * largest / (127 * 128) / 2;
    // |scale * u| and |minimum| are each at most about three times the largest weight.
    if (rounded) bound += 32 * 6 * most * largest / 2048;
  }
  return bound + 1e-6;
}

TEST(GpuMatrix, HasTheElementsThatGgufDefines) {
  for (const Type type : kAllTypes) {
    const int64_t rows = 5, cols = type == Type::kF16 ? 43 : 512;
    TestGpu gpu(Emulator::Order::kShuffled);
    const TestMatrix w(gpu, type, rows, cols, 7);
    const std::vector<int32_t> wanted = {4, 0, 4};
    const DeviceArray<int32_t> wanted_there(gpu, wanted);
    const DeviceArray<float> out_there(gpu, std::vector<float>(3 * cols));
    tested::Launch(gpu, GpuLookup{w.gpu, wanted_there.data(), 3, out_there.data()});
    const std::vector<float> out = out_there.Read();
    for (int i = 0; i < 3; ++i) {
      for (int64_t c = 0; c < cols; ++c) {
        const double right = w.floats[wanted[i] * cols + c];
        const bool rounded = HasRoundedNumbers(type);
        EXPECT_NEAR(out[i * cols + c], right, rounded ? 6 * 4.0 / 2048 : 1e-6)
            << static_cast<int>(type) << " " << c;
      }
    }
  }
}

// Three products of one input, of different types and sizes: with a bias, added to, plain.
void Compare(Type type, int n, int64_t cols, Emulator::Order order) {
  SCOPED_TRACE("type " + std::to_string(static_cast<int>(type)) + ", n " + std::to_string(n) +
               ", cols " + std::to_string(cols));
  TestGpu gpu(order);
  const TestMatrix first(gpu, type, 7, cols, 1), second(gpu, Type::kF32, 3, cols, 2),
      third(gpu, type, 66, cols, 3);
  const int64_t stride = cols + 5;
  const std::vector<float> x = Normal(n * stride, 4), bias = Normal(7, 5);
  const DeviceArray<float> x_there(gpu, x), bias_there(gpu, bias);
  const DeviceArray<float> a_there(gpu, std::vector<float>(n * 7, NAN)),
      b_there(gpu, std::vector<float>(n * 10, 2.0f)), c_there(gpu, std::vector<float>(n * 66, NAN));
  GpuMatVec call;
  call.input.x = x_there.data();
  call.input.stride = stride;
  call.n = n;
  call.cols = cols;
  call.Add({first.gpu, bias_there.data(), a_there.data(), 7, false});
  call.Add({second.gpu, nullptr, b_there.data(), 10, true});
  call.Add({third.gpu, nullptr, c_there.data(), 66, false});
  tested::Launch(gpu, call);
  const std::vector<float> a = a_there.Read(), b = b_there.Read(), c = c_there.Read();
  for (int i = 0; i < n; ++i) {
    const float* row = x.data() + i * stride;
    for (int r = 0; r < 7; ++r) {
      const float* w = first.floats.data() + r * cols;
      EXPECT_NEAR(a[i * 7 + r], Dot(w, row, cols) + bias[r], Bound(type, w, row, cols));
    }
    for (int r = 0; r < 10; ++r) {
      const float* w = second.floats.data() + r * cols;
      if (r < 3) {
        EXPECT_NEAR(b[i * 10 + r], 2 + Dot(w, row, cols), Bound(Type::kF32, w, row, cols));
      } else {
        EXPECT_EQ(b[i * 10 + r], 2.0f);
      }
    }
    for (int r = 0; r < 66; ++r) {
      const float* w = third.floats.data() + r * cols;
      EXPECT_NEAR(c[i * 66 + r], Dot(w, row, cols), Bound(type, w, row, cols));
    }
  }
}

TEST(GpuMatVec, MultipliesEveryType) {
  int i = 0;
  for (const Type type : kAllTypes) {
    for (const int n : {1, 2, 3, 5, 8}) Compare(type, n, 512, kOrders[i++ % 3]);
  }
  for (const int64_t cols : {32, 64, 96, 576, 1536, 5024, 8224}) {
    Compare(Type::kQ4_1, 1, cols, kOrders[i++ % 3]);
  }
  Compare(Type::kQ8_0, 1, 5024, kOrders[i++ % 3]);
  for (const int64_t cols : {1, 7, 8, 43, 600}) Compare(Type::kF16, 3, cols, kOrders[i++ % 3]);
}

TEST(GpuMatVec, TakesAsManyRowsAsSharedMemoryHolds) {
  // Eight rows of so many would need 353 KiB.
  Compare(Type::kQ8_0, 7, 20480, Emulator::Order::kForward);
}

TEST(GpuMatVec, ARowDoesNotDependOnTheOthers) {
  const int64_t cols = 96;
  TestGpu gpu;
  const TestMatrix w(gpu, Type::kQ4_0, 9, cols, 1), f(gpu, Type::kBF16, 2, cols, 2);
  const DeviceArray<float> x(gpu, Normal(8 * cols, 3));
  const auto multiply = [&](int first, int n) {
    const DeviceArray<float> out(gpu, std::vector<float>(n * 11));
    GpuMatVec call;
    call.input.x = x.data() + first * cols;
    call.input.stride = cols;
    call.n = n;
    call.cols = cols;
    call.Add({w.gpu, nullptr, out.data(), 11, false});
    call.Add({f.gpu, nullptr, out.data() + 9, 11, false});
    tested::Launch(gpu, call);
    return out.Read();
  };
  const std::vector<float> together = multiply(0, 8);
  for (int i = 0; i < 8; ++i) {
    const std::vector<float> alone = multiply(i, 1);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + i * 11)) << i;
  }
}

// Of the second size a block goes round several times; rows of the third lie at odd places.
void NormAndGate(GpuInput::Kind kind, int64_t cols, int64_t n, Emulator::Order order) {
  SCOPED_TRACE("cols " + std::to_string(cols) + ", n " + std::to_string(n));
  const std::vector<float> x = Normal(n * cols, 3, 1.0f), by = Normal(n * cols, 4);
  const std::vector<float> right = Prepared(kind, x, by, n, cols, 1e-2);
  const bool floats_only = cols % 32 != 0;
  TestGpu gpu(order);
  const TestMatrix w(gpu, floats_only ? Type::kF16 : Type::kQ8_0, 20, cols, 1),
      f(gpu, Type::kF32, 6, cols, 2);
  const DeviceArray<float> x_there(gpu, x), by_there(gpu, by);
  const DeviceArray<float> out_there(gpu, std::vector<float>(n * 26));
  GpuMatVec call;
  call.input = {kind, x_there.data(), cols, by_there.data(), 1e-2f};
  call.n = static_cast<int32_t>(n);
  call.cols = cols;
  call.Add({w.gpu, nullptr, out_there.data(), 26, false});
  call.Add({f.gpu, nullptr, out_there.data() + 20, 26, false});
  tested::Launch(gpu, call);
  const std::vector<float> out = out_there.Read();
  for (int64_t i = 0; i < n; ++i) {
    for (int r = 0; r < 26; ++r) {
      const float* row = r < 20 ? w.floats.data() + r * cols : f.floats.data() + (r - 20) * cols;
      const float* input = right.data() + i * cols;
      const Type type = r < 20 && !floats_only ? Type::kQ8_0 : Type::kF32;
      EXPECT_NEAR(out[i * 26 + r], Dot(row, input, cols), 2 * Bound(type, row, input, cols)) << r;
    }
  }
}

TEST(GpuMatVec, NormsAndGatesItsInput) {
  int turn = 0;
  for (const GpuInput::Kind kind : {GpuInput::Kind::kNorm, GpuInput::Kind::kSwiGlu}) {
    for (const int64_t cols : {160, 5024, 2051}) {
      for (const int64_t n : {1, 3}) NormAndGate(kind, cols, n, kOrders[turn++ % 3]);
    }
    for (const Emulator::Order order : kOrders) NormAndGate(kind, 160, 3, order);
  }
}

// Many rows and few: lanes that share one are then fewer, or more.
TEST(GpuMatVec, GatesItsResults) {
  int turn = 0;
  for (const auto& [gate_type, up_type] :
       {std::pair(Type::kQ4_0, Type::kQ4_0), std::pair(Type::kQ4_K, Type::kQ6_K),
        std::pair(Type::kBF16, Type::kF32), std::pair(Type::kQ8_0, Type::kQ8_0),
        std::pair(Type::kQ5_0, Type::kQ5_1), std::pair(Type::kQ5_0, Type::kQ8_0)}) {
    for (const int64_t rows : {5, 70, 230}) {
      for (const int n : {1, 3, 8}) {
        if (rows > 200 && n > 1) continue;  // warps go round several times
        const int64_t cols = gate_type == Type::kQ4_K ? 256 : 576;
        TestGpu gpu(kOrders[turn++ % 3]);
        const TestMatrix gate(gpu, gate_type, rows, cols, 1), up(gpu, up_type, rows, cols, 2);
        const std::vector<float> x = Normal(n * cols, 3), bias = Normal(rows, 4);
        const DeviceArray<float> x_there(gpu, x), bias_there(gpu, bias),
            out_there(gpu, std::vector<float>(n * (rows + 1), -1.0f));
        GpuMatVec call;
        call.input.x = x_there.data();
        call.input.stride = cols;
        call.n = n;
        call.cols = cols;
        call.Add({gate.gpu, bias_there.data(), out_there.data(), rows + 1, false});
        call.Add({up.gpu, nullptr, nullptr, 0, false});
        call.gated = true;
        tested::Launch(gpu, call);
        const std::vector<float> out = out_there.Read();
        for (int i = 0; i < n; ++i) {
          const float* input = x.data() + i * cols;
          for (int64_t r = 0; r < rows; ++r) {
            const float *g = gate.floats.data() + r * cols, *u = up.floats.data() + r * cols;
            const double gated = Dot(g, input, cols) + bias[r], other = Dot(u, input, cols);
            const double silu = gated / (1 + std::exp(-gated));
            // silu's slope is below 1.1.
            const double bound = 1.1 * Bound(gate_type, g, input, cols) * std::fabs(other) +
                                 (std::fabs(silu) + 1) * Bound(up_type, u, input, cols);
            EXPECT_NEAR(out[i * (rows + 1) + r], silu * other, bound) << r << " of " << rows;
          }
          EXPECT_EQ(out[i * (rows + 1) + rows], -1.0f);
        }
      }
    }
  }
}

TEST(GpuMatVec, BrokenInputsStayVisible) {
  const int64_t cols = 64;
  TestGpu gpu;
  const TestMatrix w(gpu, Type::kQ4_0, 4, cols, 1);
  for (const float broken : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> x = Normal(2 * cols, 3);
    x[40] = broken;
    const DeviceArray<float> x_there(gpu, x), out_there(gpu, std::vector<float>(8));
    GpuMatVec call;
    call.input.x = x_there.data();
    call.input.stride = cols;
    call.n = 2;
    call.cols = cols;
    call.Add({w.gpu, nullptr, out_there.data(), 4, false});
    tested::Launch(gpu, call);
    const std::vector<float> out = out_there.Read();
    for (int r = 0; r < 4; ++r) {
      EXPECT_FALSE(std::isfinite(out[r])) << broken;
      EXPECT_TRUE(std::isfinite(out[4 + r])) << broken;
    }
  }
}

TEST(GpuHeadProduct, MultipliesHeadsWithTheirMatrices) {
  struct Shape {
    int kv_heads, group, n;
    int64_t rows, cols;
  };
  int turn = 0;
  for (const Shape& s : {Shape{1, 1, 1, 1, 1}, Shape{3, 3, 1, 17, 43}, Shape{2, 4, 3, 9, 16},
                         Shape{1, 9, 2, 33, 600}}) {
    for (const Type type : {Type::kF16, Type::kF32}) {
      const int64_t heads = int64_t{s.kv_heads} * s.group;
      TestGpu gpu(kOrders[turn++ % 3]);
      const TestMatrix w(gpu, type, s.kv_heads * s.rows, s.cols, 1);
      const int64_t head_stride = s.cols + 3, out_head_stride = s.rows + 1;
      const std::vector<float> x = Normal(s.n * heads * head_stride, 2);
      const DeviceArray<float> x_there(gpu, x),
          out_there(gpu, std::vector<float>(s.n * heads * out_head_stride, -1.0f));
      tested::Launch(gpu, GpuHeadProduct{w.gpu, s.kv_heads, s.group, s.n, x_there.data(),
                                         heads * head_stride, head_stride, out_there.data(),
                                         heads * out_head_stride, out_head_stride});
      const std::vector<float> out = out_there.Read();
      for (int64_t i = 0; i < s.n * heads; ++i) {
        const float* row = x.data() + i * head_stride;
        const int64_t g = i % heads / s.group;
        for (int64_t r = 0; r < s.rows; ++r) {
          const float* weights = w.floats.data() + (g * s.rows + r) * s.cols;
          EXPECT_NEAR(out[i * out_head_stride + r], Dot(weights, row, s.cols),
                      Bound(Type::kF32, weights, row, s.cols));
        }
        EXPECT_EQ(out[i * out_head_stride + s.rows], -1.0f);
      }
    }
  }
}

}  // namespace
}  // namespace mla
