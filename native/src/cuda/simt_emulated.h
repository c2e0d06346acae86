// The language of the GPU's kernels on the emulated one; simt_cuda.h says what its words mean.
// Included by simt.h alone, under the host's compiler.
#ifndef MLA_CUDA_SIMT_EMULATED_H_
#define MLA_CUDA_SIMT_EMULATED_H_

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "cuda/emulator_testing.h"
#include "cuda/gpu_stream.h"
#include "tensor/convert.h"

namespace mla::MLA_GPU {

inline int ThreadIndex() { return Emulator::Thread().index; }
inline int BlockThreads() { return Emulator::Thread().block_threads; }
inline int BlockX() { return Emulator::Thread().block[0]; }
inline int BlockY() { return Emulator::Thread().block[1]; }
inline int BlockZ() { return Emulator::Thread().block[2]; }
inline int GridX() { return Emulator::Thread().grid[0]; }
inline uint8_t* SharedMemory() { return Emulator::Thread().shared; }
inline int SharedAddress(const void* at) {
  return static_cast<int>(static_cast<const uint8_t*>(at) - SharedMemory());
}
template <typename T>
T LoadShared(int address) {
  return *reinterpret_cast<const T*>(Emulator::SharedAt(address, sizeof(T)));
}
template <typename T>
void StoreShared(int address, const T& value) {
  *reinterpret_cast<T*>(Emulator::SharedAt(address, sizeof(T))) = value;
}
inline uint32_t LoadSharedWord(int address) { return LoadShared<uint32_t>(address); }
inline void SyncBlock() { Emulator::SyncBlock(); }
inline void SyncWarp() { Emulator::SyncWarp(); }
inline void SyncGroup() { Emulator::SyncGroup(); }

template <typename T>
T Shuffle(T value, int lane) {
  return Emulator::Exchange(value)[lane];
}
template <typename T>
T ShuffleXor(T value, int mask) {
  return Emulator::Exchange(value)[(ThreadIndex() % kWarp) ^ mask];
}

inline bool AnyLane(bool one) {
  const bool* all = Emulator::Exchange(one);
  return std::any_of(all, all + kWarp, [](bool each) { return each; });
}

inline int Dot4(int a, int b, int sum) {
  for (int i = 0; i < 4; ++i) {
    sum += static_cast<int8_t>(static_cast<uint32_t>(a) >> (8 * i)) *
           static_cast<int8_t>(static_cast<uint32_t>(b) >> (8 * i));
  }
  return sum;
}

using mla::Bfloat16ToFloat;
using mla::FloatToBfloat16;
using mla::FloatToHalf;
using mla::HalfToFloat;
inline uint32_t PackHalves(float low, float high) {
  return FloatToHalf(low) | static_cast<uint32_t>(FloatToHalf(high)) << 16;
}

inline float LowHalf(uint32_t pair) { return HalfToFloat(static_cast<uint16_t>(pair)); }
inline float HighHalf(uint32_t pair) { return HalfToFloat(static_cast<uint16_t>(pair >> 16)); }
inline uint32_t AddHalves(uint32_t a, uint32_t b) {
  return PackHalves(LowHalf(a) + LowHalf(b), HighHalf(a) + HighHalf(b));
}
inline uint32_t MulAddHalves(uint32_t a, uint32_t b, uint32_t c) {
  return PackHalves(std::fma(LowHalf(a), LowHalf(b), LowHalf(c)),
                    std::fma(HighHalf(a), HighHalf(b), HighHalf(c)));
}

inline uint32_t PackBfloats(float low, float high) {
  return FloatToBfloat16(low) | static_cast<uint32_t>(FloatToBfloat16(high)) << 16;
}
inline float LowBfloat(uint32_t pair) { return Bfloat16ToFloat(static_cast<uint16_t>(pair)); }
inline float HighBfloat(uint32_t pair) {
  return Bfloat16ToFloat(static_cast<uint16_t>(pair >> 16));
}
inline uint32_t MulAddBfloats(uint32_t a, uint32_t b, uint32_t c) {
  return PackBfloats(std::fma(LowBfloat(a), LowBfloat(b), LowBfloat(c)),
                     std::fma(HighBfloat(a), HighBfloat(b), HighBfloat(c)));
}

inline uint32_t Bytes(uint32_t a, uint32_t b, uint32_t digits) {
  const uint64_t both = a | uint64_t{b} << 32;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t digit = digits >> (4 * i) & 7;
    result |= (static_cast<uint32_t>(both >> (8 * digit)) & 255) << (8 * i);
  }
  return result;
}

inline uint32_t PickBytes(uint32_t a, uint32_t b, uint32_t digits) { return Bytes(a, b, digits); }

inline uint32_t AtomicAdd(uint32_t* to, uint32_t value) {
  return std::atomic_ref<uint32_t>(*to).fetch_add(value, std::memory_order_relaxed);
}

