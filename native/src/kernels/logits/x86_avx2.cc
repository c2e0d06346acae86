#include "kernels/logits/implementations.h"
#include "kernels/logits/loops.h"

namespace mla {

const LogitKernels kLogitsAvx2 = {Scan, FindRunOf, SumOfExp};

}  // namespace mla
