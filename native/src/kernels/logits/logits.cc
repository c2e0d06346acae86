#include "kernels/logits/logits.h"

#include <cmath>

#include "kernels/logits/implementations.h"

namespace mla {

const LogitKernels& GetLogitKernels(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return kLogitsAvx512;
    case Isa::kAvxVnni:
    case Isa::kAvx2:
      return kLogitsAvx2;
#endif
    default:
      return kLogitsGeneric;
  }
}

LogitScan ScanLogits(const float* logits, int64_t n) {
  static const LogitKernels& kernels = GetLogitKernels(ChosenIsa().isa);
  return kernels.scan(logits, n);
}

int64_t FindRun(const float* logits, int64_t n, int64_t begin, float least) {
  static const LogitKernels& kernels = GetLogitKernels(ChosenIsa().isa);
  return kernels.find_run(logits, n, begin, least);
}

double SumExp(const float* logits, int64_t n, float best, float scale) {
  static const LogitKernels& kernels = GetLogitKernels(ChosenIsa().isa);
  return kernels.sum_exp(logits, n, best, scale);
}

double LogSumExp(const float* logits, int64_t n, float best) {
  return best + std::log(SumExp(logits, n, best, 1));
}

}  // namespace mla