inline float Exp(float x) { return std::exp(x); }
inline float Exp2(float x) { return std::exp2(x); }
inline double Log(double x) { return std::log(x); }
inline float Rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline float Abs(float x) { return std::fabs(x); }
inline float Max(float a, float b) { return std::fmax(a, b); }
inline float Min(float a, float b) { return std::fmin(a, b); }
inline float Ceil(float x) { return std::ceil(x); }
inline int RoundToInt(float x) { return static_cast<int>(std::lrint(x)); }
inline double RoundToWhole(double x) { return std::nearbyint(x); }
inline void SinCosPi(float x, float* sin, float* cos) {
  *sin = static_cast<float>(std::sin(std::numbers::pi * double{x}));
  *cos = static_cast<float>(std::cos(std::numbers::pi * double{x}));
}
inline float Infinity() { return HUGE_VALF; }
inline float FloatOfBits(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t BitsOfFloat(float x) { return std::bit_cast<uint32_t>(x); }

inline void WaitForEarlier() { Emulator::WaitForEarlier(); }
inline void LetLaterStart() {}

inline Quad LoadQuad(const void* from) { return *static_cast<const Quad*>(from); }
inline void LoadQuad(bool wanted, const void* from, Quad* to) {
  if (wanted) *to = LoadQuad(from);
}
inline uint32_t LoadWord(const void* from) { return *static_cast<const uint32_t*>(from); }
inline uint32_t LoadHalf(const void* from) { return *static_cast<const uint16_t*>(from); }
inline void LoadWeights(bool wanted, const void* from, Quad* to) { LoadQuad(wanted, from, to); }
inline void LoadWeight(bool wanted, const uint32_t* from, uint32_t* to) {
  if (wanted) *to = *from;
}
inline void Prefetch(const uint8_t*, int64_t) {}

template <MmaFloat kFloat = MmaFloat::kHalf>
void Mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Emulator::Mma(d, a, b, kFloat);
}
inline void MmaOf(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  for (float& x : d) x = 0.0f;
  Emulator::Mma(d, a, b, MmaFloat::kHalf);
}
inline void LoadMatrices(uint32_t (&to)[4], const void* row) {
  Emulator::LoadMatrices(to, row, false);
}
inline void LoadMatrices(uint32_t (&to)[4], int at) { LoadMatrices(to, SharedMemory() + at); }
inline void LoadMatricesTransposed(uint32_t (&to)[4], const void* row) {
  Emulator::LoadMatrices(to, row, true);
}
inline void LoadMatricesTransposed(uint32_t (&to)[4], int at) {
  LoadMatricesTransposed(to, SharedMemory() + at);
}

inline void CopyAsync(void* shared, const void* global) { Emulator::CopyAsync(shared, global, 16); }
inline void CopyAsync(int shared, const void* global) {
  CopyAsync(SharedMemory() + shared, global);
}
inline void CopyWordAsync(void* shared, const void* global) {
  Emulator::CopyAsync(shared, global, 4);
}
inline void CommitCopies() { Emulator::CommitCopies(); }
template <int kNewest>
void WaitCopies() {
  Emulator::WaitCopies(kNewest);
}

struct CopyBarrier {
  uint64_t state;
};
inline void InitCopyBarrier(CopyBarrier* barrier) { Emulator::InitCopyBarrier(&barrier->state); }
inline void ExpectCopies(CopyBarrier* barrier, int bytes) {
  Emulator::ExpectCopies(&barrier->state, bytes);
}
inline void CopyBulk(void* shared, const void* global, int bytes, CopyBarrier* barrier) {
  Emulator::CopyBulk(shared, global, bytes, &barrier->state);
}
inline void WaitCopyBarrier(CopyBarrier* barrier, int parity) {
  Emulator::WaitCopyBarrier(&barrier->state, parity);
}
inline void ShowCopies() {}

struct TurnBarrier {
  uint64_t state;
};
inline void MakeTurns(TurnBarrier* barrier, int arrivals) {
  Emulator::MakeTurns(&barrier->state, arrivals);
}
inline void ArriveTurn(TurnBarrier* barrier) { Emulator::ArriveTurn(&barrier->state); }
inline void ArriveAfterCopies(TurnBarrier* barrier) {
  Emulator::ArriveAfterCopies(&barrier->state);
}
inline void WaitTurn(TurnBarrier* barrier, int parity) {
  Emulator::WaitTurn(&barrier->state, parity);
}

constexpr bool kHasGroupMma = true;
inline void GroupMma(float (&d)[16][4], const uint32_t (&a)[4], const void* b, int step) {
  Emulator::GroupMma(d, a, b, step);
}
template <MmaFloat kFloat = MmaFloat::kHalf>
void GroupMmaShared(float (&d)[8][4], int a, int b, int step) {
  Emulator::GroupMmaShared(d, SharedMemory() + a, SharedMemory() + b, step, kFloat);
}
template <MmaFloat kFloat = MmaFloat::kHalf>
void GroupMmaShared(float (&d)[2][4], int a, int b, int step) {
  Emulator::GroupMmaShared(d, SharedMemory() + a, SharedMemory() + b, step, kFloat);
}
template <MmaFloat kFloat = MmaFloat::kHalf>
void GroupMmaRows(float (&d)[8][4], const uint32_t (&a)[4], int b, int step) {
  Emulator::GroupMmaRows(d, a, SharedMemory() + b, step, kFloat);
}
template <int kRegisters>
void TakeRegisters() {}
template <int kRegisters>
void GiveRegisters() {}
inline void BeginGroupMmas() { Emulator::BeginGroupMmas(); }
inline void CommitGroupMmas() { Emulator::CommitGroupMmas(); }
template <int kNewest>
void WaitGroupMmas() {
  Emulator::WaitGroupMmas(kNewest);
}
inline void ShowGroupMmas() { Emulator::ShowGroupMmas(); }

template <typename Args>
void Launch(GpuStream& stream, Grid grid, int threads, int shared_bytes, void (*kernel)(Args),
            const Args& args) {
  static_cast<Emulator*>(stream.native())
      ->Launch({{grid.x, grid.y, grid.z}, threads, shared_bytes, [kernel, args] { kernel(args); }});
}

}  // namespace mla::MLA_GPU
#endif  // MLA_CUDA_SIMT_EMULATED_H_
