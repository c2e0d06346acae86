// For arithmetic that the host and the GPU do alike, to the bit. Plain: production code of the host
// includes it.
#ifndef MLA_CUDA_BOTH_H_
#define MLA_CUDA_BOTH_H_

#if defined(__CUDACC__)
#define MLA_BOTH __host__ __device__ __forceinline__
#else
#define MLA_BOTH inline
#endif
// Of a loop on the GPU: whole, where the count is known when it is compiled.
#if defined(__CUDA_ARCH__)
#define MLA_BOTH_UNROLL _Pragma("unroll")
#else
#define MLA_BOTH_UNROLL
#endif

namespace mla {

// a * b by itself: nvcc would make one operation, rounded once, of a product and what is added to
// it. Host compilers of processors with such an operation are told not to (cmake/isa_flags.cmake).
MLA_BOTH float Times(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

}  // namespace mla
#endif  // MLA_CUDA_BOTH_H_
