#include "kernels/isa.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace mla {
namespace {

#if defined(__aarch64__)
#if defined(__linux__)
// Bits of the kernel's asm/hwcap.h, which older systems' headers lack.
bool HasDotprod() { return (getauxval(AT_HWCAP) & (1UL << 20)) != 0; }  // HWCAP_ASIMDDP
bool HasI8mm() { return (getauxval(AT_HWCAP2) & (1UL << 13)) != 0; }    // HWCAP2_I8MM
#else
// What the build's target promises.
bool HasDotprod() {
#if defined(__ARM_FEATURE_DOTPROD)
  return true;
#else
  return false;
#endif
}
bool HasI8mm() {
#if defined(__ARM_FEATURE_MATMUL_INT8)
  return true;
#else
  return false;
#endif
}
#endif
#endif

#if defined(__x86_64__)
// Of registers that AVX2 has too; not every compiler's builtin knows the name.
[[maybe_unused]] bool HasAvxVnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 4)) != 0;
}
#endif

std::vector<Isa> Detect() {
  std::vector<Isa> isas;
#if defined(__x86_64__)
  // The builtin asks both cpuid and xgetbv: a register file that the system does not save counts as
  // absent.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
  if (avx512) isas.push_back(Isa::kAvx512);
#if defined(MLA_AVXVNNI_BY_AVX512)
  if (avx512) isas.push_back(Isa::kAvxVnni);
#else
  if (avx2 && HasAvxVnni()) isas.push_back(Isa::kAvxVnni);
#endif
  if (avx2) isas.push_back(Isa::kAvx2);
#elif defined(__aarch64__)
  if (HasDotprod() && HasI8mm()) isas.push_back(Isa::kI8mm);
  if (HasDotprod()) isas.push_back(Isa::kDotprod);
  isas.push_back(Isa::kNeon);
#endif
  isas.push_back(Isa::kGeneric);
  return isas;
}

std::string Names(const std::vector<Isa>& isas) {
  std::string names;
  for (Isa isa : isas) {
    if (!names.empty()) names += ", ";
    names += IsaName(isa);
  }
  return names;
}

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return "generic";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvxVnni:
      return "avxvnni";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kNeon:
      return "neon";
    case Isa::kDotprod:
      return "dotprod";
    case Isa::kI8mm:
      return "i8mm";
  }
  return "unknown";
}

const std::vector<Isa>& SupportedIsas() {
  static const std::vector<Isa> isas = Detect();
  return isas;
}

IsaChoice ChooseIsa(const char* wish, const std::vector<Isa>& supported) {
  const std::string best = "best of " + Names(supported);
  if (wish == nullptr || *wish == '\0') return {supported.front(), best};
  for (Isa isa : supported) {
    if (std::string(IsaName(isa)) == wish) return {isa, std::string("MLA_ISA=") + wish};
  }
  return {supported.front(), std::string("MLA_ISA=") + wish + " cannot run here; " + best};
}

const IsaChoice& ChosenIsa() {
  static const IsaChoice choice = ChooseIsa(std::getenv("MLA_ISA"), SupportedIsas());
  return choice;
}

}  // namespace mla
