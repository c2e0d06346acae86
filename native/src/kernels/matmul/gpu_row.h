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
  return IsQuantized(form) ? cols / 32 : (cols + 7) / 8;
}

// What a lane has on its way: quads of 16 bytes, of which a unit has one or two, and the numbers of
// quantized units.
constexpr int kStageQuads = 4;
struct Stage {
  Quad values[kStageQuads];
  uint32_t numbers[kStageQuads];  // at a unit's last quad
  uint32_t fifths[kStageQuads];   // kInt5
};

MLA_BOTH int QuadsOf(GpuForm form) {  // a unit
  return form == GpuForm::kInt8 || form == GpuForm::kF32 ? 2 : 1;
}
MLA_BOTH int StageUnits(GpuForm form) { return kStageQuads / QuadsOf(form); }  // of a lane

MLA_BOTH int ValueBytesOfRow(GpuForm form, int cols) {
  switch (form) {
    case GpuForm::kInt4:
    case GpuForm::kInt5:
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
          w.scales + int64_t{row} * static_cast<int>(GpuScaleWords(form, cols))};
}

// A lane's first unit of a stage; the others follow `lanes` units apart.
MLA_DEVICE int FirstUnit(GpuForm form, int lane, int lanes, int stage) {
  return lane + stage * StageUnits(form) * lanes;
}

// Where a lane's stage of a row begins. Everything about quad i is a fixed way from there.
struct WeightStage {
  const uint8_t* values;
  const uint8_t* seconds;  // kInt8: the groups' second halves
  const uint32_t* scales;
  const uint32_t* fifths;  // kInt5
  int left;                // units from the lane's first one to the row's end; 0: there is no row
};

MLA_DEVICE WeightStage StageOf(GpuForm form, const WeightRow& row, int units, int first) {
  const uint8_t* values = row.values + first * (form == GpuForm::kF32 ? 32 : 16);
  return {values, values + units * 16, row.scales + first, row.scales + units + first,
          row.values == nullptr ? 0 : units - first};
}

MLA_DEVICE void LoadQuadOf(GpuForm form, const WeightStage& from, int lanes, int i, Stage* to) {
  const int step = i / QuadsOf(form) * lanes;
  const bool wanted = step < from.left;
  const uint8_t* at = form == GpuForm::kInt8 ? (i % 2 == 0 ? from.values : from.seconds) + step * 16
                      : form == GpuForm::kF32 ? from.values + step * 32 + i % 2 * 16
                                              : from.values + step * 16;
  LoadWeights(wanted, at, &to->values[i]);
  if (IsQuantized(form) && i % QuadsOf(form) == QuadsOf(form) - 1) {
    LoadWeight(wanted, from.scales + step, &to->numbers[i]);
  }
  if (form == GpuForm::kInt5) LoadWeight(wanted, from.fifths + step, &to->fifths[i]);
}

