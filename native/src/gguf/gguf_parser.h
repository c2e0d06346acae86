// The bytes of a GGUF file to its keys and tensors, with everything checked.
#ifndef MLA_GGUF_GGUF_PARSER_H_
#define MLA_GGUF_GGUF_PARSER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"

namespace mla {

inline constexpr uint32_t kGgufVersion = 3;
inline constexpr uint64_t kGgufDefaultAlignment = 32;
inline constexpr uint64_t kGgufMaxNameBytes = 65535;
inline constexpr char kGgufAlignmentKey[] = "general.alignment";

// The specification asks for a multiple of 8 (less would leave floats unaligned), everyone for a
// power of two; beyond 2^20 it is damage, and would be paid for in padding.
inline bool IsGgufAlignment(int64_t n) { return n >= 8 && n <= 1 << 20 && (n & (n - 1)) == 0; }

struct GgufContents {
  std::vector<GgufKey> keys;
  std::vector<GgufTensor> tensors;
};

// Views point into `data`. Memory used is bounded by `size`. Errors start with `name`, the file's.
Result<GgufContents> ParseGguf(const uint8_t* data, uint64_t size, const std::string& name);

}  // namespace mla
#endif  // MLA_GGUF_GGUF_PARSER_H_
