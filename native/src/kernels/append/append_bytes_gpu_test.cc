// The cache's rows on the GPU: pages byte for byte as LatentCache::Write has them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cache/gpu_page_memory.h"
#include "kernels/append/append_testing.h"

namespace mla::testing_append {
namespace {

// Rows of all sorts: among the normal ones zeros, equal ones, huge and tiny ones, broken ones.
void MakeHard(int64_t row, int64_t length, float* values) {
  const float huge = std::numeric_limits<float>::max();
  const float tiny = std::numeric_limits<float>::denorm_min();
  switch (row % 8) {
    case 1:
      std::fill_n(values, length, 0.0f);
      break;
    case 2:
      std::fill_n(values, length, -1.37f);
      break;
    case 3:
      values[length / 2] = huge;
      values[length - 1] = -huge;
      break;
    case 4:
      for (int64_t i = 0; i < length; ++i) values[i] *= 1e-7f;
      values[0] = tiny;
      break;
    case 5:  // in rows of floats a real GPU has a NaN of its own
      values[length / 3] = length % 2 == 0 && !TestsRealGpu() ? NAN : INFINITY;
      break;
    case 6:  // between levels
      for (int64_t i = 0; i < length; ++i) values[i] = 0.5f * static_cast<float>(i % 31);
      break;
    default:
      break;
  }
}

void CompareBytes(const LayerLayout& layout, const CacheOptions& options, int turn) {
  SCOPED_TRACE("turn " + std::to_string(turn) + ", latent " +
               std::to_string(static_cast<int>(options.latent)) + ", rope " +
               std::to_string(static_cast<int>(options.rope)) + ", group " +
               std::to_string(options.group) + ", C " + std::to_string(layout.latent) + ", R " +
               std::to_string(layout.rope_dim));
  const auto gpu = std::make_shared<TestGpu>(kOrders[turn % 3]);
  const std::vector<int32_t> tokens = {3, 70, 200};
  const auto host = Caches(options, layout, tokens, HostMemory());
  const auto caches = Caches(options, layout, tokens, std::make_shared<GpuPageMemory>(gpu));
  const std::vector<At> rows = {{1, 63}, {1, 64}, {0, 0},   {2, 199},
                                {2, 2},  {0, 2},  {2, 127}, {1, 0}};
  std::mt19937 random(static_cast<unsigned>(turn));
  const int32_t n = static_cast<int32_t>(rows.size());
  const int64_t keys = int64_t{layout.rope_groups} * layout.rope_dim;
  Rows k(random, n, keys), latent(random, n, layout.latent);
  for (int32_t i = 0; i < n; ++i) {
    if (keys > 0) MakeHard(i + turn, keys, k[i]);
    if (layout.latent > 0) MakeHard(i + turn, layout.latent, latent[i]);
    GroupPacker packer;
    host[rows[i].sequence]->Write(kLayer, rows[i].position, 1, k[i], 0, latent[i], 0, nullptr, 0,
                                  packer);
  }
  const Step step(*gpu, caches, rows);
  const DeviceArray<GpuAppendPiece> pieces(*gpu, PlanGpuAppend(options, layout, false));
  const DeviceArray<float> k_there(*gpu, k.values), latent_there(*gpu, latent.values);
  GpuAppend a = AppendTo(*caches[0], layout, step, pieces);
  a.k = k_there.data();
  a.k_stride = k.stride;
  a.latent = latent_there.data();
  a.latent_stride = latent.stride;
  tested::Launch(*gpu, a);
  for (size_t s = 0; s < tokens.size(); ++s) EXPECT_EQ(Pages(*caches[s]), Pages(*host[s])) << s;
}

TEST(GpuAppendBytes, WritesTheBytesThatTheHostWrites) {
  const LayerLayout layouts[] = {
      Layout(1, 1, 2, {1}),         Layout(3, 3, 6, {33, 7, 32}), Layout(2, 1, 64, {64}),
      Layout(2, 1, 130, {65, 129}), Layout(2, 2, 32, {600}),      Layout(2, 0, 0, {31, 257}),
      Layout(1, 1, 258, {128}),
  };
  int turn = 0;
  for (const LayerLayout& layout : layouts) {
    for (const CacheType type : kTypes) {
      for (const int32_t group : {32, 64}) {
        CacheOptions options = Of(type, turn % 2 == 0 ? 40 : 0, turn % 3 == 0 ? 0 : 3);
        options.group = group;
        if (turn % 4 == 3) options.rope = kTypes[static_cast<size_t>(turn / 4) % std::size(kTypes)];
        ASSERT_NO_FATAL_FAILURE(CompareBytes(layout, options, turn++));
        if (HasFailure()) return;
      }
    }
  }
}

// Every rank, as they meet the ends of groups, blocks and pieces.
TEST(GpuAppendBytes, WritesEveryRank) {
  for (const CacheType type : {CacheType::kInt8, CacheType::kInt4, CacheType::kInt2}) {
    for (int32_t rank = 1; rank <= 300; rank += rank < 70 ? 1 : 23) {
      const int32_t group = rank % 2 == 0 ? 32 : 64;
      CacheOptions options = Of(type);
      options.group = group;
      CompareBytes(Layout(1, 0, 0, {rank}), options, rank);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace mla::testing_append
