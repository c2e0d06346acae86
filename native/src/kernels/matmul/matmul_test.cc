#include "kernels/matmul/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/guard_testing.h"
#include "tensor/convert.h"

namespace mla {
namespace {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

// Any bits at all, but for the numbers that scale a block, which are of a model's size.
void FillWeights(Type type, std::mt19937& random, uint8_t* data, int64_t blocks) {
  std::uniform_int_distribution<int> byte(0, 255);
  std::uniform_real_distribution<float> real(-1, 1);
  const auto half = [&](uint8_t* at) {
    const uint16_t bits = FloatToHalf(real(random) * 0.02f);
    std::memcpy(at, &bits, sizeof(bits));
  };
  const int64_t bytes = GetTypeTraits(type).bytes;
  for (int64_t b = 0; b < blocks; ++b, data += bytes) {
    for (int64_t i = 0; i < bytes; ++i) data[i] = static_cast<uint8_t>(byte(random));
    const float value = real(random);
    const uint16_t f16 = FloatToHalf(value), bf16 = FloatToBfloat16(value);
    switch (type) {
      case Type::kF32:
        std::memcpy(data, &value, sizeof(value));
        break;
      case Type::kF16:
        std::memcpy(data, &f16, sizeof(f16));
        break;
      case Type::kBF16:
        std::memcpy(data, &bf16, sizeof(bf16));
        break;
      case Type::kQ8_0:
      case Type::kQ4_0:
      case Type::kQ5_0:
      case Type::kIQ4_NL:
      case Type::kIQ4_XS:
        half(data);
        break;
      case Type::kQ4_1:
      case Type::kQ5_1:
      case Type::kQ4_K:
      case Type::kQ5_K:
        half(data);
        half(data + 2);
        break;
      case Type::kQ3_K:
        half(data + 108);
        break;
      case Type::kQ6_K:
        half(data + 208);
        break;
    }
  }
}

// The same bits in every byte of a quantized block that holds elements, not their scales.
void FillElements(Type type, uint8_t bits, uint8_t* block) {
  struct Places {
    int64_t begin, end;
  };
  const Places elements = [type]() -> Places {
    switch (type) {
      case Type::kQ4_1:
      case Type::kQ5_1:
        return {4, GetTypeTraits(type).bytes};
      case Type::kQ3_K:
        return {0, 96};
      case Type::kQ4_K:
      case Type::kQ5_K:
        return {16, GetTypeTraits(type).bytes};
      case Type::kQ6_K:
        return {0, 192};
      case Type::kIQ4_XS:
        return {8, GetTypeTraits(type).bytes};
      default:
        return {2, GetTypeTraits(type).bytes};
    }
  }();
  std::memset(block + elements.begin, bits, static_cast<size_t>(elements.end - elements.begin));
}

// A product whose every buffer ends against a guard page.
struct Case {
  Type type;
  ActivationForm form;
  int64_t rows, cols, n, x_stride, y_stride;
  Guarded<uint8_t> w;
  Guarded<float> x, y, bias;
  std::vector<uint8_t> prepared_bytes;
  Guarded<uint8_t> prepared;

  Case(Type t, Activations activations, int64_t r, int64_t c, int64_t count, std::mt19937& random)
      : type(t),
        form(FormFor(t, activations)),
        rows(r),
        cols(c),
        n(count),
        x_stride(c + 3),
        y_stride(r + 5),
        w(r * RowBytes(t, c)),
        x(n == 0 ? 0 : (n - 1) * x_stride + cols),
        y(n == 0 ? 0 : (n - 1) * y_stride + rows),
        bias(r),
        prepared(ActivationBytes(form, n, cols), 64) {
    FillWeights(type, random, w.data(), r * (c / GetTypeTraits(t).block));
    std::normal_distribution<float> normal;
    std::fill(x.begin(), x.end(), kPoison);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t k = 0; k < cols; ++k) {
        // A real model's activations: a few elements far above the rest.
        x[i * x_stride + k] = normal(random) * (random() % 97 == 0 ? 200.0f : 1.0f);
      }
    }
    for (float& b : bias) b = normal(random);
    ClearY();
  }

