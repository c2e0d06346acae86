// The GPU's products of many rows against plain loops over the weights as GGUF defines them.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/gpu_testing.h"
#include "kernels/matmul/gpu.h"
#include "kernels/matmul/gpu_testing.h"
#include "tensor/types.h"

namespace mla {
namespace {

// In a workspace exactly as large as that, of NaN.
template <typename Call>
void Launch(GpuStream& gpu, Call call, int64_t bytes) {
  const DeviceArray<uint8_t> workspace(gpu, std::vector<uint8_t>(static_cast<size_t>(bytes), 0xff));
  call.workspace = workspace.data();
  tested::Launch(gpu, call);
}

void Multiply(GpuStream& gpu, const GpuMatMul& call) {
  Launch(gpu, call, GpuMatMulBytes(call.n, call.cols));
}

// Of a product: both factors are rounded to 11 bits, but weights that a half or bfloat16 holds, and
// below 2^-29 of their row's largest to 2^-40 of it; sums are float32, scales and minima of the K
// types halves.
double Bound(Type type, const float* w, const float* x, int64_t cols) {
  const bool exact = type == Type::kF16 || type == Type::kBF16;
  const bool rounded = HasRoundedNumbers(type);
  double products = 0, weights = 0, inputs = 0, most_weight = 0, most_input = 0, scales = 0;
  for (int64_t begin = 0; begin < cols; begin += 32) {
    double most = 0, sum = 0;
    for (int64_t c = begin; c < std::min(cols, begin + 32); ++c) {
      const double a = std::fabs(double{w[c]}), b = std::fabs(double{x[c]});
      products += a * b;
      weights += a;
      most = std::max(most, a);
      sum += b;
      most_input = std::max(most_input, b);
    }
    inputs += sum;
    most_weight = std::max(most_weight, most);
    // |scale * u| and |minimum| are each at most about three times the largest weight.
    if (rounded) scales += sum * 6 * most / 2048;
  }
  return products * ((exact ? 1 : 2) / 2048.0 + 4e-6) + scales +
         0x1p-39 * (weights * most_input + inputs * most_weight);
}

// What stands in memory where nothing is to be read, or written.
constexpr float kUnwritten = -77.0f;

// Three products of one input, of different forms and sizes: with a bias, added to, plain.
void Compare(Type type, int n, int64_t rows, int64_t cols, Emulator::Order order,
             bool groups = true) {
  SCOPED_TRACE("type " + std::to_string(static_cast<int>(type)) + ", n " + std::to_string(n) +
               ", rows " + std::to_string(rows) + ", cols " + std::to_string(cols));
  TestGpu gpu(order);
  gpu.set_has_group_mma(groups);
  const TestMatrix first(gpu, type, rows, cols, 1), second(gpu, Type::kF16, 3, cols, 2),
      third(gpu, type, 5, cols, 3);
  const int64_t stride = cols + 5;
  std::vector<float> x = Normal(n * stride, 4);
  for (int i = 0; i < n; ++i) {
    for (int64_t c = cols; c < stride; ++c) x[i * stride + c] = NAN;
  }
  const std::vector<float> bias = Normal(rows, 5);
  const DeviceArray<float> x_there(gpu, x), bias_there(gpu, bias);
  const DeviceArray<float> a_there(gpu, std::vector<float>(n * (rows + 2), kUnwritten)),
      b_there(gpu, std::vector<float>(n * 4, 2.0f)), c_there(gpu, std::vector<float>(n * 5, NAN));
  GpuMatMul call;
  call.input.x = x_there.data();
  call.input.stride = stride;
  call.n = n;
  call.cols = cols;
  call.Add({first.gpu, bias_there.data(), a_there.data(), rows + 2, false});
  call.Add({second.gpu, nullptr, b_there.data(), 4, true});
  call.Add({third.gpu, nullptr, c_there.data(), 5, false});
  Multiply(gpu, call);
  const std::vector<float> a = a_there.Read(), b = b_there.Read(), c = c_there.Read();
  for (int i = 0; i < n; ++i) {
    const float* row = x.data() + i * stride;
    for (int64_t r = 0; r < rows; ++r) {
      const float* w = first.floats.data() + r * cols;
      ASSERT_NEAR(a[i * (rows + 2) + r], Dot(w, row, cols) + bias[r], Bound(type, w, row, cols))
          << i << " " << r;
    }
    for (int64_t r = rows; r < rows + 2; ++r) ASSERT_EQ(a[i * (rows + 2) + r], kUnwritten);
    for (int r = 0; r < 3; ++r) {
      const float* w = second.floats.data() + r * cols;
      ASSERT_NEAR(b[i * 4 + r], 2 + Dot(w, row, cols), Bound(Type::kF16, w, row, cols) + 1e-6);
    }
    ASSERT_EQ(b[i * 4 + 3], 2.0f);
    for (int r = 0; r < 5; ++r) {
      const float* w = third.floats.data() + r * cols;
      ASSERT_NEAR(c[i * 5 + r], Dot(w, row, cols), Bound(type, w, row, cols));
    }
  }
}

// The GPU says that it has two processors: n decides which of the kernel's shapes is taken, and
// whether groups of warps multiply.
TEST(GpuMatMul, MultipliesEveryTypeInEveryShape) {
  int turn = 0;
  for (const Type type : kAllTypes) {
    for (const int n : {9, 20, 40, 66}) Compare(type, n, 70, 256, kOrders[turn++ % 3]);
    Compare(type, 66, 70, 256, kOrders[turn++ % 3], false);
  }
}

TEST(GpuMatMul, TakesAnySize) {
  int turn = 0;
  const auto compare = [&](Type type, int n, int64_t rows, int64_t cols) {
    Compare(type, n, rows, cols, kOrders[turn % 3], turn % 2 == 0);
    ++turn;
  };
  for (const int n : {1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129}) {
    compare(Type::kQ4_1, n, 17, 32);
  }
  for (const int rows : {1, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 129}) {
    compare(Type::kQ8_0, 9, rows, 96);
    if (rows > 60) compare(Type::kQ4_0, 33, rows, 96);
  }
  for (const int rows : {255, 256, 257}) compare(Type::kBF16, 65, rows, 40);
  for (const int cols : {1, 7, 8, 9, 31, 63, 64, 65, 130, 600}) {
    compare(Type::kF16, 10, 18, cols);
    compare(Type::kBF16, 18, 66, cols);
    compare(Type::kF32, 34, 66, cols);
  }
  // More chunks than stages of the pipeline, whole and not.
  for (const int cols : {1024, 1056}) compare(Type::kQ4_0, 9, 34, cols);
  for (const Emulator::Order order : kOrders) {
    for (const bool groups : {false, true}) {
      Compare(order == Emulator::Order::kShuffled ? Type::kF16 : Type::kQ8_0, 65, 9, 416, order,
              groups);
    }
  }
}

// Where all numbers are small and whole nothing is rounded.
TEST(GpuMatMul, IsExactWhereNumbersAllow) {
  const int64_t n = 70, cols = 320, rows = 260;
  for (const Type type : {Type::kF16, Type::kQ8_0, Type::kQ4_0}) {
    std::vector<float> values = Normal(rows * cols, 1), x = Normal(n * cols, 2);
    for (float& value : x) value = std::rint(value * 300);
    for (size_t i = 0; i < values.size(); ++i) {
      const float most = type == Type::kQ4_0 ? -8.0f : 127.0f;  // its block's scale becomes 1
      const float least = type == Type::kQ4_0 ? -7.0f : -127.0f;
      values[i] = i % 32 == 0 ? most : std::clamp(std::rint(values[i] * 3), least, -least);
    }
    TestGpu gpu;
    const TestMatrix w(gpu, type, rows, cols, values);
    const DeviceArray<float> x_there(gpu, x), out_there(gpu, std::vector<float>(n * rows));
    GpuMatMul call;
    call.input.x = x_there.data();
    call.input.stride = cols;
    call.n = n;
    call.cols = cols;
    call.Add({w.gpu, nullptr, out_there.data(), rows, false});
    Multiply(gpu, call);
    const std::vector<float> out = out_there.Read();
    for (int64_t i = 0; i < n * rows; ++i) {
      const float* row = w.floats.data() + i % rows * cols;
      ASSERT_EQ(out[i], Dot(row, x.data() + i / rows * cols, cols)) << static_cast<int>(type);
    }
  }
}

TEST(GpuMatMul, ARowDoesNotDependOnTheOthersNorOnTheirNumber) {
  const int64_t cols = 160, most = 67;
  TestGpu gpu;
  const TestMatrix w(gpu, Type::kQ4_1, 260, cols, 1), f(gpu, Type::kF32, 130, cols, 2);
  const DeviceArray<float> x(gpu, Normal(most * cols, 3));
  const auto multiply = [&](int64_t first, int n, bool groups) {
    const DeviceArray<float> out(gpu, std::vector<float>(n * 390));
    GpuMatMul call;
    call.input.x = x.data() + first * cols;
    call.input.stride = cols;
    call.n = n;
    call.cols = cols;
    call.Add({w.gpu, nullptr, out.data(), 390, false});
    call.Add({f.gpu, nullptr, out.data() + 260, 390, false});
    gpu.set_has_group_mma(groups);
    Multiply(gpu, call);
    return out.Read();
  };
  const std::vector<float> together = multiply(0, most, true);
  for (const int n : {1, 9, 18, 40, 66}) {
    const int64_t first = most - n;
    const std::vector<float> some = multiply(first, n, false);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), together.begin() + first * 390)) << n;
  }
}

