// Metadata values as they lie in a GGUF file: little-endian, unaligned.
#ifndef MLA_GGUF_GGUF_VALUE_H_
#define MLA_GGUF_GGUF_VALUE_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "mla/mla.h"

namespace mla {

template <class T>
T LoadLittle(const uint8_t* p) {  // the hosts that this library is built for are little-endian
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Bytes of a scalar; 0 for strings, arrays and unknown types.
uint64_t ValueSize(int32_t type);
const char* ValueTypeName(int32_t type);  // "u32", "string", ..., "unknown type"
bool IsIntegerValue(int32_t type);        // u8 ... i64, not bool
bool IsRealValue(int32_t type);           // f32, f64

// For integer and bool types; u64 by its bits.
int64_t LoadInteger(int32_t type, const uint8_t* p);
// For integer, bool and real types.
double LoadReal(int32_t type, const uint8_t* p);
// The string at p; *next is where the following one starts.
std::string_view LoadString(const uint8_t* p, const uint8_t** next);
// One past `count` values that start at p, in a checked file.
const uint8_t* EndOfValues(int32_t type, uint64_t count, const uint8_t* p);

// A name from a file, in quotes and fit for one line of an error: control characters and broken
// UTF-8 escaped, cut when long.
std::string Quoted(std::string_view name);

}  // namespace mla
#endif  // MLA_GGUF_GGUF_VALUE_H_
