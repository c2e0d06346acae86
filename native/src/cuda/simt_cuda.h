// The language of the GPU's kernels as CUDA has it, and what each of its words means. Included by
// simt.h alone, under nvcc.
#ifndef MLA_CUDA_SIMT_CUDA_H_
#define MLA_CUDA_SIMT_CUDA_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/gpu_stream.h"

namespace mla::MLA_GPU {

MLA_DEVICE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
MLA_DEVICE int BlockThreads() { return static_cast<int>(blockDim.x); }
MLA_DEVICE int BlockX() { return static_cast<int>(blockIdx.x); }
MLA_DEVICE int BlockY() { return static_cast<int>(blockIdx.y); }
MLA_DEVICE int BlockZ() { return static_cast<int>(blockIdx.z); }
MLA_DEVICE int GridX() { return static_cast<int>(gridDim.x); }

// 1,024-byte aligned.
MLA_DEVICE uint8_t* SharedMemory() {
  extern __shared__ __align__(1024) uint8_t shared[];
  return shared;
}

// Where something is in shared memory, as a number that loads are fastest with; and a load.
MLA_DEVICE int SharedAddress(const void* at) {
  return static_cast<int>(__cvta_generic_to_shared(at));
}
template <typename T>
MLA_DEVICE T LoadShared(int address) {
  return *static_cast<const T*>(__cvta_shared_to_generic(static_cast<size_t>(address)));
}

template <typename T>
MLA_DEVICE void StoreShared(int address, const T& value) {
  *static_cast<T*>(__cvta_shared_to_generic(static_cast<size_t>(address))) = value;
}
// A load of a word, for addresses that nvcc 13.0 cannot see through: it does not end where some
// are chosen between.
MLA_DEVICE uint32_t LoadSharedWord(int address) {
  uint32_t word;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address));
  return word;
}

MLA_DEVICE void SyncBlock() { __syncthreads(); }
MLA_DEVICE void SyncWarp() { __syncwarp(); }
// Groups of four warps, the first's number a multiple of four.
MLA_DEVICE void SyncGroup() {
  asm volatile("bar.sync %0, 128;" ::"r"(1 + static_cast<int>(threadIdx.x) / 128) : "memory");
}

// Warp: lane `lane`'s value.
template <typename T>
MLA_DEVICE T Shuffle(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
// Warp: the value of the lane whose number differs in `mask`.
template <typename T>
MLA_DEVICE T ShuffleXor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// Warp: whether any lane says so.
MLA_DEVICE bool AnyLane(bool one) { return __any_sync(0xffffffffu, one) != 0; }

// Four products of bytes and a sum. A field of a cache row is unsigned, its query signed.
MLA_DEVICE int Dot4(int a, int b, int sum) { return __dp4a(a, b, sum); }

MLA_DEVICE float HalfToFloat(uint16_t half) { return __half2float(__ushort_as_half(half)); }
MLA_DEVICE uint16_t FloatToHalf(float value) { return __half_as_ushort(__float2half_rn(value)); }
MLA_DEVICE float Bfloat16ToFloat(uint16_t value) {
  return __uint_as_float(static_cast<uint32_t>(value) << 16);
}
MLA_DEVICE uint16_t FloatToBfloat16(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
// Two halves in a word, the first in its lower part.
MLA_DEVICE uint32_t PackHalves(float low, float high) {
  const __half2 both = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&both);
}

// Sums and products of two halves each, rounded once; the product's sum too.
MLA_DEVICE uint32_t AddHalves(uint32_t a, uint32_t b) {
  const __half2 sum =
      __hadd2_rn(*reinterpret_cast<const __half2*>(&a), *reinterpret_cast<const __half2*>(&b));
  return *reinterpret_cast<const uint32_t*>(&sum);
}
MLA_DEVICE uint32_t MulAddHalves(uint32_t a, uint32_t b, uint32_t c) {
  const __half2 sum =
      __hfma2(*reinterpret_cast<const __half2*>(&a), *reinterpret_cast<const __half2*>(&b),
              *reinterpret_cast<const __half2*>(&c));
  return *reinterpret_cast<const uint32_t*>(&sum);
}

// The same of bf16.
MLA_DEVICE uint32_t PackBfloats(float low, float high) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&both);
}
MLA_DEVICE uint32_t MulAddBfloats(uint32_t a, uint32_t b, uint32_t c) {
  const __nv_bfloat162 sum = __hfma2(*reinterpret_cast<const __nv_bfloat162*>(&a),
                                     *reinterpret_cast<const __nv_bfloat162*>(&b),
                                     *reinterpret_cast<const __nv_bfloat162*>(&c));
  return *reinterpret_cast<const uint32_t*>(&sum);
}

