// The tile kernels in the compiler's portable vectors of four floats: what every machine runs.
#include <string.h>

#include "kernels/attention/packed_kernels_simd.h"

namespace mla {
namespace {

struct Vec4 {
  typedef float Reg __attribute__((vector_size(16)));
  typedef int32_t Ints __attribute__((vector_size(16)));
  typedef int16_t Shorts __attribute__((vector_size(8)));
  using Int = Ints;
  using Sums = Int;

  static constexpr int kLanes = 4;
  static constexpr int kScoreRows = 2;
  static constexpr int kSumRows = 3;
  static constexpr int kSumVectors = 4;
  static constexpr int kDots = 2;
  static constexpr int kPackedRows = 2;
  static constexpr int kPackedSums = 8;
  static constexpr int kWords = 1;
  static constexpr bool kMixedDots = true;
  static constexpr bool kExpandsInRegisters = false;
  static constexpr bool kFixedPoint = false;

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
  static Reg LoadHalfLast(const uint8_t* end, int32_t n) { return LoadHalfFirst(end - 2 * n, n); }
  static Reg FromBfloat(Shorts bits) { return (Reg)(__builtin_convertvector(bits, Ints) << 16); }
  static Reg LoadBfloat(const uint8_t* p) { return FromBfloat(Read<Shorts>(p)); }
  static Reg LoadBfloatFirst(const uint8_t* p, int32_t n) {
    return FromBfloat(ReadFirst<Shorts>(p, static_cast<size_t>(n) * 2));
  }
  static Reg Add(Reg a, Reg b) { return a + b; }
  static Reg Sub(Reg a, Reg b) { return a - b; }
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
  static void Largest4(Reg a, Reg b, Reg c, Reg d, float* out) {
    Store(Reg{Largest(a), Largest(b), Largest(c), Largest(d)}, out);
  }
  static void Sum4(Reg a, Reg b, Reg c, Reg d, bool add, float* out) {
    Reg sums = {Sum(a), Sum(b), Sum(c), Sum(d)};
    if (add) sums += Load(out);
    Store(sums, out);
  }

  // Four vectors' elements i to vector i.
  static void Transpose(Reg (&rows)[4]) {
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < i; ++j) {
        const float x = rows[i][j];
        rows[i][j] = rows[j][i];
        rows[j][i] = x;
      }
    }
  }

  static Int SetInt(int32_t x) { return Int{x, x, x, x}; }
  static Sums SetSums(int32_t x) { return SetInt(x); }
  static Int LoadInts(const uint8_t* p) { return Read<Int>(p); }
  static Int BroadcastInt(const uint8_t* p) { return SetInt(Read<int32_t>(p)); }
  // Field f of every byte that has kFields.
  template <int kFields>
  static Int Field(Int x, int f) {
    constexpr int32_t kOnes = 0x01010101;
    return kFields == 1 ? x : (x >> (f * 8 / kFields)) & (kOnes * ((1 << 8 / kFields) - 1));
  }
  // sums + four unsigned bytes times four signed ones.
  static Int DotAdd(Int sums, Int bytes, Int digits, int) {
    for (int j = 0; j < 4; ++j) {
      sums += ((bytes >> (8 * j)) & 0xff) * ((digits << (24 - 8 * j)) >> 24);
    }
    return sums;
  }
  static Int TwoDigits(Int high, Int low) { return high * 64 + low; }
  // sums + two 16-bit products.
  static Int PairAdd(Int sums, Int a, Int b, int) {
    return sums + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
  }
  static constexpr int32_t PlaceInPair(int32_t token, int32_t element) {
    return 2 * element + token;
  }
  static Reg ToFloat(Int x) { return __builtin_convertvector(x, Reg); }
  static void StoreShorts(Reg x, int16_t* p) {
    const Reg rounded = Round(x);
    for (int i = 0; i < 4; ++i) p[i] = static_cast<int16_t>(rounded[i]);
  }
  static Int Truncate(Reg x) { return __builtin_convertvector(x, Int); }
  static void StoreBytes(Int whole, uint8_t* p) {
    for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(whole[i]);
  }
  static void Store4Bytes(Int a, Int b, Int c, Int d, uint8_t* p) {
    StoreBytes(a, p);
    StoreBytes(b, p + 4);
    StoreBytes(c, p + 8);
    StoreBytes(d, p + 12);
  }
  template <int kLess>
  static Int LessEachByte(Int x) {
    typedef uint8_t Bytes __attribute__((vector_size(16)));
    return (Int)((Bytes)x - static_cast<uint8_t>(kLess));
  }
  // Four blocks of 4 bytes of 4 tokens each, to a quad of tokens with 16 elements.
  static void StoreQuads(Int a, Int b, Int c, Int d, uint8_t* quads) {
    const Int blocks[] = {a, b, c, d};
    for (int e = 0; e < 16; ++e) {
      for (int t = 0; t < 4; ++t) {
        quads[4 * e + t] = static_cast<uint8_t>((blocks[e / 4][t] >> (e % 4 * 8)) & 0xff);
      }
    }
  }
  // Four blocks of 4 signed bytes of 4 tokens each, to 2 pairs of tokens with 16 elements of 16
  // bits.
  static void StorePairs(Int a, Int b, Int c, Int d, int16_t* pairs) {
    const Int quads[] = {a, b, c, d};
    for (int t = 0; t < 4; ++t) {
      for (int e = 0; e < 16; ++e) {
        pairs[t / 2 * 32 + 2 * e + t % 2] =
            static_cast<int8_t>((quads[e / 4][t] >> (e % 4 * 8)) & 0xff);
      }
    }
  }
};

constexpr AttentionTileKernels kKernels = MakeAttentionTileKernels<Vec4>();

}  // namespace

const AttentionTileKernels& GenericAttentionTileKernels() { return kKernels; }

}  // namespace mla
