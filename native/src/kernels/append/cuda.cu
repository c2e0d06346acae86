#include "cache/group_arithmetic.h"
#include "cuda/simt.h"
#include "kernels/append/gpu.h"

namespace mla::MLA_GPU {
namespace {

// A warp a block: its part is a chain of short steps, at its quickest with a processor for itself.
constexpr int kBlockThreads = kWarp;
constexpr int kLanesAGroup = 8;  // of a cache row's elements, for each of the piece's four groups
constexpr int kGroups = kWarp / kLanesAGroup;
// A piece's elements, its groups one bank apart: all of a group's lanes read one element at a time.
constexpr int kPieceFloats = kGroups * (kMostGroup + 1);
static_assert(kMostTried <= kLanesAGroup);

struct Angle {
  float cos, sin;
};

// Of pair i of a group. Turns are counted in double, what is left of one fits a float: at position
// 1e6 a float's angle would be wrong by whole hundredths.
MLA_DEVICE Angle AngleOf(const GpuRotation& r, int group, int pair, int position) {
  constexpr double kInverseTurn = 0.15915494309189533577;  // 1 / 2π
  const double frequency = static_cast<double>(r.frequencies[group * r.group_stride + pair]);
  const double turns = static_cast<double>(position) * frequency * kInverseTurn;
  const float part = static_cast<float>(2.0 * (turns - RoundToWhole(turns)));
  Angle angle;
  SinCosPi(part, &angle.sin, &angle.cos);
  angle.sin *= r.factor;
  angle.cos *= r.factor;
  return angle;
}

// The angle of element j of a group.
MLA_DEVICE Angle AngleOfElement(const GpuRotation& r, int group, int j, int position) {
  if (j >= r.dims) return {1.0f, 0.0f};
  return AngleOf(r, group, r.layout == RopeLayout::kHalves ? j % (r.dims / 2) : j / 2, position);
}

// Which element is a pair's first, and how far on its second.
MLA_DEVICE int FirstOf(const GpuRotation& r, int pair) {
  return r.layout == RopeLayout::kHalves ? pair : 2 * pair;
}
MLA_DEVICE int Apart(const GpuRotation& r) {
  return r.layout == RopeLayout::kHalves ? r.dims / 2 : 1;
}

MLA_DEVICE float InverseRms(float squares, int count, float epsilon) {
  return Rsqrt(squares / static_cast<float>(count) + epsilon);
}

// Warp.
MLA_DEVICE float SumOfSquares(const float* x, int begin, int end) {
  float sum = 0.0f;
  for (int j = begin + Lane(); j < end; j += kWarp) sum += x[j] * x[j];
  return SumOver(sum, kWarp);
}

// Warp: a head's query, normed and rotated. Waits for earlier launches.
MLA_DEVICE void FinishQuery(const GpuAppend& a, int row, int head, int position) {
  float* q = a.q + row * a.q_stride + head * a.q_head_stride;
  const GpuRotation& r = a.rotation;
  const int pairs = r.dims / 2, apart = Apart(r);
  const int group = a.rope_groups > 1 ? head / (a.heads / a.rope_groups) : 0;
  const float* weight = nullptr;
  float scale = 1.0f;
  Angle angle = {1.0f, 0.0f};
  if (Lane() < pairs) angle = AngleOf(r, group, Lane(), position);
  WaitForEarlier();
  if (a.q_norm.weight != nullptr) {
    weight = a.q_norm.weight + head * a.q_norm.head_stride;
    float sum = 0.0f;
    for (int p = Lane(); p < pairs; p += kWarp) {
      const float x = q[FirstOf(r, p)], y = q[FirstOf(r, p) + apart];
      // A turn leaves the sum as it is but for its factor.
      const float factor = a.norm_after_rotation ? r.factor : 1.0f;
      sum += factor * factor * (x * x + y * y);
    }
    sum = SumOver(sum, kWarp) + SumOfSquares(q, r.dims, a.head_length);
    scale = InverseRms(sum, a.head_length, a.epsilon);
  }
  for (int p = Lane(); p < pairs; p += kWarp) {
    const int first = FirstOf(r, p), second = first + apart;
    const float by_first = weight == nullptr ? 1.0f : scale * weight[first];
    const float by_second = weight == nullptr ? 1.0f : scale * weight[second];
    float x = q[first], y = q[second];
    if (p >= kWarp) angle = AngleOf(r, group, p, position);
    if (!a.norm_after_rotation) {
      x *= by_first;
      y *= by_second;
    }
    float turned_x = x * angle.cos - y * angle.sin;
    float turned_y = x * angle.sin + y * angle.cos;
    if (a.norm_after_rotation) {
      turned_x *= by_first;
      turned_y *= by_second;
    }
    q[first] = turned_x;
    q[second] = turned_y;
  }
  if (weight == nullptr && !a.key_scalar) return;
  const float* key_weight = a.k_norm.weight + head / (a.heads / a.kv_heads) * a.k_norm.head_stride;
  for (int j = r.dims + Lane(); j < a.head_length; j += kWarp) {
    float x = q[j];
    if (weight != nullptr) x *= scale * weight[j];
    if (a.key_scalar && j >= a.rope_dim) x *= key_weight[j];
    q[j] = x;
  }
}

// Element j of a rotary group's key, rotated by its angle, and multiplied with scale * weight where
// there are weights.
MLA_DEVICE float RotaryKey(const GpuAppend& a, const float* k, int j, const Angle& angle,
                           const float* weight, float scale) {
  const GpuRotation& r = a.rotation;
  const float by = weight == nullptr ? 1.0f : scale * weight[j];
  if (j >= r.dims) return k[j] * by;
  const int apart = Apart(r);
  const int pair = r.layout == RopeLayout::kHalves ? j % apart : j / 2;
  const bool is_first = j == FirstOf(r, pair);
  const int other = is_first ? j + apart : j - apart;
  float x = k[j], y = k[other];
  if (weight != nullptr && !a.norm_after_rotation) {
    x *= by;
    y *= scale * weight[other];
  }
  const float turned = is_first ? x * angle.cos - y * angle.sin : y * angle.sin + x * angle.cos;
  return a.norm_after_rotation ? turned * by : turned;
}

// Warp: 1 / rms of a KV head's whole key.
MLA_DEVICE float KeyScale(const GpuAppend& a, const float* k, const float* rest) {
  const float factor = a.norm_after_rotation ? a.rotation.factor : 1.0f;
  float sum = factor * factor * SumOfSquares(k, 0, a.rotation.dims);
  sum += SumOfSquares(k, a.rotation.dims, a.rope_dim);
  sum += SumOfSquares(rest, 0, a.nope_dim);
  return InverseRms(sum, a.head_length, a.epsilon);
}

// Warp: the scalar of a KV head's key.
MLA_DEVICE void WriteScalar(const GpuAppend& a, int row, int kv_head, int position, uint8_t* page) {
  const float scale = KeyScale(a, a.k + row * a.k_stride + kv_head * a.rope_dim,
                               a.k_nope + row * a.k_nope_stride + kv_head * a.nope_dim);
  if (Lane() != 0) return;
  reinterpret_cast<float*>(page + a.scalars)[kv_head * kPageTokens + position % kPageTokens] =
      scale;
}

// Where element i of a piece is in the warp's shared memory.
MLA_DEVICE int Slot(int i, int group) { return i + i / group; }

// Warp.
MLA_DEVICE void WriteFloats(const GpuAppendPiece& piece, const RowArray& to, uint8_t* page,
                            int slot, const float* values, int group) {
  uint8_t* row = page + to.values + slot * to.format.stride;
  for (int i = Lane(); i < piece.count; i += kWarp) {
    const float value = values[Slot(i, group)];
    if (to.format.type == CacheType::kF32) {
      reinterpret_cast<float*>(row)[piece.begin + i] = value;
    } else if (to.format.type == CacheType::kBf16) {
      reinterpret_cast<uint16_t*>(row)[piece.begin + i] = FloatToBfloat16(value);
    } else {
      reinterpret_cast<uint16_t*>(row)[piece.begin + i] = FloatToHalf(ClampToHalf(value));
    }
  }
}

// A group's range, and what a lane's share of it gives; kCount > 0: of so many elements, held in
// registers.
template <int kCount>
MLA_DEVICE void TryShare(CacheType type, const float* values, int n, int lane, GroupRange* range,
                         RangeTrial* trial) {
  const int count = kCount > 0 ? kCount : n;
  *range = GroupRange::Of(values, count);
  *trial = RangeTrial::Of(values, count, *range, TriedShare(type, lane), MostLevel(type));
}

// Of a group's elements, as its eight lanes found it together.
struct GroupNumbers {
  uint16_t scale, minimum;
  bool finite;
};

// Warp. Sums go through a group's elements in their order in one lane, so that they are the host's;
// what is side by side are groups and the ranges that are tried.
MLA_DEVICE GroupNumbers ScaleGroup(CacheType type, const float* values, int n) {
  const int lane = Lane() % kLanesAGroup, first_lane = Lane() - lane;
  float broken = 0.0f, largest = 0.0f;
  for (int i = lane; i < n; i += kLanesAGroup) {
    if (!IsFinite(values[i])) broken = 1.0f;
    largest = Max(largest, Abs(values[i]));
  }
  GroupNumbers out = {0, 0, MaxOver(broken, kLanesAGroup) == 0.0f};
  if (type == CacheType::kInt8) {
    out.scale = FloatToHalf(ClampToHalf(Int8Scale(MaxOver(largest, kLanesAGroup))));
  } else {
    const float most_level = MostLevel(type);
    const int tried = TriedShares(type);
    GroupRange range = {0.0f, 0.0f, 0.0f};
    RangeTrial mine = {0.0f, 0.0f, 0.0f};
    if (n > 0 && lane < tried) {
      if (n == 32) {
        TryShare<32>(type, values, n, lane, &range, &mine);
      } else {
        TryShare<0>(type, values, n, lane, &range, &mine);
      }
    }
    RangeFit fit = RangeFit::Plain(range, most_level);
    for (int i = 0; i < tried; ++i) {
      const RangeTrial trial = {Shuffle(mine.levels, first_lane + i),
                                Shuffle(mine.along, first_lane + i),
                                Shuffle(mine.spread, first_lane + i)};
      if (n > 0) fit.Consider(trial, range, n);
    }
    // Lanes that tried nothing know no range.
    out.scale = FloatToHalf(ClampToHalf(Shuffle(fit.scale, first_lane)));
    out.minimum = FloatToHalf(ClampToHalf(Shuffle(fit.minimum, first_lane)));
  }
  if (!out.finite) out.scale = out.minimum = kHalfNaN;
  return out;
}

// The fields of a block's first `count` elements; there is memory for all.
template <CacheType kType>
MLA_DEVICE uint32_t PackBlock(const float* values, int count, float minimum, float inverse) {
  constexpr RowFormat kFormat = {kType, 0, 0, 0, 0};
  uint32_t word = 0;
  MLA_UNROLL
  for (int i = 0; i < kFormat.block_elements(); ++i) {
    const float there = values[i], value = i < count ? there : minimum;
    const uint32_t field =
        kType == CacheType::kInt8
            ? Int8Field(value, inverse)
            : static_cast<uint32_t>(RangeLevel(value, minimum, inverse, MostLevel(kType)));
    word |= (i < count ? field : 0) << kFormat.field_shift(i);
  }
  return word;
}

// Warp.
MLA_DEVICE void WritePacked(const GpuAppendPiece& piece, uint8_t* page, int slot,
                            const float* shared) {
  const RowFormat& format = piece.rows.format;
  const int lane = Lane() % kLanesAGroup, part = Lane() / kLanesAGroup;
  const int begin = part * format.group;  // in the piece
  const int left = piece.count - begin;
  const int n = left < 0 ? 0 : left < format.group ? left : format.group;
  const float* values = shared + Slot(begin, format.group);
  const GroupNumbers numbers = ScaleGroup(format.type, values, n);
  if (n == 0) return;
  const int group = (piece.begin + begin) / format.group;
  if (lane == 0) {
    uint16_t* scales = reinterpret_cast<uint16_t*>(page + piece.rows.scales) +
                       group * format.scales_per_group * kPageTokens + slot;
    scales[0] = numbers.scale;
    if (format.scales_per_group == 2) scales[kPageTokens] = numbers.minimum;
  }
  const float inverse = numbers.finite ? Inverse(HalfToFloat(numbers.scale)) : 0.0f;
  const float minimum = HalfToFloat(numbers.minimum);
  const int elements = format.block_elements();
  uint8_t* row = page + piece.rows.values + slot * format.stride;
  for (int block = lane; block * elements < n; block += kLanesAGroup) {
    const int count = numbers.finite ? n - block * elements : 0;
    const float* from = values + block * elements;
    const uint32_t word = format.type == CacheType::kInt8
                              ? PackBlock<CacheType::kInt8>(from, count, minimum, inverse)
                          : format.type == CacheType::kInt4
                              ? PackBlock<CacheType::kInt4>(from, count, minimum, inverse)
                              : PackBlock<CacheType::kInt2>(from, count, minimum, inverse);
    const int64_t at = (piece.begin + begin) / elements + block;
    *reinterpret_cast<uint32_t*>(row + at * kBlockStride) = word;
  }
}

// Warp: a piece of the row's rotary keys or latents to the pages. What does not hang on earlier
// launches, where to and by which angles, comes before it waits for them.
MLA_DEVICE void WritePiece(const GpuAppend& a, const GpuAppendPiece& piece, int row, int position,
                           uint8_t* const* table, float* shared) {
  const float* keys = a.k + row * a.k_stride;
  const float* latents = a.latent + row * a.latent_stride;
  const int page = position / kPageTokens, slot = position % kPageTokens;
  uint8_t* rows = table[a.places.Rows(a.layer, page)];
  uint8_t* exact = a.window ? table[a.places.Exact(a.layer, page)] : nullptr;
  uint8_t* first = position < a.sink ? table[a.places.First(a.layer)] : nullptr;
  const bool rotary = piece.rope_group >= 0;
  constexpr int kAhead = 2;  // of a lane's elements
  Angle angles[kAhead] = {};
  MLA_UNROLL
  for (int j = 0; j < kAhead; ++j) {
    const int i = Lane() + j * kWarp;
    if (!rotary || i >= piece.count) continue;
    angles[j] = AngleOfElement(a.rotation, piece.rope_group, piece.begin + i, position);
  }
  WaitForEarlier();
  const float* weight = nullptr;
  float scale = 1.0f;
  if (piece.kv_head >= 0) {
    weight = a.k_norm.weight + piece.kv_head * a.k_norm.head_stride;
    if (!a.key_scalar) {
      scale = KeyScale(a, keys + piece.kv_head * a.rope_dim, latents + piece.rest);
    }
  }
  // Floats have no groups; then it is the padding alone that they decide.
  const int group = piece.rows.format.packed() ? piece.rows.format.group : kMostGroup;
  const auto place = [&](int i, const Angle& angle) {
    const int j = piece.begin + i;
    float value;
    if (rotary) {
      value = RotaryKey(a, keys + piece.source, j, angle, weight, scale);
    } else {
      value = latents[piece.source + j];
      if (weight != nullptr) value *= scale * weight[piece.weight + j];
    }
    shared[Slot(i, group)] = value;
  };
  MLA_UNROLL
  for (int j = 0; j < kAhead; ++j) {
    if (Lane() + j * kWarp < piece.count) place(Lane() + j * kWarp, angles[j]);
  }
  MLA_UNROLL_BY(1)
  for (int i = Lane() + kAhead * kWarp; i < piece.count; i += kWarp) {
    place(i, rotary ? AngleOfElement(a.rotation, piece.rope_group, piece.begin + i, position)
                    : Angle{1.0f, 0.0f});
  }
  SyncWarp();
  if (piece.rows.format.packed()) {
    WritePacked(piece, rows, slot, shared);
  } else {
    WriteFloats(piece, piece.rows, rows, slot, shared, group);
  }
  if (exact != nullptr) WriteFloats(piece, piece.exact, exact, slot, shared, group);
  if (first != nullptr) WriteFloats(piece, piece.first, first, slot, shared, group);
}

// A warp has one of a row's parts: a head's query, a piece of the cache's row, or a scalar.
MLA_KERNEL void Append(const GpuAppend a) {
  LetLaterStart();
  // No kernel writes positions, tables and pieces.
  const int row = BlockY(), position = a.positions[row];
  if (position < 0) {
    WaitForEarlier();
    return;
  }
  int part = BlockX();
  const int queries = a.q == nullptr ? 0 : a.heads;
  if (part < queries) {
    FinishQuery(a, row, part, position);
    return;
  }
  part -= queries;
  uint8_t* const* table = a.tables[row];
  if (part < a.piece_count) {
    const GpuAppendPiece piece = a.pieces[part];
    WritePiece(a, piece, row, position, table, reinterpret_cast<float*>(SharedMemory()));
    return;
  }
  part -= a.piece_count;
  uint8_t* page = table[a.places.Rows(a.layer, position / kPageTokens)];
  WaitForEarlier();
  WriteScalar(a, row, part, position, page);
}

}  // namespace

void Launch(GpuStream& stream, const GpuAppend& args) {
  const int parts = (args.q == nullptr ? 0 : args.heads) + args.piece_count +
                    (args.key_scalar ? args.kv_heads : 0);
  const int shared = kPieceFloats * static_cast<int>(sizeof(float));
  Launch(stream, {parts, args.n}, kBlockThreads, shared, Append, args);
}

}  // namespace mla::MLA_GPU