// Byte i of the result is the one that digit i (of 16) of `digits` names: 0 to 3 of a, 4 to 7 of b.
MLA_DEVICE uint32_t Bytes(uint32_t a, uint32_t b, uint32_t digits) {
  return __byte_perm(a, b, digits);
}

// The same where all digits are below 8 already.
MLA_DEVICE uint32_t PickBytes(uint32_t a, uint32_t b, uint32_t digits) {
  uint32_t picked;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(picked) : "r"(a), "r"(b), "r"(digits));
  return picked;
}

// In shared memory; what was there before.
MLA_DEVICE uint32_t AtomicAdd(uint32_t* to, uint32_t value) { return atomicAdd(to, value); }

MLA_DEVICE float Exp(float x) { return expf(x); }
// 2^x; zero instead of what is subnormal.
MLA_DEVICE float Exp2(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}
MLA_DEVICE double Log(double x) { return log(x); }
MLA_DEVICE float Rsqrt(float x) { return rsqrtf(x); }
MLA_DEVICE float Abs(float x) { return fabsf(x); }
// Of a number and NaN: the number.
MLA_DEVICE float Max(float a, float b) { return fmaxf(a, b); }
MLA_DEVICE float Min(float a, float b) { return fminf(a, b); }
MLA_DEVICE float Ceil(float x) { return ceilf(x); }
// Nearest, halves to even.
MLA_DEVICE int RoundToInt(float x) { return __float2int_rn(x); }
MLA_DEVICE double RoundToWhole(double x) { return rint(x); }
// Of x half turns.
MLA_DEVICE void SinCosPi(float x, float* sin, float* cos) { sincospif(x, sin, cos); }
MLA_DEVICE float Infinity() { return __int_as_float(0x7f800000); }
MLA_DEVICE float FloatOfBits(uint32_t bits) { return __uint_as_float(bits); }
MLA_DEVICE uint32_t BitsOfFloat(float x) { return __float_as_uint(x); }

// Until all that was launched before is done, and what it wrote is there.
MLA_DEVICE void WaitForEarlier() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The next launch may begin, as soon as all blocks say so or end.
MLA_DEVICE void LetLaterStart() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// What other blocks do not write while the kernel runs. In the order of calls with WaitForEarlier,
// as __ldg would not be.
MLA_DEVICE Quad LoadQuad(const void* from) {
  Quad quad;
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(quad.word[0]), "=r"(quad.word[1]), "=r"(quad.word[2]), "=r"(quad.word[3])
               : "l"(__cvta_generic_to_global(from)));
  return quad;
}
// The same without a branch; what is not wanted stays as it is.
MLA_DEVICE void LoadQuad(bool wanted, const void* from, Quad* to) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %5, 0;\n"
      "@p ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
      : "+r"(to->word[0]), "+r"(to->word[1]), "+r"(to->word[2]), "+r"(to->word[3])
      : "l"(__cvta_generic_to_global(from)), "r"(static_cast<int>(wanted)));
}

// Words and halves of the same.
MLA_DEVICE uint32_t LoadWord(const void* from) {
  uint32_t word;
  asm volatile("ld.global.u32 %0, [%1];" : "=r"(word) : "l"(__cvta_generic_to_global(from)));
  return word;
}
MLA_DEVICE uint32_t LoadHalf(const void* from) {
  uint16_t half;
  asm volatile("ld.global.u16 %0, [%1];" : "=h"(half) : "l"(__cvta_generic_to_global(from)));
  return half;
}

