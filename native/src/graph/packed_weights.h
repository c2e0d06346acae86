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
  // Packs every matrix that this machine wants packed and points its `panels` to the result;
  // several threads at one matrix, one matrix after the other. `done`(data, bytes) is told of rows
  // as the file has them that nobody needs in memory any more. Without memory all stay as they are.
  void Pack(const std::vector<Matrix*>& matrices, int threads,
            const std::function<void(const uint8_t* data, int64_t bytes)>& done);

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<uint8_t, Free> memory_;
};

}  // namespace mla
#endif  // MLA_GRAPH_PACKED_WEIGHTS_H_
