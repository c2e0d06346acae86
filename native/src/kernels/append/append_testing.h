// For tests of the GPU's append: rows, caches of several sequences, and what of them a step has.
#ifndef MLA_KERNELS_APPEND_APPEND_TESTING_H_
#define MLA_KERNELS_APPEND_APPEND_TESTING_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "cache/cache_testing.h"
#include "cache/latent_cache.h"
#include "cuda/gpu_testing.h"
#include "kernels/append/gpu.h"

namespace mla::testing_append {

inline constexpr CacheType kTypes[] = {CacheType::kF32,  CacheType::kF16,  CacheType::kInt8,
                                       CacheType::kInt4, CacheType::kInt2, CacheType::kBf16};
inline constexpr int32_t kLayers = 3;
inline constexpr int32_t kLayer = 1;  // that rows are appended to

// Rows of floats with NaN between them.
struct Rows {
  Rows(std::mt19937& random, int64_t count, int64_t length)
      : stride(length + 3), values(static_cast<size_t>(count * stride), NAN) {
    for (int64_t i = 0; i < count; ++i) {
      const std::vector<float> row = RandomRow(random, length);
      std::copy(row.begin(), row.end(), (*this)[i]);
    }
  }
  float* operator[](int64_t i) { return values.data() + i * stride; }
  const float* operator[](int64_t i) const { return values.data() + i * stride; }

  int64_t stride;
  std::vector<float> values;
};

inline LayerLayout Layout(int32_t kv_heads, int32_t groups, int32_t rope_dim,
                          const std::vector<int32_t>& segments) {
  LayerLayout layout;
  layout.kv_heads = kv_heads;
  layout.heads = 2 * kv_heads;
  layout.rope_groups = rope_dim > 0 ? groups : 0;
  layout.rope_dim = rope_dim;
  for (const int32_t length : segments) {
    layout.segments.push_back({layout.latent, length});
    layout.latent += length;
  }
  layout.key_segment.assign(static_cast<size_t>(kv_heads), segments.empty() ? -1 : 0);
  layout.value_segment.assign(static_cast<size_t>(kv_heads), 0);
  return layout;
}

// Sequences of the same model, each with room for positions up to `tokens`.
inline std::vector<std::unique_ptr<LatentCache>> Caches(const CacheOptions& options,
                                                        const LayerLayout& layout,
                                                        const std::vector<int32_t>& tokens,
                                                        const std::shared_ptr<PageMemory>& memory) {
  std::vector<std::unique_ptr<LatentCache>> caches;
  for (const int32_t n : tokens) {
    auto cache =
        LatentCache::Create(options, std::vector<LayerLayout>(kLayers, layout), n + 70, memory);
    EXPECT_TRUE(cache.ok()) << cache.status().message();
    caches.push_back(std::move(cache.value()));
    EXPECT_TRUE(caches.back()->Reserve(n).ok());
    EXPECT_TRUE(caches.back()->ReserveWindow(n).ok());
    EXPECT_TRUE(caches.back()->UpdatePageTable().ok());
  }
  return caches;
}

// Which sequence's row, and where.
struct At {
  size_t sequence;
  int32_t position;
};

// Of which rows a launch is.
struct Step {
  Step(GpuStream& gpu, const std::vector<std::unique_ptr<LatentCache>>& caches,
       const std::vector<At>& rows)
      : positions(gpu, Positions(rows)), tables(gpu, Tables(caches, rows)) {}

  // As many others.
  void Write(const std::vector<std::unique_ptr<LatentCache>>& caches, const std::vector<At>& rows) {
    positions.Write(Positions(rows));
    tables.Write(Tables(caches, rows));
  }

  static std::vector<int32_t> Positions(const std::vector<At>& rows) {
    std::vector<int32_t> positions;
    for (const At& at : rows) positions.push_back(at.position);
    return positions;
  }
  static std::vector<uint8_t* const*> Tables(
      const std::vector<std::unique_ptr<LatentCache>>& caches, const std::vector<At>& rows) {
    std::vector<uint8_t* const*> tables;
    for (const At& at : rows) tables.push_back(caches[at.sequence]->page_table());
    return tables;
  }

  DeviceArray<int32_t> positions;
  DeviceArray<uint8_t* const*> tables;
};

inline GpuAppend AppendTo(const LatentCache& cache, const LayerLayout& layout, const Step& step,
                          const DeviceArray<GpuAppendPiece>& pieces) {
  const CacheView view = cache.View(kLayer);
  GpuAppend a;
  a.n = static_cast<int32_t>(step.positions.count());
  a.positions = step.positions.data();
  a.tables = step.tables.data();
  a.layer = kLayer;
  a.heads = layout.heads;
  a.kv_heads = layout.kv_heads;
  a.rope_groups = layout.rope_groups;
  a.rope_dim = layout.rope_dim;
  a.pieces = pieces.data();
  a.piece_count = static_cast<int32_t>(pieces.count());
  a.places = cache.page_table_places();
  a.window = view.residual > 0;
  a.sink = view.sink;
  a.key_scalar = layout.key_scalar;
  a.scalars = view.scalars;
  return a;
}

inline std::vector<std::vector<uint8_t>> Pages(const LatentCache& cache) {
  std::vector<std::vector<uint8_t>> pages;
  EXPECT_TRUE(cache
                  .ReadPages([&](const uint8_t* page, int64_t bytes) {
                    pages.emplace_back(page, page + bytes);
                  })
                  .ok());
  return pages;
}

}  // namespace mla::testing_append
#endif  // MLA_KERNELS_APPEND_APPEND_TESTING_H_
