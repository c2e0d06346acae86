#include "gguf/gguf_value.h"

namespace mla {
namespace {

// Length of the well-formed UTF-8 character at the start of s, 0 where there is none (RFC 3629).
size_t Utf8Length(std::string_view s) {
  const auto byte = [s](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xc2 && lead < 0xe0   ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || s.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool outside = (lead == 0xed && byte(1) >= 0xa0) || (lead == 0xf4 && byte(1) >= 0x90);
  return overlong || outside ? 0 : length;
}

}  // namespace

uint64_t ValueSize(int32_t type) {
  switch (type) {
    case MLA_VALUE_U8:
    case MLA_VALUE_I8:
    case MLA_VALUE_BOOL:
      return 1;
    case MLA_VALUE_U16:
    case MLA_VALUE_I16:
      return 2;
    case MLA_VALUE_U32:
    case MLA_VALUE_I32:
    case MLA_VALUE_F32:
      return 4;
    case MLA_VALUE_U64:
    case MLA_VALUE_I64:
    case MLA_VALUE_F64:
      return 8;
    default:
      return 0;
  }
}

const char* ValueTypeName(int32_t type) {
  static constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
  return type >= 0 && type <= MLA_VALUE_F64 ? kNames[type] : "unknown type";
}

bool IsIntegerValue(int32_t type) {
  return ValueSize(type) > 0 && type != MLA_VALUE_BOOL && !IsRealValue(type);
}

bool IsRealValue(int32_t type) { return type == MLA_VALUE_F32 || type == MLA_VALUE_F64; }

int64_t LoadInteger(int32_t type, const uint8_t* p) {
  switch (type) {
    case MLA_VALUE_U8:
    case MLA_VALUE_BOOL:
      return *p;
    case MLA_VALUE_I8:
      return LoadLittle<int8_t>(p);
    case MLA_VALUE_U16:
      return LoadLittle<uint16_t>(p);
    case MLA_VALUE_I16:
      return LoadLittle<int16_t>(p);
    case MLA_VALUE_U32:
      return LoadLittle<uint32_t>(p);
    case MLA_VALUE_I32:
      return LoadLittle<int32_t>(p);
    default:
      return LoadLittle<int64_t>(p);
  }
}

double LoadReal(int32_t type, const uint8_t* p) {
  switch (type) {
    case MLA_VALUE_F32:
      return static_cast<double>(LoadLittle<float>(p));
    case MLA_VALUE_F64:
      return LoadLittle<double>(p);
    case MLA_VALUE_U64:
      return static_cast<double>(LoadLittle<uint64_t>(p));
    default:
      return static_cast<double>(LoadInteger(type, p));
  }
}

std::string_view LoadString(const uint8_t* p, const uint8_t** next) {
  const auto size = LoadLittle<uint64_t>(p);
  *next = p + 8 + size;
  return {reinterpret_cast<const char*>(p + 8), static_cast<size_t>(size)};
}

const uint8_t* EndOfValues(int32_t type, uint64_t count, const uint8_t* p) {
  if (type == MLA_VALUE_STRING) {
    for (uint64_t i = 0; i < count; ++i) LoadString(p, &p);
    return p;
  }
  if (type == MLA_VALUE_ARRAY) {
    for (uint64_t i = 0; i < count; ++i) {
      const auto element_type = LoadLittle<int32_t>(p);
      p = EndOfValues(element_type, LoadLittle<uint64_t>(p + 4), p + 12);
    }
    return p;
  }
  return p + count * ValueSize(type);
}

std::string Quoted(std::string_view name) {
  constexpr size_t kLimit = 100;
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "'";
  while (!name.empty() && out.size() < kLimit) {
    const size_t length = Utf8Length(name);
    const auto lead = static_cast<uint8_t>(name[0]);
    if (length == 0 || lead < 0x20 || lead == 0x7f) {
      out += "\\x";
      out += kHex[lead >> 4];
      out += kHex[lead & 15];
      name.remove_prefix(1);
    } else {
      out += name.substr(0, length);
      name.remove_prefix(length);
    }
  }
  return out + (name.empty() ? "'" : "...'");
}

}  // namespace mla