MLA_DEVICE void LoadStage(GpuForm form, const WeightStage& from, int lanes, Stage* to) {
  MLA_UNROLL
  for (int i = 0; i < kStageQuads; ++i) LoadQuadOf(form, from, lanes, i, to);
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

// The same of the input: where a lane's stage of its first row begins.
struct InputStage {
  const Quad* planes[4];
  const InputGroup* groups;
  const float* floats;
  int units;      // of a row
  int left;       // from the lane's first one
  int warp_left;  // from the first lane's
};

MLA_DEVICE InputStage StageOf(const PreparedInput& x, int units, int first, int lane) {
  const Quad* planes = reinterpret_cast<const Quad*>(x.integers) + first;
  return {{planes, planes + units, planes + 2 * units, planes + 3 * units},
          x.groups + first,
          x.floats + first * 8,
          units,
          units - first,
          units - first + lane};
}

MLA_DEVICE int Word(const Quad& quad, int i) { return static_cast<int>(quad.word[i]); }

// What is above the four bits of fields 4 `four` .. 4 `four` + 3 of a group.
MLA_DEVICE uint32_t FifthsOf(uint32_t fifths, int four) {
  return (four <= 4 ? fifths << (4 - four) : fifths >> (four - 4)) & 0x10101010u;
}

// `step` units on. kFifths: fields have five bits. Lanes behind the row's end read as the others
// do, up to kInputSlack bytes behind the input's, and add nothing.
template <bool kFifths, int kN>
MLA_DEVICE void AddNibbles(const Quad& fields, uint32_t fifths, uint32_t numbers,
                           const InputStage& x, int step, float (&sums)[kN]) {
  const float scale = HalfToFloat(static_cast<uint16_t>(numbers));
  const float minimum = HalfToFloat(static_cast<uint16_t>(numbers >> 16));
  MLA_UNROLL
  for (int i = 0; i < kN; ++i) {
    int high = 0, low = 0;
    MLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Quad x_high = x.planes[half][step + i * x.units * 4];
      const Quad x_low = x.planes[2 + half][step + i * x.units * 4];
      MLA_UNROLL
      for (int j = 0; j < 2; ++j) {
        const uint32_t word = fields.word[half * 2 + j];
        uint32_t low_fields = word & 0x0f0f0f0fu, high_fields = word >> 4 & 0x0f0f0f0fu;
        if constexpr (kFifths) {
          low_fields |= FifthsOf(fifths, half * 4 + j * 2);
          high_fields |= FifthsOf(fifths, half * 4 + j * 2 + 1);
        }
        const int first = static_cast<int>(low_fields), second = static_cast<int>(high_fields);
        high = Dot4(second, Word(x_high, 2 * j + 1), Dot4(first, Word(x_high, 2 * j), high));
        low = Dot4(second, Word(x_low, 2 * j + 1), Dot4(first, Word(x_low, 2 * j), low));
      }
    }
    const InputGroup group = x.groups[step + i * x.units];
    const float more =
        scale * group.scale * static_cast<float>(high * 128 + low) + minimum * group.sum;
    sums[i] += step < x.left ? more : 0.0f;
  }
}

template <int kN>
MLA_DEVICE void AddInt8(const Quad& weights, int half, uint32_t numbers, const InputStage& x,
                        int step, float (&sums)[kN]) {
  const float scale = HalfToFloat(static_cast<uint16_t>(numbers >> (16 * half)));
  MLA_UNROLL
  for (int i = 0; i < kN; ++i) {
    const Quad x_high = x.planes[half][step + i * x.units * 4];
    const Quad x_low = x.planes[2 + half][step + i * x.units * 4];
    int high = 0, low = 0;
    MLA_UNROLL
    for (int j = 0; j < 4; ++j) {
      high = Dot4(Word(weights, j), Word(x_high, j), high);
      low = Dot4(Word(weights, j), Word(x_low, j), low);
    }
    const float more =
        scale * x.groups[step + i * x.units].scale * static_cast<float>(high * 128 + low);
    sums[i] += step < x.left ? more : 0.0f;
  }
}

template <int kCount, int kN>
MLA_DEVICE void AddFloats(const float (&weights)[kCount], const InputStage& x, int element,
                          float (&sums)[kN]) {
  MLA_UNROLL
  for (int i = 0; i < kN; ++i) {
    const Quad* at = reinterpret_cast<const Quad*>(x.floats + i * x.units * 8 + element);
    MLA_UNROLL
    for (int j = 0; j < kCount; ++j) sums[i] += weights[j] * FloatOfBits(at[j / 4].word[j % 4]);
  }
}

// Quad i of a lane's stage of w[row] · x[j], j < kN.
template <int kN>
MLA_DEVICE void AddQuadOf(GpuForm form, const Stage& weights, const InputStage& x, int lanes, int i,
                          float (&sums)[kN]) {
  const int step = i / QuadsOf(form) * lanes;
  if (step >= x.warp_left) return;
  const Quad& quad = weights.values[i];
  switch (form) {
    case GpuForm::kInt4:
      return AddNibbles<false>(quad, 0, weights.numbers[i], x, step, sums);
    case GpuForm::kInt5:
      return AddNibbles<true>(quad, weights.fifths[i], weights.numbers[i], x, step, sums);
    case GpuForm::kInt8:
      return AddInt8<kN>(quad, i % 2, weights.numbers[i | 1], x, step, sums);
    default:
      if (step >= x.left) return;
      if (form == GpuForm::kF32) {
        const float four[4] = {FloatOfBits(quad.word[0]), FloatOfBits(quad.word[1]),
                               FloatOfBits(quad.word[2]), FloatOfBits(quad.word[3])};
        return AddFloats<4, kN>(four, x, step * 8 + i % 2 * 4, sums);
      }
      float eight[8];
      WidenEight(form, quad, eight);
      return AddFloats<8, kN>(eight, x, step * 8, sums);
  }
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_MATMUL_GPU_ROW_H_
