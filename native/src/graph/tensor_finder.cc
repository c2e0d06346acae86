#include "graph/tensor_finder.h"

#include "tensor/convert.h"

namespace mla {
namespace {

std::string Dims(const GgufTensor& tensor) {
  std::string out = "[";
  for (int i = 0; i < tensor.n_dims; ++i) {
    if (i > 0) out += ", ";
    out += std::to_string(tensor.dims[i]);
  }
  return out + "]";
}

int64_t RowsOf(const GgufTensor& tensor) { return tensor.elements() / tensor.dims[0]; }

}  // namespace

void TensorFinder::Fail(mla_status code, const std::string& name, const std::string& words) {
  if (status_.ok()) status_ = Status(code, file_.name() + ": tensor '" + name + "' " + words);
}

const GgufTensor* TensorFinder::Require(const std::string& name) {
  const GgufTensor* tensor = file_.FindTensor(name);
  if (tensor == nullptr) Fail(MLA_BAD_FILE, name, "is missing");
  return tensor;
}

int64_t TensorFinder::Rows(const std::string& name) const {
  const GgufTensor* tensor = file_.FindTensor(name);
  return tensor == nullptr ? 0 : RowsOf(*tensor);
}

int64_t TensorFinder::Dim(const std::string& name, int dim) const {
  const GgufTensor* tensor = file_.FindTensor(name);
  return tensor == nullptr ? 0 : tensor->dims[dim];
}

Matrix TensorFinder::RequiredMatrix(const std::string& name, int64_t rows, int64_t cols) {
  const GgufTensor* tensor = Require(name);
  if (tensor == nullptr) return {};
  if (tensor->dims[0] != cols || RowsOf(*tensor) != rows) {
    Fail(MLA_BAD_FILE, name,
         "has dims " + Dims(*tensor) + ", expected [" + std::to_string(cols) + ", " +
             std::to_string(rows) + "]");
    return {};
  }
  return {tensor->type, tensor->data, rows, cols};
}

float* TensorFinder::Floats(const GgufTensor& tensor) {
  owned_.emplace_back(tensor.elements() * static_cast<int64_t>(sizeof(float)));
  DequantizeRow(tensor.type, tensor.data, owned_.back().floats(), tensor.elements());
  return owned_.back().floats();
}

Matrix TensorFinder::RequiredFloatMatrix(const std::string& name, int64_t rows, int64_t cols) {
  Matrix matrix = RequiredMatrix(name, rows, cols);
  if (matrix.empty() || matrix.type == Type::kF32 || matrix.type == Type::kF16) return matrix;
  return {Type::kF32, reinterpret_cast<const uint8_t*>(Floats(*file_.FindTensor(name))), rows,
          cols};
}

Linear TensorFinder::RequiredLinear(const std::string& name, int64_t rows, int64_t cols) {
  return {RequiredMatrix(name + ".weight", rows, cols), OptionalVector(name + ".bias", rows)};
}

const float* TensorFinder::RequiredVector(const std::string& name, int64_t length) {
  const GgufTensor* tensor = Require(name);
  if (tensor == nullptr) return nullptr;
  if (tensor->elements() != length) {
    Fail(MLA_BAD_FILE, name,
         "has " + std::to_string(tensor->elements()) + " elements, expected " +
             std::to_string(length));
    return nullptr;
  }
  return Floats(*tensor);
}

const float* TensorFinder::OptionalVector(const std::string& name, int64_t length) {
  return Has(name) ? RequiredVector(name, length) : nullptr;
}

HeadNorm TensorFinder::OptionalHeadNorm(const std::string& name, int64_t heads, int64_t length) {
  const GgufTensor* tensor = file_.FindTensor(name);
  if (tensor == nullptr) return {};
  if (tensor->elements() == length) return {Floats(*tensor), 0};
  if (tensor->elements() == heads * length) return {Floats(*tensor), length};
  Fail(MLA_BAD_FILE, name,
       "has " + std::to_string(tensor->elements()) + " elements, expected " +
           std::to_string(length) + " or " + std::to_string(heads * length));
  return {};
}

HeadNorm TensorFinder::RequiredHeadNorm(const std::string& name, int64_t heads, int64_t length) {
  return Require(name) == nullptr ? HeadNorm{} : OptionalHeadNorm(name, heads, length);
}

}  // namespace mla
