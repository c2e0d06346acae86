// Norms and rotation on the GPU, and what then is in the cache, against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cache/gpu_page_memory.h"
#include "kernels/append/append_testing.h"
#include "kernels/norm/norm.h"
#include "kernels/rope/rope.h"

namespace mla::testing_append {
namespace {

// A model's attention between projections and cache: as graph/attention_block.cc does it.
struct Problem {
  LayerLayout layout;
  RopeLayout pairs = RopeLayout::kHalves;
  int32_t rotated = 0;
  float factor = 1.0f;
  bool one_table = false;
  bool norms_queries = false, norms_keys = false, weights_a_head = false, norms_last = false;
  int32_t nope = 0;
};

constexpr float kEpsilon = 1e-5f;

struct Case {
  // The same in a GPU's memory.
  struct There {
    There(GpuStream& gpu, const Case& c)
        : q(gpu, c.q.values),
          k(gpu, c.k.values),
          latent(gpu, c.latent.values),
          k_nope(gpu, c.k_nope.values),
          q_weight(gpu, c.q_weight),
          k_weight(gpu, c.k_weight),
          frequencies(gpu, c.frequencies) {}
    DeviceArray<float> q, k, latent, k_nope, q_weight, k_weight, frequencies;
  };

  Case(Problem of, const std::vector<At>& at, uint32_t seed)
      : p(std::move(of)),
        rows(at),
        random(seed),
        n(static_cast<int32_t>(at.size())),
        head_length(p.layout.rope_dim + p.nope),
        q(random, int64_t{n} * p.layout.heads, head_length),
        k(random, n, int64_t{p.layout.rope_groups} * p.layout.rope_dim),
        latent(random, n, p.layout.latent),
        k_nope(random, n, int64_t{p.layout.kv_heads} * p.nope),
        q_weight(RandomRow(random, int64_t{p.layout.heads} * head_length)),
        k_weight(RandomRow(random, int64_t{p.layout.kv_heads} * head_length)) {
    const int64_t pairs = int64_t{std::max(1, p.layout.rope_groups)} * p.rotated / 2;
    for (int64_t i = 0; i < pairs; ++i) {
      frequencies.push_back(static_cast<float>(std::pow(1e4, -double(i) / double(pairs))));
    }
  }

  int64_t HeadStride() const { return p.weights_a_head ? head_length : 0; }

  GpuAppend Call(const There& there, const LatentCache& cache, const Step& step,
                 const DeviceArray<GpuAppendPiece>& pieces) const {
    GpuAppend a = AppendTo(cache, p.layout, step, pieces);
    a.q = there.q.data();
    a.q_head_stride = q.stride;
    a.q_stride = q.stride * p.layout.heads;
    a.k = there.k.data();
    a.k_stride = k.stride;
    a.latent = there.latent.data();
    a.latent_stride = latent.stride;
    a.k_nope = there.k_nope.data();
    a.k_nope_stride = k_nope.stride;
    a.rotation = {p.pairs, p.rotated, p.factor, there.frequencies.data(),
                  p.one_table ? 0 : p.rotated / 2};
    if (p.norms_queries) a.q_norm = {there.q_weight.data(), HeadStride()};
    if (p.norms_keys) a.k_norm = {there.k_weight.data(), HeadStride()};
    a.epsilon = kEpsilon;
    a.norm_after_rotation = p.norms_last;
    a.head_length = head_length;
    a.nope_dim = p.nope;
    return a;
  }