  void ClearY() {
    std::fill(y.begin(), y.end(), kPoison);
    for (int64_t i = 0; i < n; ++i) std::fill_n(&y[i * y_stride], rows, 0.0f);
  }
  Matrix matrix() const { return {type, w.data(), rows, cols}; }
  MatmulParams Params(bool with_bias, bool accumulate) {
    return {matrix(),  prepared.data(), n, y.data(), y_stride, with_bias ? bias.data() : nullptr,
            accumulate};
  }
  void Prepare(const MatmulKernels& kernels) {
    std::fill(prepared.begin(), prepared.end(), uint8_t{0xff});
    const int64_t middle = n / 2;
    for (const auto& [begin, end] : {std::pair{middle, n}, std::pair{int64_t{0}, middle}}) {
      kernels.prepare(form, x.data(), x_stride, n, cols, prepared.data(), begin, end);
    }
  }
  std::vector<float> Y() const { return {y.data(), y.data() + y.size()}; }
};

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// What rounding may do to y[i, r]: activations are held within half a unit of 1/32639 of their
// block's largest (quantized types), or of 1/127 in blocks of a mixed row without an element of 7
// times its mean magnitude; and every product and sum within a few units of float.
double Tolerance(const Case& c, const std::vector<float>& w, const float* x) {
  double products = 0, rounding = 0;
  float w_largest = 0;
  for (float v : w) w_largest = std::max(w_largest, std::fabs(v));
  double mean = 0;
  for (int64_t i = 0; i < c.cols; ++i) mean += std::fabs(x[i]) / static_cast<double>(c.cols);
  for (int64_t k = 0; k < c.cols; k += 32) {
    const int64_t end = std::min(c.cols, k + 32);
    double largest = 0, weights = 0;
    for (int64_t i = k; i < end; ++i) {
      largest = std::max(largest, double{std::fabs(x[i])});
      weights += std::fabs(w[static_cast<size_t>(i)]);
      products += double{w_largest} * std::fabs(x[i]);
    }
    const bool coarse = c.form == ActivationForm::kMixedBlocks32 && largest < 7.0001 * mean;
    rounding += largest / (coarse ? 127 : 32639) * 0.5 * weights;
  }
  return (c.form == ActivationForm::kFloat ? 0 : rounding) + 1e-6 * (products + 1);
}

class MatmulTest : public testing::TestWithParam<std::tuple<Isa, Type, Activations>> {
 protected:
  const Isa isa_ = std::get<0>(GetParam());
  const Type type_ = std::get<1>(GetParam());
  const Activations activations_ = std::get<2>(GetParam());
  const MatmulKernels& kernels_ = GetMatmulKernels(isa_);
  std::mt19937 random_{7};

  std::vector<int64_t> Cols() const {
    const int64_t block = GetTypeTraits(type_).block;
    if (block == 1) return {1, 2, 7, 8, 9, 15, 16, 17, 33, 100, 576};
    if (block == 32) return {32, 64, 96, 576, 608, 1536};
    return {256, 512, 768, 1280};
  }

  void Check(int64_t rows, int64_t cols, int64_t n) {
    SCOPED_TRACE(testing::Message() << "rows " << rows << " cols " << cols << " n " << n);
    Case c(type_, activations_, rows, cols, n, random_);
    std::vector<float> expected(static_cast<size_t>(n * rows));
    MatmulReference(c.matrix(), c.x.data(), c.x_stride, n, c.bias.data(), expected.data(), rows);
    c.Prepare(kernels_);
    kernels_.multiply(c.Params(true, false), 0, rows);
    std::vector<float> w(static_cast<size_t>(cols));
    for (int64_t r = 0; r < rows; ++r) {
      DequantizeRow(type_, c.matrix().row(r), w.data(), cols);
      for (int64_t i = 0; i < n; ++i) {
        const float want = expected[static_cast<size_t>(i * rows + r)];
        ASSERT_NEAR(c.y[i * c.y_stride + r], want, Tolerance(c, w, &c.x[i * c.x_stride]))
            << "row " << r << " of activation " << i;
      }
    }
    for (int64_t i = 0; i + 1 < n; ++i) {
      for (int64_t r = rows; r < c.y_stride; ++r) {
        ASSERT_TRUE(std::isnan(c.y[i * c.y_stride + r])) << "padding was written";
      }
    }
  }
};

TEST_P(MatmulTest, AgreesWithTheReference) {
  for (int64_t cols : Cols()) {
    for (int64_t rows : {1, 9, 15, 16, 17, 50}) {
      for (int64_t n : {1, 3, 6}) Check(rows, cols, n);
    }
  }
  Check(35, Cols().back(), 5);
  for (int64_t n : {8, 12, 16}) Check(35, 256, n);  // sessions of a step
  Check(35, 256, 131);                              // more than one group of columns
}

TEST_P(MatmulTest, NothingToDoTouchesNothing) {
  Case none(type_, activations_, 4, 256, 0, random_);
  none.Prepare(kernels_);
  kernels_.multiply(none.Params(true, true), 0, 4);
  for (int64_t n : {1, 3}) {
    Case c(type_, activations_, 20, 256, n, random_);
    c.Prepare(kernels_);
    std::fill(c.y.begin(), c.y.end(), 5.0f);
    for (int64_t r : {0, 7, 20}) kernels_.multiply(c.Params(false, false), r, r);
    for (float y : c.Y()) EXPECT_EQ(y, 5.0f);
  }
}

