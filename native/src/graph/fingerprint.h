// Tells a model's file from others.
#ifndef MLA_GRAPH_FINGERPRINT_H_
#define MLA_GRAPH_FINGERPRINT_H_

#include <cstdint>

#include "gguf/gguf_file.h"

namespace mla {

// A hash of what decides a model's results: metadata but for the vocabulary, and of every tensor
// its name, type, shape and a few of its bytes. Reads some kilobytes a tensor.
uint64_t Fingerprint(const GgufFile& file);

}  // namespace mla
#endif  // MLA_GRAPH_FINGERPRINT_H_