  // What the host does to a row: queries, keys, latents and scalars in place.
  void FinishRow(int32_t i, Rows& to_q, float* keys, float* latents, float* scalars) const {
    if (p.norms_last) Rotate(i, to_q, keys);
    for (int32_t h = 0; p.norms_queries && h < p.layout.heads; ++h) {
      float* row = to_q[int64_t{i} * p.layout.heads + h];
      RmsNormReference(row, 0, q_weight.data() + h * HeadStride(), kEpsilon, row, 0, 1,
                       head_length);
    }
    for (int32_t g = 0; p.norms_keys && g < p.layout.kv_heads; ++g) {
      const float* weight = k_weight.data() + g * HeadStride();
      const int32_t r = p.layout.rope_dim;
      std::vector<float> rest(static_cast<size_t>(p.nope));
      float* cached = nullptr;
      if (p.layout.key_scalar) {
        std::copy_n(k_nope[i] + g * p.nope, p.nope, rest.begin());
      } else if (p.nope > 0) {
        cached = latents + p.layout.segments[static_cast<size_t>(p.layout.key_segment[g])].offset;
        std::copy_n(cached, p.nope, rest.begin());
      }
      double sum = 0;
      for (int32_t j = 0; j < r; ++j) sum += double{keys[g * r + j]} * keys[g * r + j];
      for (const float x : rest) sum += double{x} * x;
      const double scale = 1 / std::sqrt(sum / head_length + double{kEpsilon});
      if (p.layout.key_scalar) {
        scalars[g] = static_cast<float>(scale);
        for (int32_t j = 0; j < r; ++j) keys[g * r + j] *= weight[j];
        const int32_t heads = p.layout.heads / p.layout.kv_heads;
        for (int32_t h = g * heads; h < (g + 1) * heads; ++h) {
          float* others = to_q[int64_t{i} * p.layout.heads + h] + r;
          for (int32_t j = 0; j < p.nope; ++j) others[j] *= weight[r + j];
        }
        continue;
      }
      for (int32_t j = 0; j < r; ++j) {
        keys[g * r + j] = static_cast<float>(keys[g * r + j] * scale * double{weight[j]});
      }
      for (int32_t j = 0; j < p.nope; ++j) {
        cached[j] = static_cast<float>(cached[j] * scale * double{weight[r + j]});
      }
    }
    if (!p.norms_last) Rotate(i, to_q, keys);
  }

  void Rotate(int32_t i, Rows& to_q, float* keys) const {
    if (p.rotated == 0) return;
    const int32_t heads = p.layout.heads / p.layout.rope_groups;
    std::vector<float> table(static_cast<size_t>(p.rotated));
    for (int32_t g = 0; g < p.layout.rope_groups; ++g) {
      RopeAngles(frequencies.data() + (p.one_table ? 0 : g * p.rotated / 2), p.rotated / 2,
                 rows[i].position, p.factor, table.data());
      RopeRotateReference(p.pairs, table.data(), keys + g * p.layout.rope_dim, 0, 1, p.rotated);
      RopeRotateReference(p.pairs, table.data(), to_q[int64_t{i} * p.layout.heads + g * heads],
                          to_q.stride, heads, p.rotated);
    }
  }

