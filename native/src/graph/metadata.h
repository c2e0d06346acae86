// Required and optional keys of a model file, under its architecture's prefix, with errors that
// name the key.
#ifndef MLA_GRAPH_METADATA_H_
#define MLA_GRAPH_METADATA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "tensor/status.h"

namespace mla {

// Reads remember the first error; check status() after a batch of them. Not thread-safe.
class Metadata {
 public:
  Metadata(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  // Present, an integer, and in [low, high].
  int32_t RequiredInt(const std::string& key, int64_t low, int64_t high);
  int32_t OptionalInt(const std::string& key, int64_t fallback, int64_t low, int64_t high);
  // Finite and in [low, high].
  float RequiredReal(const std::string& key, double low, double high);
  float OptionalReal(const std::string& key, double fallback, double low, double high);
  bool OptionalBool(const std::string& key, bool fallback);
  std::string OptionalString(const std::string& key, const std::string& fallback);
  // Exactly `count` integers in [low, high].
  std::vector<int32_t> RequiredInts(const std::string& key, int64_t count, int64_t low,
                                    int64_t high);
  std::vector<float> RequiredReals(const std::string& key, int64_t count, double low, double high);
  bool Has(const std::string& key) const { return file_.FindKey(Name(key)) != nullptr; }

  const Status& status() const { return status_; }
  std::string Name(const std::string& key) const { return prefix_ + key; }

 private:
  void Fail(mla_status code, const std::string& key, const std::string& words);
  template <typename T>
  bool Take(Result<std::optional<T>> result, std::optional<T>& out);
  int32_t Int(const std::string& key, const int64_t* fallback, int64_t low, int64_t high);
  float Real(const std::string& key, const double* fallback, double low, double high);

  const GgufFile& file_;
  std::string prefix_;
  Status status_;
};

}  // namespace mla
#endif  // MLA_GRAPH_METADATA_H_