TEST_P(MatmulTest, SplitsOfRowsAgreeToTheBit) {
  for (int64_t n : {1, 5}) {
    for (int64_t rows : {9, 53}) {
      Case c(type_, activations_, rows, 768, n, random_);
      c.Prepare(kernels_);
      kernels_.multiply(c.Params(true, false), 0, rows);
      const std::vector<float> whole = c.Y();
      for (int64_t grain : {1, 2, 7, 16, 20}) {
        c.ClearY();
        for (int64_t r = (rows - 1) / grain * grain; r >= 0; r -= grain) {
          kernels_.multiply(c.Params(true, false), r, std::min(rows, r + grain));
        }
        EXPECT_TRUE(SameBits(c.Y(), whole)) << "ranges of " << grain;
      }
    }
  }
}

TEST_P(MatmulTest, StepsAndBatchAgreeToTheBit) {
  // However many go together, and what is left of them.
  for (int64_t n : {2, 3, 4, 7, 8, 9, 13, 15, 16, 17, 23, 32}) {
    Case batch(type_, activations_, 37, 768, n, random_);
    batch.Prepare(kernels_);
    kernels_.multiply(batch.Params(true, false), 0, 37);
    for (int64_t i = 0; i < n; ++i) {
      std::vector<uint8_t> bytes(static_cast<size_t>(ActivationBytes(batch.form, 1, 768)) + 64);
      void* prepared = bytes.data() + (64 - reinterpret_cast<uintptr_t>(bytes.data()) % 64) % 64;
      kernels_.prepare(batch.form, &batch.x[i * batch.x_stride], 1000, 1, 768, prepared, 0, 1);
      std::vector<float> step(37);
      kernels_.multiply({batch.matrix(), prepared, 1, step.data(), 0, batch.bias.data(), false}, 0,
                        37);
      const float* row = &batch.y[i * batch.y_stride];
      EXPECT_TRUE(SameBits(step, {row, row + 37})) << "step " << i << " of " << n;
    }
  }
}

TEST_P(MatmulTest, AddsBiasAndResidual) {
  for (int64_t n : {1, 3}) {
    Case c(type_, activations_, 21, 512, n, random_);
    c.Prepare(kernels_);
    kernels_.multiply(c.Params(false, false), 0, 21);
    const std::vector<float> plain = c.Y();
    for (int64_t i = 0; i < n; ++i) std::fill_n(&c.y[i * c.y_stride], 21, 3.0f);
    kernels_.multiply(c.Params(true, true), 0, 21);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t r = 0; r < 21; ++r) {
        const double product = plain[static_cast<size_t>(i * c.y_stride + r)];
        EXPECT_NEAR(c.y[i * c.y_stride + r], product + c.bias[r] + 3.0,
                    1e-6 * (std::fabs(product) + 10));
      }
    }
  }
}

TEST_P(MatmulTest, NotANumberShowsInItsRowAlone) {
  for (float bad : {kPoison, std::numeric_limits<float>::infinity()}) {
    Case c(type_, activations_, 18, 512, 3, random_);
    c.x[c.x_stride + 100] = bad;
    c.Prepare(kernels_);
    kernels_.multiply(c.Params(false, false), 0, 18);
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t r = 0; r < 18; ++r) {
        EXPECT_EQ(std::isfinite(c.y[i * c.y_stride + r]), i != 1);
      }
    }
  }
}

// All bits of every weight, or none but the sign's, and activations that are as large as their
// block can hold: the largest sums of products that there are.
TEST_P(MatmulTest, TheLargestProductsFitTheirSums) {
  for (int bits : {0x7f, 0x80, 0xff}) {
    for (float sign : {1.0f, -1.0f}) {
      Case c(type_, activations_, 18, 512, 5, random_);
      if (GetTypeTraits(type_).block > 1) {  // of plain floats any
        for (uint8_t* at = c.w.begin(); at < c.w.end(); at += GetTypeTraits(type_).bytes) {
          FillElements(type_, static_cast<uint8_t>(bits), at);
        }
      }
      for (int64_t i = 0; i < 5; ++i) {
        for (int64_t k = 0; k < 512; ++k) c.x[i * c.x_stride + k] = sign * 3;
      }
      std::vector<float> expected(5 * 18);
      MatmulReference(c.matrix(), c.x.data(), c.x_stride, 5, nullptr, expected.data(), 18);
      c.Prepare(kernels_);
      kernels_.multiply(c.Params(false, false), 0, 18);
      std::vector<float> w(512);
      for (int64_t r = 0; r < 18; ++r) {
        DequantizeRow(type_, c.matrix().row(r), w.data(), 512);
        for (int64_t i = 0; i < 5; ++i) {
          ASSERT_NEAR(c.y[i * c.y_stride + r], expected[static_cast<size_t>(i * 18 + r)],
                      Tolerance(c, w, &c.x[i * c.x_stride]))
              << "bits " << bits << " sign " << sign << " row " << r;
        }
      }
    }
  }
}

