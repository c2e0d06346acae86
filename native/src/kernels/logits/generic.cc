#include "kernels/logits/implementations.h"
#include "kernels/logits/loops.h"

namespace mla {

const LogitKernels kLogitsGeneric = {Scan, FindRunOf, SumOfExp};

}  // namespace mla
