#include "graph/packed_weights.h"

#include <algorithm>

#include "graph/matmul_batch.h"
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

// Units [begin, end) of those that a batch of the matrices shares out.
void PackUnits(const PackedWeights::Together& matrices, const std::vector<uint8_t*>& panels,
               int64_t begin, int64_t end) {
  int64_t first = 0;
  for (size_t i = 0; i < matrices.size() && first < end; ++i) {
    const int64_t rows = PanelRows(*matrices[i]);
    const int64_t last = first + MatmulBatch::Units(matrices[i]->rows);
    const int64_t from = (std::max(begin, first) - first) * kMatmulRowGrain;
    const int64_t to = std::min((std::min(end, last) - first) * kMatmulRowGrain, rows);
    if (from < to) PackPanels(*matrices[i], from, to, panels[i]);
    first = last;
  }
}

}  // namespace

void PackedWeights::Pack(const std::vector<Together>& batches, int threads,
                         const std::function<void(const uint8_t* data, int64_t bytes)>& done) {
  int64_t total = 0;
  for (const Together& matrices : batches) {
    for (const Matrix* matrix : matrices) total += PanelBytes(*matrix);
  }
  if (total == 0) return;
  total = (total + kHugePage - 1) / kHugePage * kHugePage;
  memory_.reset(static_cast<uint8_t*>(
      std::aligned_alloc(static_cast<size_t>(kHugePage), static_cast<size_t>(total))));
  if (memory_ == nullptr) return;
  // A token streams through all of it: with small pages it would wait for their addresses (a tenth
  // of SmolLM2's time).
  PreferLargePages(memory_.get(), total);
  uint8_t* next = memory_.get();
  for (const Together& matrices : batches) {
    std::vector<uint8_t*> panels;
    int64_t units = 0;
    for (const Matrix* matrix : matrices) {
      panels.push_back(next);
      next += PanelBytes(*matrix);
      units += MatmulBatch::Units(matrix->rows);
    }
    const auto region = [&](Team& team, int member) {
      team.EachFromOwn(member, units, 1, [&](int64_t begin, int64_t end) {
        PackUnits(matrices, panels, begin, end);
      });
    };
    ThreadPool::Shared().Run(threads, std::ref(region), Meetings::kOfThoseThere);
    for (size_t i = 0; i < matrices.size(); ++i) {
      const Matrix& matrix = *matrices[i];
      if (PanelRows(matrix) == 0) continue;
      matrices[i]->panels = panels[i];
      done(matrix.data, matrix.rows * matrix.row_bytes());
    }
  }
}

}  // namespace mla