// The same of what no kernel writes, weights, in front of WaitForEarlier too. Quads pass by the
// first-level cache.
MLA_DEVICE void LoadWeights(bool wanted, const void* from, Quad* to) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %5, 0;\n"
      "@p ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
      : "+r"(to->word[0]), "+r"(to->word[1]), "+r"(to->word[2]), "+r"(to->word[3])
      : "l"(__cvta_generic_to_global(from)), "r"(static_cast<int>(wanted)));
}
MLA_DEVICE void LoadWeight(bool wanted, const uint32_t* from, uint32_t* to) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %2, 0;\n@p ld.global.nc.u32 %0, [%1];\n}"
               : "+r"(*to)
               : "l"(__cvta_generic_to_global(from)), "r"(static_cast<int>(wanted)));
}
// Where the GPU can, has so many bytes come to the second-level cache, from 16-byte boundary to
// 16-byte boundary.
MLA_DEVICE void Prefetch(const uint8_t* from, int64_t bytes) {
#if __CUDA_ARCH__ >= 900
  const size_t begin = __cvta_generic_to_global(from) / 16 * 16;
  const size_t end = (__cvta_generic_to_global(from) + static_cast<size_t>(bytes)) / 16 * 16;
  if (begin == end) return;
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(begin),
               "r"(static_cast<uint32_t>(end - begin)));
#else
  (void)from, (void)bytes;
#endif
}

// What PTX calls matrices of them.
template <MmaFloat kFloat>
struct MmaName {
  static constexpr char kOf[] = "f16";
};
template <>
struct MmaName<MmaFloat::kBfloat> {
  static constexpr char kOf[] = "bf16";
};

// Warp: d += a · b, of 16 x 16 and 16 x 8 halves in the fragments of mma.m16n8k16, or bf16. With g
// = lane / 4 and t = lane % 4: a[0..3] hold columns 2t, 2t + 1 of rows g, g + 8, and columns 2t +
// 8, 2t + 9 of the same; b[0..1] rows 2t, 2t + 1 and 2t + 8, 2t + 9 of column g; d[0..3] columns
// 2t, 2t + 1 of row g, then of row g + 8.
template <MmaFloat kFloat = MmaFloat::kHalf>
MLA_DEVICE void Mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.%10.%10.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]),
        "C"(MmaName<kFloat>::kOf));
}

// The same of halves, with nothing to add to.
MLA_DEVICE void MmaOf(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%10, %10, %10, %10};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(0.0f));
}

// Warp: four 8 x 8 matrices of halves from shared memory. Lane i gives the address of row i % 8 of
// matrix i / 8 (or SharedAddress's number of it), 16 bytes at a 16-byte boundary; to[m] gets of
// matrix m the elements 2t, 2t + 1 of row g (g, t as in Mma).
MLA_DEVICE void LoadMatrices(uint32_t (&to)[4], int at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(at)
               : "memory");
}
MLA_DEVICE void LoadMatrices(uint32_t (&to)[4], const void* row) {
  LoadMatrices(to, SharedAddress(row));
}
// The same with every matrix transposed: elements g of rows 2t, 2t + 1.
MLA_DEVICE void LoadMatricesTransposed(uint32_t (&to)[4], int at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(at)
               : "memory");
}
MLA_DEVICE void LoadMatricesTransposed(uint32_t (&to)[4], const void* row) {
  LoadMatricesTransposed(to, SharedAddress(row));
}

// 16 bytes to shared memory on their way while the thread goes on. Copies of a thread up to a
// CommitCopies are a group; WaitCopies<n> waits for all of its groups but the newest n. What other
// threads copied is there after the barrier that follows.
MLA_DEVICE void CopyAsync(void* shared, const void* global) {
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
}
// The same to SharedAddress's number.
MLA_DEVICE void CopyAsync(int shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
}
// The same of 4 bytes at a 4-byte boundary.
MLA_DEVICE void CopyWordAsync(void* shared, const void* global) {
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global) : "memory");
}
MLA_DEVICE void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kNewest>
MLA_DEVICE void WaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
}

