// Element types of weights, by GGUF's numbers, and their blocks as they lie in a file.
#ifndef MLA_TENSOR_TYPES_H_
#define MLA_TENSOR_TYPES_H_

#include <cstdint>

namespace mla {

enum class Type : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kBF16 = 30
};

inline constexpr Type kAllTypes[] = {
    Type::kF32,  Type::kF16,  Type::kBF16, Type::kQ4_0, Type::kQ4_1, Type::kQ5_0,   Type::kQ5_1,
    Type::kQ8_0, Type::kQ3_K, Type::kQ4_K, Type::kQ5_K, Type::kQ6_K, Type::kIQ4_NL, Type::kIQ4_XS};

struct TypeTraits {
  const char* name;
  int32_t block;  // elements a block
  int32_t bytes;  // bytes a block
};

// nullptr for a type that this build does not know.
const TypeTraits* FindTypeTraits(uint32_t type);
// For a known type.
const TypeTraits& GetTypeTraits(Type type);
// `cols` must be whole blocks.
inline int64_t RowBytes(Type type, int64_t cols) {
  const TypeTraits& t = GetTypeTraits(type);
  return cols / t.block * t.bytes;
}

#pragma pack(push, 1)
struct BlockQ4_0 {  // w = d * (q - 8); byte i holds elements i (low nibble) and i + 16 (high)
  uint16_t d;
  uint8_t qs[16];
};
struct BlockQ4_1 {  // w = d * q + m; nibbles as in Q4_0
  uint16_t d;
  uint16_t m;
  uint8_t qs[16];
};
struct BlockQ5_0 {  // w = d * (q - 16); low four bits as in Q4_0, bit i of qh is element i's fifth
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};
struct BlockQ5_1 {  // w = d * q + m; fields as in Q5_0
  uint16_t d;
  uint16_t m;
  uint8_t qh[4];
  uint8_t qs[16];
};
struct BlockQ8_0 {  // w = d * q
  uint16_t d;
  int8_t qs[32];
};
struct BlockQ3_K {  // 16 sub-blocks of 16: w = d * (scale - 32) * (q - 4), 6-bit scale; two bits of
                    // q in qs, bit i of hmask[j] is the third of element 32 i + j
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;
};
struct BlockQ4_K {  // 8 sub-blocks of 32: w = d * scale * q - dmin * min, 6-bit scale and min
                    // packed in `scales`
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};
struct BlockQ5_K {  // as Q4_K; bit i of qh[j] is the fifth of element j of sub-block i
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
struct BlockQ6_K {  // 16 sub-blocks of 16: w = d * scale * (q - 32)
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};
struct BlockIQ4_NL {  // w = d * kIq4Values[q]; nibbles as in Q4_0
  uint16_t d;
  uint8_t qs[16];
};
struct BlockIQ4_XS {  // 8 sub-blocks of 32: w = d * (scale - 32) * kIq4Values[q], 6-bit scale;
                      // nibbles as in Q4_0
  uint16_t d;
  uint8_t scales_h[2];
  uint8_t scales_l[4];
  uint8_t qs[128];
};
#pragma pack(pop)

// What the fields of IQ4_NL and IQ4_XS stand for.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

// A borrowed row-major matrix [rows, cols] of quantized or plain elements.
struct Matrix {
  Type type = Type::kF32;
  const uint8_t* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  // All rows again as kernels want them (PackPanels in kernels/matmul/matmul.h), or null.
  const uint8_t* panels = nullptr;

  bool empty() const { return data == nullptr; }
  int64_t row_bytes() const { return RowBytes(type, cols); }
  const uint8_t* row(int64_t r) const { return data + r * row_bytes(); }
};

}  // namespace mla
#endif  // MLA_TENSOR_TYPES_H_