TEST(GpuMatMul, NormsAndGatesItsInput) {
  const int64_t cols = 160, n = 11;
  const std::vector<float> x = Normal(n * cols, 3, 1.0f), by = Normal(n * cols, 4);
  for (const GpuInput::Kind kind : {GpuInput::Kind::kNorm, GpuInput::Kind::kSwiGlu}) {
    const std::vector<float> right = Prepared(kind, x, by, n, cols, 1e-2);
    for (const Emulator::Order order : kOrders) {
      TestGpu gpu(order);
      const TestMatrix w(gpu, Type::kQ8_0, 20, cols, 1), f(gpu, Type::kF32, 6, cols, 2);
      const DeviceArray<float> x_there(gpu, x), by_there(gpu, by);
      const DeviceArray<float> out_there(gpu, std::vector<float>(n * 26));
      GpuMatMul call;
      call.input = {kind, x_there.data(), cols, by_there.data(), 1e-2f};
      call.n = n;
      call.cols = cols;
      call.Add({w.gpu, nullptr, out_there.data(), 26, false});
      call.Add({f.gpu, nullptr, out_there.data() + 20, 26, false});
      Multiply(gpu, call);
      const std::vector<float> out = out_there.Read();
      for (int64_t i = 0; i < n; ++i) {
        for (int r = 0; r < 26; ++r) {
          const float* row =
              r < 20 ? w.floats.data() + r * cols : f.floats.data() + (r - 20) * cols;
          const float* input = right.data() + i * cols;
          EXPECT_NEAR(out[i * 26 + r], Dot(row, input, cols),
                      Bound(r < 20 ? Type::kQ8_0 : Type::kF32, row, input, cols) + 1e-5);
        }
      }
    }
  }
}

