#include "graph/packed_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <thread>

#include "graph/tiny_model_testing.h"
#include "graph/weights.h"
#include "kernels/matmul/matmul.h"

namespace mla {
namespace {

// What each type takes of its matrix, and where, and that all of it is packed, whoever had which
// rows of a batch; what is in panels is matmul_test's to compare.
TEST(PackedWeights, EveryMatrixGetsItsOwnPanels) {
  constexpr int64_t kCols = 512;
  std::vector<uint8_t> bytes(static_cast<size_t>(RowBytes(Type::kF32, kCols) * 50));
  std::mt19937 random(1);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  std::vector<Matrix> matrices;
  for (Type type :
       {Type::kF32, Type::kQ4_0, Type::kF16, Type::kQ8_0, Type::kQ4_K, Type::kQ6_K, Type::kQ5_0,
        Type::kQ5_1, Type::kQ5_K, Type::kQ3_K, Type::kIQ4_NL, Type::kIQ4_XS}) {
    for (int64_t rows : {1, 16, 50}) matrices.push_back({type, bytes.data(), rows, kCols});
  }
  std::vector<PackedWeights::Together> batches(3);
  for (size_t i = 0; i < matrices.size(); ++i)
    batches[i * 3 / matrices.size()].push_back(&matrices[i]);
  int64_t released = 0, packed = 0;
  PackedWeights weights;
  weights.Pack(batches, 3, [&](const uint8_t* data, int64_t count) {
    EXPECT_EQ(data, bytes.data());
    released += count;
  });
  const uint8_t* end = nullptr;
  for (const Matrix& matrix : matrices) {
    const int64_t rows = PanelRows(matrix);
    if (rows == 0) {
      EXPECT_EQ(matrix.panels, nullptr);
      continue;
    }
    EXPECT_EQ(reinterpret_cast<uintptr_t>(matrix.panels) % 64, 0u);
    EXPECT_GE(matrix.panels, end) << "panels overlap";
    end = matrix.panels + rows * matrix.row_bytes();
    packed += matrix.rows * matrix.row_bytes();
    std::vector<uint8_t> alone(static_cast<size_t>(rows * matrix.row_bytes()));
    PackPanels(matrix, 0, rows, alone.data());
    EXPECT_EQ(std::memcmp(matrix.panels, alone.data(), alone.size()), 0)
        << "rows " << matrix.rows << " of " << GetTypeTraits(matrix.type).name;
  }
  EXPECT_EQ(released, packed);
}

TEST(PackedWeights, SessionsThatBeginTogetherWaitForOne) {
  TinyShape shape;
  const auto weights = Weights::Load(TinyModel(shape, 3).File()).value();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      weights->Pack(2);
      for (const LayerWeights& layer : weights->layers()) {
        EXPECT_EQ(layer.up.w.panels != nullptr, PanelRows(layer.up.w) > 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace mla
