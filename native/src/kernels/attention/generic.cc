// The tile kernels in the compiler's portable vectors of four floats: what every machine runs.
#include <string.h>

#include "kernels/attention/tile_kernels_simd.h"

namespace mla {
namespace {

struct Vec4 {
  typedef float Reg __attribute__((vector_size(16)));
  typedef int32_t Ints __attribute__((vector_size(16)));
  typedef int16_t Shorts __attribute__((vector_size(8)));
  typedef int8_t Bytes __attribute__((vector_size(4)));

  static constexpr int kLanes = 4;
  static constexpr int kScoreRows = 2;
  static constexpr int kSumRows = 3;
  static constexpr int kSumVectors = 4;
  static constexpr int kScaledSumRows = 3;
  static constexpr int kScaledSumVectors = 4;

  template <class T>
  static T Read(const void* p) {
    T value;
    memcpy(&value, p, sizeof value);
    return value;
  }
  template <class T>
  static T ReadFirst(const void* p, size_t bytes) {
    T value{};
    memcpy(&value, p, bytes);
    return value;
  }

  static Reg Zero() { return Reg{}; }
  static Reg Set1(float x) { return Reg{x, x, x, x}; }
  static Reg Load(const float* p) { return Read<Reg>(p); }
  static Reg LoadFirst(const float* p, int32_t n) {
    return ReadFirst<Reg>(p, static_cast<size_t>(n) * sizeof(float));
  }
  static void Store(Reg a, float* p) { memcpy(p, &a, sizeof a); }
  static void StoreFirst(Reg a, float* p, int32_t n) {
    memcpy(p, &a, static_cast<size_t>(n) * sizeof(float));
  }

  // binary16 to binary32: the exponent and mantissa shifted into place are a float 2^112 too small,
  // subnormals too.
  static Reg FromHalf(Shorts halves) {
    const Ints wide = __builtin_convertvector(halves, Ints);
    const Ints magnitude = (wide & 0x7fff) << 13;
    const Ints infinite = magnitude >= (0x7c00 << 13);
    const Ints scaled = (Ints)((Reg)magnitude * 0x1p112f);
    const Ints finite_or_not = (scaled & ~infinite) | ((magnitude | 0x7f800000) & infinite);
    return (Reg)(finite_or_not | (wide & INT32_MIN));
  }
  static Reg LoadHalf(const uint8_t* p) { return FromHalf(Read<Shorts>(p)); }
  static Reg LoadHalfFirst(const uint8_t* p, int32_t n) {
    return FromHalf(ReadFirst<Shorts>(p, static_cast<size_t>(n) * 2));
  }
  static Reg LoadInt8(const uint8_t* p) { return __builtin_convertvector(Read<Bytes>(p), Reg); }
  static Reg LoadInt8First(const uint8_t* p, int32_t n) {
    return __builtin_convertvector(ReadFirst<Bytes>(p, static_cast<size_t>(n)), Reg);
  }

  static Reg Add(Reg a, Reg b) { return a + b; }
  static Reg Mul(Reg a, Reg b) { return a * b; }
  static Reg MulAdd(Reg a, Reg b, Reg c) { return a * b + c; }
  static Reg Max(Reg a, Reg b) { return a > b ? a : b; }
  static Reg Round(Reg a) {
    const Reg big = Set1(0x1.8p23f);  // adding it leaves no bits for a fraction
    return (a + big) - big;
  }
  static Reg TimesPowerOfTwo(Reg a, Reg n) {
    return (Reg)((Ints)a + (__builtin_convertvector(n, Ints) << 23));
  }
  static float Sum(Reg a) { return (a[0] + a[2]) + (a[1] + a[3]); }
  static float Largest(Reg a) {
    const float even = a[0] > a[2] ? a[0] : a[2];
    const float odd = a[1] > a[3] ? a[1] : a[3];
    return even > odd ? even : odd;
  }
  static void Sum4(Reg a, Reg b, Reg c, Reg d, bool add, float* out) {
    Reg sums = {Sum(a), Sum(b), Sum(c), Sum(d)};
    if (add) sums += Load(out);
    Store(sums, out);
  }
};

constexpr AttentionTileKernels kKernels = MakeAttentionTileKernels<Vec4>();

}  // namespace

const AttentionTileKernels& GenericAttentionTileKernels() { return kKernels; }

}  // namespace mla
