// What the machine can run, and what was chosen. Every operation's table of implementations is
// indexed by Isa.
#ifndef MLA_KERNELS_ISA_H_
#define MLA_KERNELS_ISA_H_

#include <string>
#include <vector>

namespace mla {

// kAvx2 means AVX2, FMA and F16C together; kAvxVnni AVX-VNNI besides those, kAvx512 F, BW, VL, DQ
// and VNNI besides those. kNeon is what every arm64 has; kDotprod means sdot and udot besides,
// kI8mm smmla besides those.
enum class Isa {
  kGeneric = 0,
  kAvx2 = 1,
  kAvx512 = 2,
  kNeon = 3,
  kDotprod = 4,
  kI8mm = 5,
  kAvxVnni = 6
};

struct IsaChoice {
  Isa isa;
  std::string reason;  // for `mla info`: "best of avx512, avx2, generic", "MLA_ISA=avx2", ...
};

const char* IsaName(Isa isa);
// Best first, generic always last. Both the processor and the operating system (saved registers)
// must agree.
const std::vector<Isa>& SupportedIsas();
// Decided once: the best, or what MLA_ISA names; a name that the machine cannot run falls back to
// the best and says so.
const IsaChoice& ChosenIsa();

// The decision itself: `wish` (null or empty: none) among `supported`, which is best first and not
// empty.
IsaChoice ChooseIsa(const char* wish, const std::vector<Isa>& supported);

}  // namespace mla
#endif  // MLA_KERNELS_ISA_H_
