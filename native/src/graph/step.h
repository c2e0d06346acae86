// One pass through the decoder: a chunk of one sequence's tokens, or the next token of each of
// several sequences. What the blocks share; every member of the team holds the same Step and runs
// the same blocks.
#ifndef MLA_GRAPH_STEP_H_
#define MLA_GRAPH_STEP_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <span>

#include "cache/latent_cache.h"
#include "graph/profile.h"
#include "graph/weights.h"
#include "graph/workspace.h"
#include "kernels/attention/attention.h"
#include "kernels/matmul/matmul.h"

namespace mla {

// Rows of a step that continue one sequence, at positions first, first + 1, ...
struct SequenceRows {
  LatentCache* cache;
  const AttentionPlan* plans;  // [layers]
  const std::atomic<bool>* cancel;
  int32_t first;
  int32_t rows;
  int32_t begin;      // the first of them in the step
  uint8_t* partials;  // attention's partial results of one layer
};

struct Step {
  const Weights& weights;
  Workspace& workspace;
  // At least one, in the order of their rows. A layer's plans are all absorbed or all expanded.
  std::span<const SequenceRows> sequences;
  int32_t rows;
  // Set once a layer by whoever norms row 0, read after the barrier: all members stop together.
  std::atomic<bool>& stop;
  Activations activations = Activations::kMixed;
  Profile* profile = nullptr;  // null: none

  const SequenceRows& SequenceOf(int64_t row) const {
    return *std::prev(
        std::upper_bound(sequences.begin(), sequences.end(), row,
                         [](int64_t at, const SequenceRows& s) { return at < s.begin; }));
  }
  // Nobody waits for the step any more.
  bool IsCancelled() const {
    return std::all_of(sequences.begin(), sequences.end(), [](const SequenceRows& s) {
      return s.cancel->load(std::memory_order_relaxed);
    });
  }
  // The member begins an operation, to which its time belongs until it begins another.
  void Begin(Operation operation, int member) const {
    if (profile != nullptr) profile->Begin(operation, member);
  }
};

// Rows handed to a member at a time where a row is little work: `most`, or as few as give every
// member some.
inline int64_t RowGrain(int64_t rows, int members, int64_t most) {
  return std::clamp<int64_t>(rows / members, 1, most);
}

}  // namespace mla
#endif  // MLA_GRAPH_STEP_H_