// Bulk copies: of multiples of 16 bytes between 16-byte boundaries, to shared memory, by one thread
// for all. A barrier lies in shared memory, is made by one thread, and after a SyncBlock counts in
// turns: one thread says how many bytes a turn is for, copies that name the barrier bring them, and
// WaitCopyBarrier ends when all have come, of the turn of this parity, 0 the first time. A slot
// that was read is copied to after a barrier of threads; one that was stored to, after that and
// ShowCopies by the thread that copies. Only where GpuStream::has_bulk_copies.
struct CopyBarrier {
  uint64_t state;
};
MLA_DEVICE uint32_t BarrierAddress(CopyBarrier* barrier) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(barrier));
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
MLA_DEVICE void InitCopyBarrier(CopyBarrier* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(BarrierAddress(barrier)) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
MLA_DEVICE void ExpectCopies(CopyBarrier* barrier, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(BarrierAddress(barrier)),
      "r"(bytes)
      : "memory");
}
MLA_DEVICE void CopyBulk(void* shared, const void* global, int bytes, CopyBarrier* barrier) {
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(to),
      "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(BarrierAddress(barrier))
      : "memory");
}
MLA_DEVICE void WaitCopyBarrier(CopyBarrier* barrier, int parity) {
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred done;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n}"
        : "=r"(done)
        : "r"(BarrierAddress(barrier)), "r"(parity)
        : "memory");
  }
}
MLA_DEVICE void ShowCopies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#else
MLA_DEVICE void InitCopyBarrier(CopyBarrier*) { __trap(); }
MLA_DEVICE void ExpectCopies(CopyBarrier*, int) { __trap(); }
MLA_DEVICE void CopyBulk(void*, const void*, int, CopyBarrier*) { __trap(); }
MLA_DEVICE void WaitCopyBarrier(CopyBarrier*, int) { __trap(); }
MLA_DEVICE void ShowCopies() {}
#endif

// A barrier of turns in shared memory, where some threads say that something is there and others
// wait for that, or that it is free again. Made by one thread, for so many arrivals a turn, and
// used behind a SyncBlock. What a thread did before it arrived is done for those that waited;
// ArriveAfterCopies arrives when the copies that the thread has asked for have come, and says
// nothing of its stores. WaitTurn waits for the end of the turn of this parity, 0 the first time.
struct TurnBarrier {
  uint64_t state;
};
MLA_DEVICE uint32_t BarrierAddress(TurnBarrier* barrier) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(barrier));
}
MLA_DEVICE void MakeTurns(TurnBarrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(BarrierAddress(barrier)), "r"(arrivals)
               : "memory");
}
MLA_DEVICE void ArriveTurn(TurnBarrier* barrier) {
  asm volatile("{\n.reg .b64 state;\nmbarrier.arrive.shared.b64 state, [%0];\n}" ::"r"(
                   BarrierAddress(barrier))
               : "memory");
}
MLA_DEVICE void ArriveAfterCopies(TurnBarrier* barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(BarrierAddress(barrier))
               : "memory");
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
// The loop is within, where it parts no warp in the compiler's eyes: groups' products behind it
// would wait for each other.
MLA_DEVICE void WaitTurn(TurnBarrier* barrier, int parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(BarrierAddress(barrier)),
      "r"(parity)
      : "memory");
}
#else
MLA_DEVICE void WaitTurn(TurnBarrier*, int) { __trap(); }
#endif

// Where code for GPUs with a group's Mma is compiled.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr bool kHasGroupMma = true;
#else
constexpr bool kHasGroupMma = false;
#endif

// Group: four warps, the first's number a multiple of four. d += a · b, of 64 x 16 halves, as Mma's
// fragments of every warp's 16 rows, and 16 x 128 in shared memory: 128 rows (columns of b) of 128
// bytes from a multiple of 1,024 bytes on, of whose pieces of 16 bytes number i of row r lies at i
// ^ r % 8; `step`, 0 to 3, says which 32 of a row's 128 bytes. d is in fragments of 8 columns.
//
// It goes on while the group does: between BeginGroupMmas, behind which registers that others wrote
// may be read, and CommitGroupMmas there are some of them. WaitGroupMmas<n> waits for all but the
// newest n such sequences; up to then a and b stay as they are, and d is nobody's. Sequences that
// add to the same d follow each other. Only where GpuStream::has_group_mma.
MLA_DEVICE void GroupMma(float (&d)[16][4], const uint32_t (&a)[4], const void* b, int step) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // Address, 1,024 bytes from eight rows to the next, 128-byte swizzle.
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(b)) + step * 32;
  const uint64_t matrix = (at & 0x3ffff) >> 4 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, "
      "%30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, "
      "%44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, "
      "%58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, add, 1, 1, 0;\n}"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]),
        "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]),
        "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]),
        "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]),
        "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]),
        "+f"(d[7][2]), "+f"(d[7][3]), "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]), "+f"(d[8][3]),
        "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]), "+f"(d[10][0]), "+f"(d[10][1]),
        "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]),
        "+f"(d[11][3]), "+f"(d[12][0]), "+f"(d[12][1]), "+f"(d[12][2]), "+f"(d[12][3]),
        "+f"(d[13][0]), "+f"(d[13][1]), "+f"(d[13][2]), "+f"(d[13][3]), "+f"(d[14][0]),
        "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]), "+f"(d[15][0]), "+f"(d[15][1]),
        "+f"(d[15][2]), "+f"(d[15][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(matrix), "r"(1));
#else
  __trap();
#endif
}
// The same of 64 x 64 products of halves or bf16, whose right matrix is 64 rows of 64 of them at a
// shared address, as above. GroupMmaShared: the left one, too, and rows of the right one are
// columns of the product; of both, columns from 16 `step` on. GroupMmaRows: the left one in
// registers, the right one its rows from 16 `step` on. Between begin and wait no d must be written
// by other means, not one that is yet to be added to either, or all products of the kernel wait for
// each other; ptxas says so.
MLA_DEVICE uint64_t GroupMatrix(int at) {
  return (at & 0x3ffff) >> 4 | uint64_t{1024 >> 4} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}
