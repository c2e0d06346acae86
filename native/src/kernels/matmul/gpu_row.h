// A row of weights and the rows of an input, on the GPU: lanes that share it, stage by stage, so
// that a stage's weights are on their way while those before are multiplied.
#ifndef MLA_KERNELS_MATMUL_GPU_ROW_H_
#define MLA_KERNELS_MATMUL_GPU_ROW_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/matmul/gpu.h"
#include "kernels/matmul/gpu_input.h"

namespace mla::MLA_GPU {

// A row is units: a quantized matrix's groups, or eight floats. Lane i of those that share a row
// has units i, i + lanes, ... and sums over them in this order.
MLA_BOTH int UnitsOf(GpuForm form, int cols) {
  const bool quantized = form == GpuForm::kInt4 || form == GpuForm::kInt8;
  return quantized ? cols / 32 : (cols + 7) / 8;
}

// What a lane has on its way: quads of 16 bytes, of which a unit has one or two, and the numbers of
// quantized units.
constexpr int kStageQuads = 4;
struct Stage {
  Quad values[kStageQuads];
  uint32_t numbers[kStageQuads];  // at a unit's last quad
};

MLA_BOTH int QuadsOf(GpuForm form) {  // a unit
  return form == GpuForm::kInt8 || form == GpuForm::kF32 ? 2 : 1;
}
MLA_BOTH int StageUnits(GpuForm form) { return kStageQuads / QuadsOf(form); }  // of a lane

MLA_BOTH int ValueBytesOfRow(GpuForm form, int cols) {
  switch (form) {
    case GpuForm::kInt4:
      return cols / 2;
    case GpuForm::kInt8:
      return cols;
    case GpuForm::kF32:
      return (cols + 7) / 8 * 32;
    default:
      return (cols + 7) / 8 * 16;
  }
}

struct WeightRow {
  const uint8_t* values;  // null: there is no row
  const uint32_t* scales;
};

MLA_DEVICE WeightRow FindWeights(const GpuMatrix& w, GpuForm form, int cols, int row) {
  return {w.values + int64_t{row} * ValueBytesOfRow(form, cols),
          w.scales + int64_t{row} * (cols / static_cast<int>(kGpuGroup))};
}

// Quad i of a lane's stage.
MLA_DEVICE void LoadQuadOf(GpuForm form, const WeightRow& row, int units, int lane, int lanes,
                           int stage, int i, Stage* to) {
  const int quads = QuadsOf(form);
  const int unit = lane + (stage * (kStageQuads / quads) + i / quads) * lanes;
  const bool wanted = row.values != nullptr && unit < units;
  const int quad = form == GpuForm::kInt8 ? i % 2 * units + unit : unit * quads + i % quads;
  LoadWeights(wanted, row.values + quad * 16, &to->values[i]);
  if (form == GpuForm::kInt4 || (form == GpuForm::kInt8 && i % 2 == 1)) {
    LoadWeight(wanted, row.scales + unit, &to->numbers[i]);
  }
}

MLA_DEVICE void LoadStage(GpuForm form, const WeightRow& row, int units, int lane, int lanes,
                          int stage, Stage* to) {
  MLA_UNROLL
  for (int i = 0; i < kStageQuads; ++i) {
    LoadQuadOf(form, row, units, lane, lanes, stage, i, to);
  }
}

// Eight floats of 16 bits each.
MLA_DEVICE void WidenEight(GpuForm form, const Quad& quad, float (&to)[8]) {
  MLA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint16_t low = static_cast<uint16_t>(quad.word[i]);
    const uint16_t high = static_cast<uint16_t>(quad.word[i] >> 16);
    const bool half = form == GpuForm::kF16;
    to[2 * i] = half ? HalfToFloat(low) : Bfloat16ToFloat(low);
    to[2 * i + 1] = half ? HalfToFloat(high) : Bfloat16ToFloat(high);
  }
}

// Rows of a prepared input in shared memory (gpu_input.h).
struct PreparedInput {
  const uint8_t* integers;
  const InputGroup* groups;
  const float* floats;
};

MLA_DEVICE int Word(const Quad& quad, int i) { return static_cast<int>(quad.word[i]); }

// The integers of 16 elements of a row of input: one plane of a group.
MLA_DEVICE Quad InputQuad(const uint8_t* planes, int plane, int groups, int group) {
  return *reinterpret_cast<const Quad*>(planes + (plane * groups + group) * 16);
}

