// Tensors of a file by name with the shape they must have, and float copies of the small ones.
#ifndef MLA_GRAPH_TENSOR_FINDER_H_
#define MLA_GRAPH_TENSOR_FINDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "graph/weights.h"
#include "tensor/aligned_buffer.h"
#include "tensor/status.h"

namespace mla {

// Remembers the first error; results after an error are empty. Float copies live in the buffers
// given.
class TensorFinder {
 public:
  TensorFinder(const GgufFile& file, std::vector<AlignedBuffer>& owned)
      : file_(file), owned_(owned) {}

  bool Has(const std::string& name) const { return file_.FindTensor(name) != nullptr; }
  // Rows of `name`, 0 where it is absent: for sizes that only tensors tell.
  int64_t Rows(const std::string& name) const;
  int64_t Dim(const std::string& name, int dim) const;

  // [rows, cols] (any split of the rows over dims 1..3).
  Matrix RequiredMatrix(const std::string& name, int64_t rows, int64_t cols);
  // As RequiredMatrix, in F32 or F16: other types are converted to F32 once.
  Matrix RequiredFloatMatrix(const std::string& name, int64_t rows, int64_t cols);
  // name + ".weight" with name + ".bias" where there is one.
  Linear RequiredLinear(const std::string& name, int64_t rows, int64_t cols);
  const float* RequiredVector(const std::string& name, int64_t length);
  const float* OptionalVector(const std::string& name, int64_t length);
  // [length] for all heads or [heads * length]; absent: a null weight.
  HeadNorm OptionalHeadNorm(const std::string& name, int64_t heads, int64_t length);
  HeadNorm RequiredHeadNorm(const std::string& name, int64_t heads, int64_t length);

  void Fail(mla_status code, const std::string& name, const std::string& words);
  const Status& status() const { return status_; }

 private:
  const GgufTensor* Require(const std::string& name);
  float* Floats(const GgufTensor& tensor);

  const GgufFile& file_;
  std::vector<AlignedBuffer>& owned_;
  Status status_;
};

}  // namespace mla
#endif  // MLA_GRAPH_TENSOR_FINDER_H_