  Problem p;
  std::vector<At> rows;
  std::mt19937 random;
  int32_t n;
  int32_t head_length;
  Rows q, k, latent, k_nope;
  std::vector<float> q_weight, k_weight, frequencies;
};

void ExpectNear(const float* actual, const float* expected, int64_t count, const char* what) {
  for (int64_t j = 0; j < count; ++j) {
    ASSERT_NEAR(actual[j], expected[j], 3e-6 * (1 + std::fabs(double{expected[j]})))
        << what << ' ' << j;
  }
}

// The row of an array of floats in a page.
const float* FloatRow(const CacheView& view, const RowArray& array, int32_t position) {
  return reinterpret_cast<const float*>(view.rows.Rows(array, position, 1).data);
}

void Compare(const Problem& problem, int turn) {
  SCOPED_TRACE("turn " + std::to_string(turn));
  const int32_t far = turn % 8 == 0 ? 100003 : 257;
  const std::vector<int32_t> tokens = {70, 200, far + 1};
  const std::vector<At> rows = {{1, 130}, {0, 0}, {2, far}, {0, 69}, {1, 131}};
  Case c(problem, rows, static_cast<uint32_t>(turn));
  const LayerLayout& layout = c.p.layout;

  // What is in the cache, as floats.
  const auto gpu = std::make_shared<TestGpu>(kOrders[turn % 3]);
  const auto memory = std::make_shared<GpuPageMemory>(gpu);
  const CacheOptions floats = Of(CacheType::kF32);
  const auto caches = Caches(floats, layout, tokens, memory);
  const DeviceArray<GpuAppendPiece> pieces(*gpu, PlanGpuAppend(floats, layout, c.p.norms_keys));
  const Step step(*gpu, caches, rows);
  const Case::There there(*gpu, c);
  tested::Launch(*gpu, c.Call(there, *caches[0], step, pieces));
  if (Emulator* emulator = gpu->emulator()) {
    EXPECT_EQ(emulator->launches(), 1);
  }

  Rows q_expected = c.q;
  Rows keys = c.k, latents = c.latent;
  std::vector<float> scalars(static_cast<size_t>(c.n * layout.kv_heads));
  Rows cached_keys = c.k, cached_latents = c.latent;
  for (int32_t i = 0; i < c.n; ++i) {
    c.FinishRow(i, q_expected, keys[i], latents[i], scalars.data() + i * layout.kv_heads);
    const CacheView view = caches[rows[i].sequence]->View(kLayer);
    const int32_t position = rows[i].position;
    for (int32_t g = 0; g < layout.rope_groups; ++g) {
      const std::vector<float> actual =
          Fetch(*gpu, FloatRow(view, view.rows.rope[g], position), layout.rope_dim);
      ExpectNear(actual.data(), keys[i] + g * layout.rope_dim, layout.rope_dim, "key");
      std::copy(actual.begin(), actual.end(), cached_keys[i] + g * layout.rope_dim);
    }
    for (size_t s = 0; s < layout.segments.size(); ++s) {
      const Segment& segment = layout.segments[s];
      const std::vector<float> actual =
          Fetch(*gpu, FloatRow(view, view.rows.latent[s], position), segment.length);
      ExpectNear(actual.data(), latents[i] + segment.offset, segment.length, "latent");
      std::copy(actual.begin(), actual.end(), cached_latents[i] + segment.offset);
    }
    for (int32_t g = 0; layout.key_scalar && g < layout.kv_heads; ++g) {
      float& expected = scalars[static_cast<size_t>(i * layout.kv_heads + g)];
      const float actual = Fetch(*gpu, view.Scalars(g, position), 1)[0];
      ExpectNear(&actual, &expected, 1, "scalar");
      expected = actual;
    }
  }
  c.q.values = there.q.Read();
  for (int64_t i = 0; i < int64_t{c.n} * layout.heads; ++i) {
    ExpectNear(c.q[i], q_expected[i], c.head_length, "query");
    for (int64_t j = c.head_length; j < c.q.stride; ++j) EXPECT_TRUE(std::isnan(c.q[i][j]));
  }
  if (testing::Test::HasFailure()) return;

  // And quantized, as the host would quantize those floats.
  const CacheType type = kTypes[1 + turn % 4];
  CacheOptions options = Of(type, 40, 2);
  options.group = turn % 2 == 0 ? 32 : 64;
  const std::vector<int32_t> few = {70, 200};
  const auto host = Caches(options, layout, few, HostMemory());
  const auto packed = Caches(options, layout, few, memory);
  std::vector<At> near = rows;
  near.erase(near.begin() + 2);
  const Step near_step(*gpu, packed, near);
  const DeviceArray<GpuAppendPiece> packed_pieces(*gpu,
                                                  PlanGpuAppend(options, layout, c.p.norms_keys));
  // The same rows but the far one.
  for (Rows* each : {&c.k, &c.latent, &c.k_nope, &cached_keys, &cached_latents}) {
    each->values.erase(each->values.begin() + 2 * each->stride,
                       each->values.begin() + 3 * each->stride);
  }
  scalars.erase(scalars.begin() + 2 * layout.kv_heads, scalars.begin() + 3 * layout.kv_heads);
  const Case::There near_there(*gpu, c);
  tested::Launch(*gpu, c.Call(near_there, *packed[0], near_step, packed_pieces));
  for (size_t i = 0; i < near.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i);
    GroupPacker packer;
    host[near[i].sequence]->Write(
        kLayer, near[i].position, 1, cached_keys[row], 0, cached_latents[row], 0,
        layout.key_scalar ? &scalars[i * layout.kv_heads] : nullptr, 0, packer);
  }
  for (size_t s = 0; s < few.size(); ++s) EXPECT_EQ(Pages(*packed[s]), Pages(*host[s])) << s;
}

TEST(GpuAppend, NormsAndRotatesAsTheHostDoes) {
  int turn = 0;
  for (const RopeLayout pairs : {RopeLayout::kHalves, RopeLayout::kInterleaved}) {
    const auto run = [&](Problem problem) {
      problem.pairs = pairs;
      Compare(problem, turn++);
    };
    // Plain: rotary keys a head, values a head; partial rotary; YaRN's factor; one table and many.
    Problem plain;
    plain.layout = Layout(2, 2, 64, {64, 64});
    plain.layout.key_segment = {-1, -1};
    plain.rotated = 64;
    plain.one_table = true;
    run(plain);
    plain.rotated = 22;
    plain.factor = 1.25f;
    plain.one_table = false;
    run(plain);
    // A group that heads share, longer than a piece, and an odd rank.
    Problem shared;
    shared.layout = Layout(3, 1, 258, {77});
    shared.rotated = 258;
    shared.nope = 5;
    run(shared);
    // Nothing turns.
    Problem still;
    still.layout = Layout(2, 0, 0, {40});
    still.nope = 8;
    run(still);
    // Qwen3's norms, before and after the rotation, one weight vector and one a head.
    for (const bool last : {false, true}) {
      for (const bool a_head : {false, true}) {
        Problem normed = plain;
        normed.norms_queries = normed.norms_keys = true;
        normed.norms_last = last;
        normed.weights_a_head = a_head;
        run(normed);
        normed.rotated = 64;
        normed.norms_keys = a_head;
        run(normed);
        // Uncompressed keys beside the rotary ones: both are one head's.
        Problem split = normed;
        split.norms_keys = true;
        split.layout = Layout(2, 2, 14, {50, 50, 33});
        split.layout.key_segment = {0, 1};
        split.layout.value_segment = {2, 2};
        split.rotated = 14;
        split.nope = 50;
        run(split);
        // Factored ones: scalars.
        Problem factored = split;
        factored.layout = Layout(2, 2, 14, {91});
        factored.layout.key_scalar = true;
        run(factored);
        factored.norms_queries = false;
        factored.rotated = 10;
        run(factored);
        // No rotary keys at all.
        Problem all_rest = split;
        all_rest.layout = Layout(2, 0, 0, {50, 50, 33});
        all_rest.layout.key_segment = {0, 1};
        all_rest.rotated = 0;
        run(all_rest);
      }
    }
    if (HasFailure()) return;
  }
}

// A float's product of position and frequency is off by up to 0.004 at 1e5.
TEST(GpuAppend, AnglesOfFarPositionsAreRight) {
  const std::vector<int32_t> positions = {1, 1000, 99999, 131071, 1000003, 1 << 30};
  const std::vector<float> frequencies = {1.0f, 0.86596f, 0.1f, 1e-4f, 3.1415927f};
  const int32_t pairs = static_cast<int32_t>(frequencies.size());
  std::vector<float> q;
  for (size_t i = 0; i < positions.size(); ++i) {
    for (int32_t p = 0; p < pairs; ++p) q.insert(q.end(), {1.0f, 0.0f});
  }
  TestGpu gpu;
  const DeviceArray<int32_t> positions_there(gpu, positions);
  const DeviceArray<uint8_t* const*> tables(gpu, std::vector<uint8_t* const*>(positions.size()));
  const DeviceArray<float> q_there(gpu, q), frequencies_there(gpu, frequencies);
  GpuAppend a;
  a.n = static_cast<int32_t>(positions.size());
  a.positions = positions_there.data();
  a.tables = tables.data();
  a.q = q_there.data();
  a.q_stride = 2 * pairs;
  a.heads = a.kv_heads = 1;
  a.rotation = {RopeLayout::kInterleaved, 2 * pairs, 1.5f, frequencies_there.data(), 0};
  tested::Launch(gpu, a);
  q = q_there.Read();
  for (size_t i = 0; i < positions.size(); ++i) {
    for (int32_t p = 0; p < pairs; ++p) {
      const double angle = double(positions[i]) * double(frequencies[p]);
      const size_t at = (i * pairs + p) * 2;
      EXPECT_NEAR(q[at], 1.5 * std::cos(angle), 4e-7) << positions[i] << ' ' << p;
      EXPECT_NEAR(q[at + 1], 1.5 * std::sin(angle), 4e-7) << positions[i] << ' ' << p;
    }
  }
}

// A recorded step goes on with the next positions, other sequences, and fewer rows.
TEST(GpuAppend, AReplayReadsPositionsAndTablesAnew) {
  const CacheOptions options = Of(CacheType::kInt4, 40, 2);
  Problem problem;
  problem.layout = Layout(2, 2, 32, {40});
  problem.rotated = 32;
  const auto gpu = std::make_shared<TestGpu>(Emulator::Order::kShuffled);
  const std::vector<int32_t> tokens = {70, 200};
  const auto memory = std::make_shared<GpuPageMemory>(gpu);
  const auto caches = Caches(options, problem.layout, tokens, memory);
  const auto expected = Caches(options, problem.layout, tokens, memory);
  const Case c(problem, {{0, 0}, {1, 0}}, 1);
  const DeviceArray<GpuAppendPiece> pieces(*gpu, PlanGpuAppend(options, problem.layout, false));
  Step step(*gpu, caches, c.rows);
  Case::There there(*gpu, c);
  const GpuAppend call = c.Call(there, *caches[0], step, pieces);
  auto recording = gpu->Record([&] { tested::Launch(*gpu, call); });
  ASSERT_TRUE(recording.ok());
  const std::vector<std::vector<At>> steps = {
      {{0, 0}, {1, 63}}, {{1, 64}, {0, 1}}, {{1, 65}, {0, -1}}};
  const std::vector<float>& q = c.q.values;
  for (const std::vector<At>& rows : steps) {
    step.Write(caches, rows);
    there.q.Write(q);
    gpu->Replay(*recording.value());
    const std::vector<float> replayed = there.q.Read();
    // One by one.
    for (int64_t i = 0; i < 2; ++i) {
      if (rows[i].position < 0) {
        const auto begin = static_cast<std::ptrdiff_t>(i * call.q_stride);
        EXPECT_EQ(std::memcmp(&replayed[begin], &q[begin], call.q_stride * 4), 0);
        continue;
      }
      const Step alone(*gpu, expected, {rows[i]});
      GpuAppend one = c.Call(there, *expected[0], alone, pieces);
      const DeviceArray<float> own_there(*gpu, q.data() + i * call.q_stride, call.q_stride);
      one.q = own_there.data();
      one.k += i * one.k_stride;
      one.latent += i * one.latent_stride;
      tested::Launch(*gpu, one);
      const std::vector<float> own = own_there.Read();
      EXPECT_EQ(std::memcmp(own.data(), &replayed[i * call.q_stride], own.size() * 4), 0);
    }
  }
  for (size_t s = 0; s < 2; ++s) EXPECT_EQ(Pages(*caches[s]), Pages(*expected[s]));
}

}  // namespace
}  // namespace mla::testing_append