TEST_P(MatmulTest, ZerosAndTheSmallestNumbers) {
  for (float tiny : {0.0f, 1e-45f, 1e-38f, 3e-31f}) {
    Case c(type_, activations_, 18, 256, 2, random_);
    for (float& x : c.x) x = tiny;
    c.Prepare(kernels_);
    kernels_.multiply(c.Params(false, false), 0, 18);
    for (int64_t i = 0; i < 2; ++i) {
      for (int64_t r = 0; r < 18; ++r) EXPECT_NEAR(c.y[i * c.y_stride + r], 0.0f, 1e-27f);
    }
  }
}

// Whichever rows are asked for, whether or not they fill their panels, and however many columns: a
// few, some that go together, and so many that panels are unpacked for them.
TEST_P(MatmulTest, PackedWeightsGiveTheSameBits) {
  const int64_t panel_rows = kernels_.panel_rows;
  if (panel_rows == 0 || GetTypeTraits(type_).block == 1) return;  // multiplied as they are
  for (int64_t rows : {1, 15, 16, 17, 32, 50, 96}) {
    for (int64_t n : {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 23, 35, 131}) {
      if (n > 17 && rows != 16 && rows != 50) continue;
      Case c(type_, activations_, rows, 768, n, random_);
      c.Prepare(kernels_);
      kernels_.multiply(c.Params(true, false), 0, rows);
      const std::vector<float> expected = c.Y();
      const int64_t packed = (rows + panel_rows - 1) / panel_rows * panel_rows;
      Guarded<uint8_t> panels(packed * c.matrix().row_bytes(), 64);
      for (int64_t r = 0; r < packed; r += panel_rows) {
        kernels_.pack(c.matrix(), r, panels.data() + r * c.matrix().row_bytes());
      }
      for (int64_t split : {int64_t{0}, int64_t{1}, rows / 2, rows - 1}) {
        c.ClearY();
        MatmulParams params = c.Params(true, false);
        params.w.panels = panels.data();
        kernels_.multiply(params, split, rows);
        kernels_.multiply(params, 0, split);
        EXPECT_TRUE(SameBits(c.Y(), expected))
            << "rows " << rows << " n " << n << " from " << split;
      }
    }
  }
}

// The form of the activations must cost nothing that shows in a model's probabilities.
TEST_P(MatmulTest, ErrorOverallIsFarBelowThatOfTheWeights) {
  Case c(type_, activations_, 256, 768, 8, random_);
  std::vector<float> expected(8 * 256);
  MatmulReference(c.matrix(), c.x.data(), c.x_stride, 8, nullptr, expected.data(), 256);
  c.Prepare(kernels_);
  kernels_.multiply(c.Params(false, false), 0, 256);
  double error = 0, total = 0;
  for (int64_t i = 0; i < 8; ++i) {
    for (int64_t r = 0; r < 256; ++r) {
      const double want = expected[static_cast<size_t>(i * 256 + r)];
      error += std::pow(c.y[i * c.y_stride + r] - want, 2);
      total += want * want;
    }
  }
  const double limits[] = {1e-6, 1e-4, 1e-3};  // of floats, fine and mixed blocks
  EXPECT_LT(std::sqrt(error / total), limits[static_cast<size_t>(c.form)]);
}

INSTANTIATE_TEST_SUITE_P(All, MatmulTest,
                         testing::Combine(testing::ValuesIn(SupportedIsas()),
                                          testing::ValuesIn(kAllTypes),
                                          testing::Values(Activations::kFine, Activations::kMixed)),
                         [](const auto& param) {
                           return std::string(IsaName(std::get<0>(param.param))) + "_" +
                                  GetTypeTraits(std::get<1>(param.param)).name +
                                  (std::get<2>(param.param) == Activations::kFine ? "_fine"
                                                                                  : "_mixed");
                         });

TEST(Matmul, ChosenImplementationIsUsed) {
  std::mt19937 random(1);
  Case c(Type::kQ4_1, Activations::kMixed, 20, 64, 2, random);
  PrepareActivations(c.form, c.x.data(), c.x_stride, 2, 64, c.prepared.data(), 0, 2);
  Matmul(c.Params(true, false), 0, 20);
  const std::vector<float> chosen = c.Y();
  c.ClearY();
  c.Prepare(GetMatmulKernels(ChosenIsa().isa));
  GetMatmulKernels(ChosenIsa().isa).multiply(c.Params(true, false), 0, 20);
  EXPECT_TRUE(SameBits(c.Y(), chosen));
}

}  // namespace
}  // namespace mla