template <MmaFloat kFloat = MmaFloat::kHalf>
MLA_DEVICE void GroupMmaShared(float (&d)[8][4], int a, int b, int step) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.%35.%35 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "
      "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, %32, %33, add, 1, 1, 0, 0;\n}"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]),
        "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]),
        "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]),
        "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]),
        "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]),
        "+f"(d[7][2]), "+f"(d[7][3])
      : "l"(GroupMatrix(a + step * 32)), "l"(GroupMatrix(b + step * 32)), "r"(1),
        "C"(MmaName<kFloat>::kOf));
#else
  __trap();
#endif
}
// The same of 16 rows of the right one: 64 x 16 products.
template <MmaFloat kFloat = MmaFloat::kHalf>
MLA_DEVICE void GroupMmaShared(float (&d)[2][4], int a, int b, int step) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %10, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n16k16.f32.%11.%11 "
      "{%0, %1, %2, %3, %4, %5, %6, %7}, %8, %9, add, 1, 1, 0, 0;\n}"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]),
        "+f"(d[1][2]), "+f"(d[1][3])
      : "l"(GroupMatrix(a + step * 32)), "l"(GroupMatrix(b + step * 32)), "r"(1),
        "C"(MmaName<kFloat>::kOf));
#else
  __trap();
#endif
}
template <MmaFloat kFloat = MmaFloat::kHalf>
MLA_DEVICE void GroupMmaRows(float (&d)[8][4], const uint32_t (&a)[4], int b, int step) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.%38.%38 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "
      "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, {%32, %33, %34, %35}, %36, "
      "add, 1, 1, 1;\n}"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]),
        "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]),
        "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]),
        "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]),
        "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]),
        "+f"(d[7][2]), "+f"(d[7][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(GroupMatrix(b + step * 2048)), "r"(1),
        "C"(MmaName<kFloat>::kOf));
#else
  __trap();
#endif
}
// Group: of so many registers a thread from here on, which others have given; a block's groups
// part for good in front of it.
template <int kRegisters>
MLA_DEVICE void TakeRegisters() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}
template <int kRegisters>
MLA_DEVICE void GiveRegisters() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}
MLA_DEVICE void BeginGroupMmas() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
MLA_DEVICE void CommitGroupMmas() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
template <int kNewest>
MLA_DEVICE void WaitGroupMmas() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kNewest) : "memory");
#endif
}
// Before the barrier behind which a group multiplies with what this thread wrote or copied.
MLA_DEVICE void ShowGroupMmas() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// The kernel's arguments are copied now; it runs after what was launched on the stream before.
// Errors stay with the stream until it is synchronized.
template <typename Args>
void Launch(GpuStream& stream, Grid grid, int threads, int shared_bytes, void (*kernel)(Args),
            const Args& args) {
  constexpr int kAlwaysAllowed = 48 << 10;
  if (shared_bytes > kAlwaysAllowed) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  }
  cudaLaunchAttribute early;
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                        static_cast<unsigned>(grid.z));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = static_cast<cudaStream_t>(stream.native());
  config.attrs = &early;
  config.numAttrs = stream.starts_early() ? 1 : 0;
  cudaLaunchKernelEx(&config, kernel, args);
}

}  // namespace mla::MLA_GPU
#endif  // MLA_CUDA_SIMT_CUDA_H_
