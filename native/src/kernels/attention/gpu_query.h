// How a query becomes halves or bf16, once for all splits, and in what powers of two scores and
// weights are.
#ifndef MLA_KERNELS_ATTENTION_GPU_QUERY_H_
#define MLA_KERNELS_ATTENTION_GPU_QUERY_H_

#include <cstdint>

#include "cuda/simt.h"
#include "kernels/attention/gpu_floats.h"
#include "kernels/attention/gpu_work.h"

namespace mla::MLA_GPU {

// Scores are powers of two, not of e.
constexpr float kLog2E = 1.4426950408889634f;
// Weights are at most this power of two, so that small ones are normal halves, and so are most
// times a scale (gpu_sums.h); scales up to 4,096 overflow nothing.
constexpr float kHeadroom = 4.0f;
// Where they are relative to a reference that follows the largest score (gpu_latent_kernel.h): how
// far a score may be beyond it, and of which power of two the weight of one is that is not. Weights
// are at most 2^(kBelow + kLag) = 2^kHeadroom.
constexpr float kLag = 8.0f, kBelow = kHeadroom - kLag;

struct FourFloats {
  float of[4];
};

// A column's query in the order of strips: rotary elements, then those in latent space.
struct QueryRow {
  const float* rope;  // null where there are none
  const float* latent;
  int rope_length, rope_elements;  // without, with zeros up to a strip
  int key_length;

  // Whether fours lie at 16-byte boundaries, whole or not at all.
  MLA_DEVICE bool aligned() const {
    return (reinterpret_cast<uintptr_t>(rope) | reinterpret_cast<uintptr_t>(latent)) % 16 == 0 &&
           (rope_length | key_length) % 4 == 0;
  }
  // Elements e .. e + 3, e a multiple of four.
  template <bool kAligned>
  MLA_DEVICE FourFloats Four(int e) const {
    const bool is_rope = e < rope_elements;
    const int at = is_rope ? e : e - rope_elements;
    const int left = (is_rope ? rope_length : key_length) - at;
    const float* from = is_rope ? rope : latent;
    FourFloats four = {};
    if constexpr (kAligned) {
      if (left > 0) {
        const Quad quad = LoadQuad(from + at);
        MLA_UNROLL
        for (int i = 0; i < 4; ++i) four.of[i] = FloatOfBits(quad.word[i]);
      }
    } else {
      MLA_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (i < left) four.of[i] = from[at + i];
      }
    }
    return four;
  }
};

// One warp: the query times a power of two that brings its largest element to 1 .. 2, rounded, and
// the inverse of that. A query with a NaN or an infinity keeps it. `store` is called with each two
// elements by their number, `store_sum` for every 32 elements with their number and their sum in
// two halves: what it is, and in the upper one what that lacks.
template <MmaFloat kFloat, bool kAligned, typename Store, typename StoreSum>
MLA_DEVICE float LoadQueryTo(const QueryRow& row, int elements, const Store& store,
                             const StoreSum& store_sum) {
  float largest = 0.0f;
  MLA_UNROLL_BY(8)
  for (int e = Lane() * 4; e < elements; e += kWarp * 4) {
    const FourFloats four = row.Four<kAligned>(e);
    MLA_UNROLL
    for (int i = 0; i < 4; ++i) largest = Max(largest, Abs(four.of[i]));
  }
  largest = MaxOver(largest, kWarp);
  // The power of two below it, kept where its inverse is a normal number, too.
  const uint32_t most = BitsOfFloat(largest) >> 23;
  const uint32_t exponent = most < 1 ? 1 : most > 252 ? 252 : most;
  const float inverse = FloatOfBits((254 - exponent) << 23);
  MLA_UNROLL_BY(4)
  for (int first = 0; first < elements; first += kWarp * 4) {
    const int e = first + Lane() * 4;
    FourFloats four = {};
    if (e < elements) four = row.Four<kAligned>(e);
    float sum = 0.0f;
    MLA_UNROLL
    for (int i = 0; i < 2; ++i) {
      const uint32_t pair =
          PackFloats<kFloat>(four.of[2 * i] * inverse, four.of[2 * i + 1] * inverse);
      if (e < elements) store(e / 2 + i, pair);
      sum += LowFloat<kFloat>(pair) + HighFloat<kFloat>(pair);
    }
    sum = SumOver(sum, kScoreStrip / 4);
    if (e < elements && e % kScoreStrip == 0) {
      const uint16_t most_of_it = FloatToHalf(sum);
      store_sum(e / kScoreStrip,
                most_of_it | static_cast<uint32_t>(FloatToHalf(sum - HalfToFloat(most_of_it)))
                                 << 16);
    }
  }
  return FloatOfBits(exponent << 23);
}

// The same as halves to memory, without sums.
template <bool kAligned>
MLA_DEVICE float LoadQuery(const QueryRow& row, int elements, uint32_t* to) {
  return LoadQueryTo<MmaFloat::kHalf, kAligned>(
      row, elements, [&](int i, uint32_t pair) { to[i] = pair; }, [](int, uint32_t) {});
}

// A prepared query in the workspace: [query_pitch] units of eight elements, [query_pitch / 4] sums
// of its strips, and the factor that makes a product with it a score, in powers of two.
MLA_DEVICE uint8_t* PreparedQuery(const AttendArgs& a, int sequence, int query, int head) {
  const int64_t row = (int64_t{sequence} * a.sizes.queries + query) * a.sizes.heads + head;
  return static_cast<uint8_t*>(a.call.workspace) + a.query_begin + row * a.sizes.query_bytes();
}

// One warp: a query's elements, sums and factor to where they are wanted (LoadQueryTo).
template <MmaFloat kFloat, typename Store, typename StoreSum>
MLA_DEVICE void PrepareQueryTo(const AttendArgs& a, int sequence, int query, int head,
                               const Store& store, const StoreSum& store_sum, float* factor) {
  const GpuAttention& call = a.call;
  QueryRow row = {nullptr, nullptr, 0, 0, 0};
  if (a.sizes.rope_length > 0) {
    row.rope = call.q_rope + sequence * call.q_rope_sequence + query * call.q_rope_query +
               head * call.q_rope_head;
    row.rope_length = a.sizes.rope_length;
    row.rope_elements = (row.rope_length + kScoreStrip - 1) / kScoreStrip * kScoreStrip;
  }
  row.key_length = call.tables[a.sizes.tasks + a.sizes.heads + head];
  if (row.key_length > 0) {
    row.latent = call.q_latent + sequence * call.q_latent_sequence + query * call.q_latent_query +
                 head * call.q_latent_head;
  }
  const int elements = a.sizes.query_pitch * kUnitElements;
  const float by = row.aligned() ? LoadQueryTo<kFloat, true>(row, elements, store, store_sum)
                                 : LoadQueryTo<kFloat, false>(row, elements, store, store_sum);
  if (Lane() == 0) *factor = by * (call.scale * kLog2E);
}
template <MmaFloat kFloat>
MLA_DEVICE void PrepareQuery(const AttendArgs& a, int sequence, int query, int head, uint8_t* to,
                             uint32_t* sums, float* factor) {
  uint32_t* pairs = reinterpret_cast<uint32_t*>(to);
  PrepareQueryTo<kFloat>(
      a, sequence, query, head, [&](int i, uint32_t pair) { pairs[i] = pair; },
      [&](int strip, uint32_t sum) { sums[strip] = sum; }, factor);
}

}  // namespace mla::MLA_GPU
#endif  // MLA_KERNELS_ATTENTION_GPU_QUERY_H_
