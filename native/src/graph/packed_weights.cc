#include "graph/packed_weights.h"

#include <algorithm>

#include "kernels/matmul/matmul.h"
#include "runtime/thread_pool.h"
#include "tensor/large_pages.h"

namespace mla {
namespace {

constexpr int64_t kHugePage = 2 << 20;

int64_t PanelBytes(const Matrix& w) {
  constexpr int64_t kLine = 64;
  return (PanelRows(w) * w.row_bytes() + kLine - 1) / kLine * kLine;
}

void PackOne(Matrix* w, uint8_t* panels, int threads) {
  const int64_t rows = PanelRows(*w);
  const int64_t units = (rows + kMatmulRowGrain - 1) / kMatmulRowGrain;
  const auto region = [&](Team& team, int) {
    team.Each(
        units, std::max<int64_t>(units / (team.size() * 4), 1), [&](int64_t begin, int64_t end) {
          PackPanels(*w, begin * kMatmulRowGrain, std::min(end * kMatmulRowGrain, rows), panels);
        });
  };
  ThreadPool::Shared().Run(threads, std::ref(region));
  w->panels = panels;
}

}  // namespace

void PackedWeights::Pack(const std::vector<Matrix*>& matrices, int threads,
                         const std::function<void(const uint8_t* data, int64_t bytes)>& done) {
  int64_t total = 0;
  for (const Matrix* matrix : matrices) total += PanelBytes(*matrix);
  if (total == 0) return;
  total = (total + kHugePage - 1) / kHugePage * kHugePage;
  memory_.reset(static_cast<uint8_t*>(
      std::aligned_alloc(static_cast<size_t>(kHugePage), static_cast<size_t>(total))));
  if (memory_ == nullptr) return;
  // A token streams through all of it: with small pages it would wait for their addresses (a tenth
  // of SmolLM2's time).
  PreferLargePages(memory_.get(), total);
  uint8_t* panels = memory_.get();
  for (Matrix* matrix : matrices) {
    if (PanelRows(*matrix) == 0) continue;
    PackOne(matrix, panels, threads);
    done(matrix->data, PanelRows(*matrix) * matrix->row_bytes());
    panels += PanelBytes(*matrix);
  }
}

}  // namespace mla
