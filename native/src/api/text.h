// Text to a caller's buffer.
#ifndef MLA_API_TEXT_H_
#define MLA_API_TEXT_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mla {

// Copies what fits and, where there is room, a zero byte behind it. *length (may be null) is the
// whole length without the zero byte. `out` may be null.
inline void CopyText(std::string_view text, char* out, int64_t capacity, int64_t* length) {
  const auto size = static_cast<int64_t>(text.size());
  if (length != nullptr) *length = size;
  if (out == nullptr || capacity <= 0) return;
  std::memcpy(out, text.data(), static_cast<size_t>(std::min(size, capacity)));
  if (size < capacity) out[size] = '\0';
}

}  // namespace mla
#endif  // MLA_API_TEXT_H_
