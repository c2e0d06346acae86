// What a step has to read and to multiply at least, however well it is done: the numerators of a
// roofline.
#ifndef MLA_GRAPH_STEP_WORK_H_
#define MLA_GRAPH_STEP_WORK_H_

#include <array>
#include <cstdint>
#include <vector>

#include "cache/layout.h"
#include "graph/operation.h"
#include "graph/weights.h"

namespace mla {

struct Work {
  double weight_bytes = 0;  // read once, however many tokens are multiplied with them
  double cache_bytes = 0;   // read once by all heads and queries; written by kRopeAppend
  double float_multiply_adds = 0;
  // Of weights and cache rows that are held as integers.
  double integer_multiply_adds = 0;

  Work& operator+=(const Work& more) {
    weight_bytes += more.weight_bytes;
    cache_bytes += more.cache_bytes;
    float_multiply_adds += more.float_multiply_adds;
    integer_multiply_adds += more.integer_multiply_adds;
    return *this;
  }
};

using OperationWork = std::array<Work, kOperations>;

// Adds the work of another sequence in the same step: weights are read once for all of them, but
// for the embedding's rows.
void AddBeside(const OperationWork& one, OperationWork& step);

// Counts for one model, cache and form of prompts. Immutable.
class StepWork {
 public:
  // prefill: MLA_PREFILL_*, of which auto chooses by what is computed where.
  StepWork(const Weights& weights, const CacheOptions& cache, int32_t prefill, bool on_gpu = false);

  // Adds a step of n >= 1 tokens after `first` others, of which the last `outputs` get logits.
  // Allocates nothing.
  void Add(int32_t first, int32_t n, int32_t outputs, OperationWork& to) const;

 private:
  struct LayerBytes {
    double rows;   // of a token as the cache's types have it, key scalars included
    double exact;  // of a token of the window
  };
  // What n queries after `first` tokens read, in tokens: summed over the queries, and together.
  struct Reads {
    double row_pairs, exact_pairs;
    double rows, exact;
  };
  Reads CountReads(int32_t first, int32_t n) const;
  void AddAttention(size_t layer, int32_t first, int32_t n, const Reads& reads,
                    OperationWork& to) const;

  const Weights& weights_;
  CacheOptions cache_;  // without a window where nothing is quantized
  int32_t prefill_;
  bool on_gpu_;
  std::vector<LayerBytes> bytes_;  // [layers]
};

}  // namespace mla
#endif  // MLA_GRAPH_STEP_WORK_H_