// Of inputs and of weights in one call: rows far above, far below f16's range, with both in one
// row.
TEST(GpuMatMul, NothingOverflowsOrVanishes) {
  const int64_t cols = 72, n = 20, rows = 12;
  for (const Type type : {Type::kF32, Type::kBF16}) {
    std::vector<float> values = Normal(rows * cols, 1), x = Normal(n * cols, 2);
    const auto scale_rows = [&](std::vector<float>& all) {
      for (size_t i = 0; i < all.size(); ++i) {
        const int row = static_cast<int>(i) / static_cast<int>(cols);
        if (row % 5 == 1) all[i] *= 1e12f;
        if (row % 5 == 2) all[i] *= 1e-18f;
        if (row % 5 == 3 && i % 7 == 0) all[i] *= 3e5f;
        if (row % 5 == 4) all[i] = 0.0f;
      }
    };
    scale_rows(values);
    scale_rows(x);
    TestGpu gpu;
    const TestMatrix w(gpu, type, rows, cols, values);
    const DeviceArray<float> x_there(gpu, x), out_there(gpu, std::vector<float>(n * rows));
    GpuMatMul call;
    call.input.x = x_there.data();
    call.input.stride = cols;
    call.n = static_cast<int32_t>(n);
    call.cols = cols;
    call.Add({w.gpu, nullptr, out_there.data(), rows, false});
    Multiply(gpu, call);
    const std::vector<float> out = out_there.Read();
    for (int64_t i = 0; i < n * rows; ++i) {
      const float *row = w.floats.data() + i % rows * cols, *input = x.data() + i / rows * cols;
      EXPECT_NEAR(out[i], Dot(row, input, cols), Bound(type, row, input, cols)) << i;
    }
  }
}

TEST(GpuMatMul, BrokenInputsStayVisible) {
  const int64_t cols = 64;
  TestGpu gpu;
  const TestMatrix w(gpu, Type::kQ4_0, 4, cols, 1);
  for (const float broken : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> x = Normal(9 * cols, 3);
    x[3 * cols + 40] = broken;
    const DeviceArray<float> x_there(gpu, x), out_there(gpu, std::vector<float>(9 * 4));
    GpuMatMul call;
    call.input.x = x_there.data();
    call.input.stride = cols;
    call.n = 9;
    call.cols = cols;
    call.Add({w.gpu, nullptr, out_there.data(), 4, false});
    Multiply(gpu, call);
    const std::vector<float> out = out_there.Read();
    for (int i = 0; i < 9 * 4; ++i) EXPECT_EQ(std::isfinite(out[i]), i / 4 != 3) << broken;
  }
}

