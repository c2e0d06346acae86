#include "graph/fingerprint.h"

#include <algorithm>
#include <string_view>

#include "gguf/gguf_value.h"
#include "tensor/checksum.h"

namespace mla {
namespace {

constexpr int64_t kSampleBytes = 1024;
constexpr int64_t kSamples = 4;

void AddText(std::string_view text, Checksum* sum) {
  sum->AddNumber(text.size());
  sum->Add(text.data(), text.size());
}

}  // namespace

uint64_t Fingerprint(const GgufFile& file) {
  Checksum sum;
  for (const GgufKey& key : file.keys()) {
    if (key.name.starts_with("tokenizer.")) continue;
    AddText(key.name, &sum);
    sum.AddNumber(key.count);
    // Of strings nothing: they name things, but change no result.
    sum.Add(key.data, key.count * ValueSize(key.element_type));
  }
  for (const GgufTensor& tensor : file.tensors()) {
    AddText(tensor.name, &sum);
    sum.AddNumber(static_cast<uint64_t>(tensor.type));
    for (int64_t dim : tensor.dims) sum.AddNumber(static_cast<uint64_t>(dim));
    const int64_t sample = std::min(kSampleBytes, tensor.byte_size);
    for (int64_t i = 0; i < kSamples; ++i) {
      sum.Add(tensor.data + (tensor.byte_size - sample) * i / (kSamples - 1),
              static_cast<uint64_t>(sample));
    }
  }
  return sum.value();
}

}  // namespace mla