template <int kN>
MLA_DEVICE void AddInt4(const Quad& fields, uint32_t numbers, int group, int groups,
                        const PreparedInput& x, float (&sums)[kN]) {
  const float scale = HalfToFloat(static_cast<uint16_t>(numbers));
  const float minimum = HalfToFloat(static_cast<uint16_t>(numbers >> 16));
  MLA_UNROLL
  for (int i = 0; i < kN; ++i) {
    const uint8_t* planes = x.integers + i * groups * 64;
    int high = 0, low = 0;
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Quad x_high = InputQuad(planes, half, groups, group);
      const Quad x_low = InputQuad(planes, 2 + half, groups, group);
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        const uint32_t word = fields.word[half * 2 + j];
        const int first = static_cast<int>(word & 0x0f0f0f0fu);
        const int second = static_cast<int>(word >> 4 & 0x0f0f0f0fu);
        high = Dot4(second, Word(x_high, 2 * j + 1), Dot4(first, Word(x_high, 2 * j), high));
        low = Dot4(second, Word(x_low, 2 * j + 1), Dot4(first, Word(x_low, 2 * j), low));
      }
    }
    const InputGroup of = x.groups[i * groups + group];
    sums[i] += scale * of.scale * static_cast<float>(high * 128 + low) + minimum * of.sum;
  }
}

template <int kN>
MLA_DEVICE void AddInt8(const Quad& weights, int half, uint32_t numbers, int group, int groups,
                        const PreparedInput& x, float (&sums)[kN]) {
  const float scale = HalfToFloat(static_cast<uint16_t>(numbers >> (16 * half)));
  MLA_UNROLL
  for (int i = 0; i < kN; ++i) {
    const uint8_t* planes = x.integers + i * groups * 64;
    const Quad x_high = InputQuad(planes, half, groups, group);
    const Quad x_low = InputQuad(planes, 2 + half, groups, group);
    int high = 0, low = 0;
    MLA_UNROLL
    for (int j = 0; j < 4; ++j) {
      high = Dot4(Word(weights, j), Word(x_high, j), high);
      low = Dot4(Word(weights, j), Word(x_low, j), low);
    }
    sums[i] += scale * x.groups[i * groups + group].scale * static_cast<float>(high * 128 + low);
  }
}

template <int kCount, int kN>
MLA_DEVICE void AddFloats(const float (&weights)[kCount], int element, int padded,
                          const PreparedInput& x, float (&sums)[kN]) {
  MLA_UNROLL
  for (int i = 0; i < kN; ++i) {
    const Quad* at = reinterpret_cast<const Quad*>(x.floats + i * padded + element);
    MLA_UNROLL
    for (int j = 0; j < kCount; ++j) sums[i] += weights[j] * FloatOfBits(at[j / 4].word[j % 4]);
  }
}

// Quad i of a lane's stage of w[row] · x[j], j < kN. Lanes behind the row's end add zeros.
template <int kN>
MLA_DEVICE void AddQuadOf(GpuForm form, const Stage& weights, int units, int lane, int lanes,
                          int stage, int i, const PreparedInput& x, float (&sums)[kN]) {
  const int quads = QuadsOf(form);
  const int first = (stage * (kStageQuads / quads) + i / quads) * lanes;
  if (first >= units) return;  // the whole warp
  const bool there = first + lane < units;
  const int unit = there ? first + lane : first;
  const auto number = [&](int j) { return there ? weights.numbers[j] : 0; };
  const auto word = [&](int j) { return there ? weights.values[i].word[j] : 0; };
  switch (form) {
    case GpuForm::kInt4:
      return AddInt4<kN>(weights.values[i], number(i), unit, units, x, sums);
    case GpuForm::kInt8:
      return AddInt8<kN>(weights.values[i], i % 2, number(i | 1), unit, units, x, sums);
    case GpuForm::kF32: {
      const float four[4] = {FloatOfBits(word(0)), FloatOfBits(word(1)), FloatOfBits(word(2)),
                             FloatOfBits(word(3))};
      return AddFloats<4, kN>(four, unit * 8 + i % 2 * 4, units * 8, x, sums);
    }
    default: {
      float eight[8];
      WidenEight(form, {{word(0), word(1), word(2), word(3)}}, eight);
      return AddFloats<8, kN>(eight, unit * 8, units * 8, x, sums);
    }
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_MATMUL_GPU_ROW_H_
