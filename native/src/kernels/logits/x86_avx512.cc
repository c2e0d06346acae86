#include "kernels/logits/implementations.h"
#include "kernels/logits/loops.h"

namespace mla {

const LogitKernels kLogitsAvx512 = {Scan, FindRunOf, SumOfExp};

}  // namespace mla
