// Portable: weights are expanded a few blocks at a time on the stack, never a row or a matrix.
#include <cmath>
#include <cstring>

#include "kernels/matmul/implementations.h"
#include "tensor/convert.h"

namespace mla {
namespace {

constexpr int64_t kChunk = 256;  // a whole number of blocks of every type
constexpr int64_t kLanes = 8;    // independent sums, so that a compiler may use what vectors it has

void PrepareBlock(const float* x, ActivationBlock* block) {
  float largest = 0;
  bool finite = true;
  for (int i = 0; i < 32; ++i) {
    largest = std::fmax(largest, std::fabs(x[i]));
    finite = finite && std::isfinite(x[i]);
  }
  block->scale = finite ? largest / kActivationLimit : NAN;
  const float inverse = finite && largest > kSmallestActivation ? kActivationLimit / largest : 0.0f;
  int16_t q[32] = {};
  int32_t half[2] = {0, 0};
  for (int i = 0; i < 32 && inverse > 0; ++i) {
    q[i] = static_cast<int16_t>(std::lrint(x[i] * inverse));
    half[i / 16] += q[i];
  }
  std::memcpy(block->q, q, sizeof(q));
  for (int h = 0; h < 2; ++h) block->half_sum[h] = block->scale * static_cast<float>(half[h]);
  block->sum = block->half_sum[0] + block->half_sum[1];
  block->fine = 1;
}

void Prepare(ActivationForm form, const float* x, int64_t x_stride, int64_t, int64_t cols,
             void* prepared, int64_t begin, int64_t end) {
  if (form == ActivationForm::kFloat) {
    float* rows = static_cast<float*>(prepared);
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(rows + i * cols, x + i * x_stride, static_cast<size_t>(cols) * sizeof(float));
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

template <typename X>
float Dot(const float* w, const X* x, int64_t count) {
  float lanes[kLanes] = {};
  int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += w[c + l] * static_cast<float>(x[c + l]);
  }
  for (; c < count; ++c) lanes[c % kLanes] += w[c] * static_cast<float>(x[c]);
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

// count <= kChunk weights that start at column `col`, times the same columns of one row of
// activations.
float DotChunk(const MatmulParams& p, const float* w, int64_t row, int64_t col, int64_t count) {
  if (FormFor(p.w.type, Activations::kFine) == ActivationForm::kFloat) {
    return Dot(w, p.plain_row(row) + col, count);
  }
  const ActivationBlock* block =
      static_cast<const ActivationBlock*>(p.prepared) + row * (p.w.cols / 32) + col / 32;
  float sum = 0;
  for (int64_t c = 0; c < count; c += 32, ++block) {
    int16_t q[32];
    std::memcpy(q, block->q, sizeof(q));
    sum += block->scale * Dot(w + c, q, 32);
  }
  return sum;
}

void Multiply(const MatmulParams& p, int64_t row_begin, int64_t row_end) {
  for (int64_t r = row_begin; r < row_end; ++r) {
    const float bias = p.bias != nullptr ? p.bias[r] : 0.0f;
    for (int64_t i = 0; i < p.n; ++i) {
      float& y = p.y[i * p.y_stride + r];
      y = p.accumulate ? y + bias : bias;
    }
    for (int64_t c = 0; c < p.w.cols; c += kChunk) {
      const int64_t count = p.w.cols - c < kChunk ? p.w.cols - c : kChunk;
      float w[kChunk];
      DequantizeRow(p.w.type, p.w.row(r) + RowBytes(p.w.type, c), w, count);
      for (int64_t i = 0; i < p.n; ++i) {
        p.y[i * p.y_stride + r] += DotChunk(p, w, i, c, count);
      }
    }
  }
}

}  // namespace

const MatmulKernels kMatmulGeneric = {Prepare, Multiply, 0, nullptr};

}  // namespace mla
