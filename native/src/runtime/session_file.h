// A session on the disk.
#ifndef MLA_RUNTIME_SESSION_FILE_H_
#define MLA_RUNTIME_SESSION_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graph/decoder.h"
#include "graph/weights.h"
#include "tensor/status.h"

namespace mla {

// What makes a session go on as it would have, but for its sampler.
struct SessionState {
  std::vector<int32_t> tokens;
  std::vector<float> logits;  // current ones; empty: none
  std::optional<int32_t> pending;
  // Of the first decoder->length() tokens.
  std::unique_ptr<Decoder> decoder;
};

// The file: a header (magic, version, the model's fingerprint, cache options, counts), tokens,
// logits, pages, and a checksum of it all; numbers are little-endian. It is complete or, whatever
// happens while it is written, what was there before.
Status WriteSession(const Weights& weights, const Decoder& decoder,
                    const std::vector<int32_t>& tokens, const float* logits,
                    const std::optional<int32_t>& pending, const std::string& path);

// options.cache is taken from the file. Errors name the file: MLA_BAD_FILE (no session, damaged,
// truncated, or of a newer version), MLA_INVALID_ARGUMENT (of another model), MLA_CONTEXT_FULL
// (more tokens than options.context_length), MLA_OUT_OF_MEMORY.
Result<SessionState> ReadSession(std::shared_ptr<const Weights> weights,
                                 const DecoderOptions& options, const std::string& path);

// The same of a file's bytes. `name` stands for the path in errors.
Result<SessionState> ReadSession(std::shared_ptr<const Weights> weights,
                                 const DecoderOptions& options, const uint8_t* data, size_t size,
                                 const std::string& name);

}  // namespace mla
#endif  // MLA_RUNTIME_SESSION_FILE_H_