TEST(GpuMatrix, RowsOfAWideRangeHaveAPowerOfTwo) {
  const int64_t rows = 6, cols = 70;
  for (const Type type : {Type::kF32, Type::kBF16}) {
    std::vector<float> values = Normal(rows * cols, 1);
    const float by[rows] = {1.0f, 1e30f, 1e-30f, 0.0f, 1e-44f, 1.0f};
    for (int64_t i = 0; i < rows * cols; ++i) values[i] *= by[i / cols];
    values[5 * cols + 3] = INFINITY;
    TestGpu gpu;
    const TestMatrix w(gpu, type, rows, cols, values);
    for (int64_t r = 0; r < rows; ++r) {
      const float scale = std::bit_cast<float>(w.scales[r]);
      int exponent;
      EXPECT_EQ(std::frexp(scale, &exponent), 0.5f) << r;
      float largest = 0.0f;
      for (int64_t c = 0; c < cols; ++c) {
        const float value = std::fabs(w.floats[r * cols + c]);
        if (std::isfinite(value)) largest = std::max(largest, value);
      }
      EXPECT_TRUE(std::isfinite(1.0f / scale));
      EXPECT_LT(largest / scale, 0x1p15f) << r;
      // Of what is smaller the inverse would not be normal.
      EXPECT_TRUE(largest < 0x1p-112f || largest / scale >= 0x1p14f) << r;
    }
  }
}

TEST(GpuHeadMatMul, MultipliesHeadsWithTheirMatrices) {
  struct Shape {
    int kv_heads, group, n;
    int64_t rows, cols;
    bool shared;  // all heads have the same input
  };
  int turn = 0;
  for (const Shape& s : {Shape{1, 1, 9, 1, 1, false}, Shape{3, 3, 5, 17, 43, false},
                         Shape{2, 4, 13, 70, 64, false}, Shape{1, 9, 8, 33, 160, false},
                         Shape{3, 1, 18, 65, 96, true}, Shape{2, 2, 11, 9, 32, true}}) {
    for (const Type type : {Type::kF16, Type::kF32, Type::kQ4_0}) {
      if (type == Type::kQ4_0 && s.cols % 32 != 0) continue;
      const int64_t heads = int64_t{s.kv_heads} * s.group;
      TestGpu gpu(kOrders[turn++ % 3]);
      const TestMatrix w(gpu, type, s.kv_heads * s.rows, s.cols, 1);
      const int64_t head_stride = s.shared ? 0 : s.cols + 3;
      const int64_t stride = (s.shared ? 1 : heads) * (s.cols + 3) + 1;
      const int64_t out_head_stride = s.rows + 1;
      const std::vector<float> x = Normal(s.n * stride, 2);
      const DeviceArray<float> x_there(gpu, x),
          out_there(gpu, std::vector<float>(s.n * heads * out_head_stride, kUnwritten));
      GpuHeadMatMul call{{w.gpu, s.kv_heads, s.group, s.n, x_there.data(), stride, head_stride,
                          out_there.data(), heads * out_head_stride, out_head_stride},
                         nullptr};
      Launch(gpu, call, GpuHeadMatMulBytes(call));
      std::vector<float> out = out_there.Read();
      for (int64_t i = 0; i < s.n * heads; ++i) {
        const float* row = x.data() + i / heads * stride + i % heads * head_stride;
        const int64_t g = i % heads / s.group;
        for (int64_t r = 0; r < s.rows; ++r) {
          const float* weights = w.floats.data() + (g * s.rows + r) * s.cols;
          ASSERT_NEAR(out[i * out_head_stride + r], Dot(weights, row, s.cols),
                      Bound(type, weights, row, s.cols))
              << i << " " << r;
        }
        ASSERT_EQ(out[i * out_head_stride + s.rows], kUnwritten);
      }
      if (type == Type::kQ4_0) continue;
      // The same as halves, some of which are beyond what these hold.
      for (float& each : out) each = each == kUnwritten ? each : each * 0x1p14f;
      std::vector<float> large = x;
      for (float& each : large) each *= 0x1p14f;
      const DeviceArray<float> large_there(gpu, large);
      const DeviceArray<uint16_t> halves_there(gpu, std::vector<uint16_t>(out.size(), 1));
      call.x = large_there.data();
      call.out = nullptr;
      call.halves = halves_there.data();
      Launch(gpu, call, GpuHeadMatMulBytes(call));
      const std::vector<uint16_t> halves = halves_there.Read();
      for (size_t i = 0; i < out.size(); ++i) {
        const float value = std::clamp(out[i], -65504.0f, 65504.0f);
        ASSERT_EQ(halves[i], out[i] == kUnwritten ? 1 : FloatToHalf(value)) << i;
      }
    }
  }
}

}  // namespace
}  // namespace mla
