#include "tensor/types.h"

#include <cassert>

namespace mla {

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ3_K) == 110);
static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136);
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

const TypeTraits* FindTypeTraits(uint32_t type) {
  static constexpr TypeTraits kF32{"F32", 1, 4};
  static constexpr TypeTraits kF16{"F16", 1, 2};
  static constexpr TypeTraits kBf16{"BF16", 1, 2};
  static constexpr TypeTraits kQ40{"Q4_0", 32, sizeof(BlockQ4_0)};
  static constexpr TypeTraits kQ41{"Q4_1", 32, sizeof(BlockQ4_1)};
  static constexpr TypeTraits kQ50{"Q5_0", 32, sizeof(BlockQ5_0)};
  static constexpr TypeTraits kQ51{"Q5_1", 32, sizeof(BlockQ5_1)};
  static constexpr TypeTraits kQ80{"Q8_0", 32, sizeof(BlockQ8_0)};
  static constexpr TypeTraits kQ3K{"Q3_K", 256, sizeof(BlockQ3_K)};
  static constexpr TypeTraits kQ4K{"Q4_K", 256, sizeof(BlockQ4_K)};
  static constexpr TypeTraits kQ5K{"Q5_K", 256, sizeof(BlockQ5_K)};
  static constexpr TypeTraits kQ6K{"Q6_K", 256, sizeof(BlockQ6_K)};
  static constexpr TypeTraits kIq4Nl{"IQ4_NL", 32, sizeof(BlockIQ4_NL)};
  static constexpr TypeTraits kIq4Xs{"IQ4_XS", 256, sizeof(BlockIQ4_XS)};
  switch (static_cast<Type>(type)) {
    case Type::kF32:
      return &kF32;
    case Type::kF16:
      return &kF16;
    case Type::kBF16:
      return &kBf16;
    case Type::kQ4_0:
      return &kQ40;
    case Type::kQ4_1:
      return &kQ41;
    case Type::kQ5_0:
      return &kQ50;
    case Type::kQ5_1:
      return &kQ51;
    case Type::kQ8_0:
      return &kQ80;
    case Type::kQ3_K:
      return &kQ3K;
    case Type::kQ4_K:
      return &kQ4K;
    case Type::kQ5_K:
      return &kQ5K;
    case Type::kQ6_K:
      return &kQ6K;
    case Type::kIQ4_NL:
      return &kIq4Nl;
    case Type::kIQ4_XS:
      return &kIq4Xs;
  }
  return nullptr;
}

const TypeTraits& GetTypeTraits(Type type) {
  const TypeTraits* traits = FindTypeTraits(static_cast<uint32_t>(type));
  assert(traits != nullptr);
  return *traits;
}

}  // namespace mla
