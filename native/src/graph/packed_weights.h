// A model's quantized matrices again in panels, as this machine's kernels read them fastest.
#ifndef MLA_GRAPH_PACKED_WEIGHTS_H_
#define MLA_GRAPH_PACKED_WEIGHTS_H_

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "tensor/types.h"

namespace mla {

class PackedWeights {
 public:
  // Matrices that are multiplied by the same activations, in the order of MatmulBatch.
  using Together = std::vector<Matrix*>;

  // Packs every matrix that this machine wants packed and points its `panels` to the result, one
  // batch after the other. A thread packs what it will have of the batch when it is multiplied:
  // memory that a thread is the first to write to is its node's (memory_nodes.h). `done`(data,
  // bytes) is told of rows as the file has them that nobody needs in memory any more. Without
  // memory all stay as they are.
  void Pack(const std::vector<Together>& batches, int threads,
            const std::function<void(const uint8_t* data, int64_t bytes)>& done);

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<uint8_t, Free> memory_;
};

}  // namespace mla
#endif  // MLA_GRAPH_PACKED_WEIGHTS_H_
