// What mla_gpu_bench is asked for.
#ifndef MLA_GPU_BENCH_BENCH_OPTIONS_H_
#define MLA_GPU_BENCH_BENCH_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cache/row_format.h"
#include "tensor/status.h"

namespace mla {

struct GpuBenchOptions {
  int32_t device = 0;
  double seconds = 0.2;
  std::string json, random_folder;
  bool help = false, attention = false, check = false;
  int32_t tokens = 200;
  std::vector<std::string> models;
  // Of the cases there are these are measured.
  std::vector<CacheType> caches = {CacheType::kF16, CacheType::kInt8, CacheType::kInt4,
                                   CacheType::kInt2};
  std::vector<int32_t> heads = {9, 16, 32, 128};
  std::vector<int32_t> batches = {1, 8, 32, 64, 128};
  std::vector<int32_t> contexts = {1024, 8192, 32768, 131072};
  std::vector<int32_t> depths = {0, 2048, 8000, 32000};
  std::vector<int32_t> prompts = {512, 4096};
  std::vector<int32_t> sessions = {32768};  // tokens of each of as many as the memory holds
};

// MLA_INVALID_ARGUMENT names what cannot be read.
Result<GpuBenchOptions> ReadGpuBenchOptions(int count, const char* const* words);

const char* GpuBenchUsage();

const char* NameOf(CacheType type);

}  // namespace mla
#endif  // MLA_GPU_BENCH_BENCH_OPTIONS_H_
