#include "kernels/isa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <elf.h>
#endif

namespace mla {
namespace {

TEST(Isa, GenericIsAlwaysLast) {
  ASSERT_FALSE(SupportedIsas().empty());
  EXPECT_EQ(SupportedIsas().back(), Isa::kGeneric);
  EXPECT_EQ(std::count(SupportedIsas().begin(), SupportedIsas().end(), Isa::kGeneric), 1);
}

TEST(Isa, NoWishTakesTheBest) {
  const std::vector<Isa> supported = {Isa::kAvx512, Isa::kAvx2, Isa::kGeneric};
  for (const char* wish : {static_cast<const char*>(nullptr), ""}) {
    const IsaChoice choice = ChooseIsa(wish, supported);
    EXPECT_EQ(choice.isa, Isa::kAvx512);
    EXPECT_EQ(choice.reason, "best of avx512, avx2, generic");
  }
}

TEST(Isa, WishIsTaken) {
  const std::vector<Isa> supported = {Isa::kAvx512, Isa::kAvxVnni, Isa::kAvx2, Isa::kGeneric};
  for (Isa isa : supported) {
    const IsaChoice choice = ChooseIsa(IsaName(isa), supported);
    EXPECT_EQ(choice.isa, isa);
    EXPECT_EQ(choice.reason, std::string("MLA_ISA=") + IsaName(isa));
  }
}

TEST(Isa, ArmHasItsOwnNames) {
  const std::vector<Isa> supported = {Isa::kI8mm, Isa::kDotprod, Isa::kNeon, Isa::kGeneric};
  EXPECT_EQ(ChooseIsa(nullptr, supported).reason, "best of i8mm, dotprod, neon, generic");
  EXPECT_EQ(ChooseIsa("dotprod", supported).isa, Isa::kDotprod);
}

TEST(Isa, ImpossibleWishFallsBackAndSaysSo) {
  const std::vector<Isa> supported = {Isa::kAvx2, Isa::kGeneric};
  for (const char* wish : {"avx512", "neon", "AVX2", "fastest"}) {
    const IsaChoice choice = ChooseIsa(wish, supported);
    EXPECT_EQ(choice.isa, Isa::kAvx2);
    EXPECT_EQ(choice.reason,
              std::string("MLA_ISA=") + wish + " cannot run here; best of avx2, generic");
  }
}

bool IsSupported(Isa isa) {
  return std::count(SupportedIsas().begin(), SupportedIsas().end(), isa) == 1;
}

#if defined(__x86_64__)
// The kernel's own list of flags, which omits what the system does not save.
TEST(Isa, AgreesWithTheSystem) {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string line;
  while (std::getline(cpuinfo, line) && line.rfind("flags", 0) != 0) {
  }
  if (line.rfind("flags", 0) != 0) GTEST_SKIP() << "no flags in /proc/cpuinfo";
  line += ' ';
  const auto has = [&](const char* flag) {
    return line.find(' ' + std::string(flag) + ' ') != std::string::npos;
  };
  const bool avx2 = has("avx2") && has("fma") && has("f16c");
  EXPECT_EQ(IsSupported(Isa::kAvx2), avx2);
  EXPECT_EQ(IsSupported(Isa::kAvx512), avx2 && has("avx512f") && has("avx512bw") &&
                                           has("avx512vl") && has("avx512dq") &&
                                           has("avx512_vnni"));
#if !defined(MLA_AVXVNNI_BY_AVX512)
  EXPECT_EQ(IsSupported(Isa::kAvxVnni), avx2 && has("avx_vnni"));
#endif
  EXPECT_FALSE(IsSupported(Isa::kNeon));
}
#elif defined(__aarch64__) && defined(__linux__)
// What the kernel hands to a program, read from the file that it keeps of that: /proc/cpuinfo is
// another machine's under emulation.
TEST(Isa, AgreesWithTheSystem) {
  std::ifstream auxv("/proc/self/auxv", std::ios::binary);
  uint64_t entry[2], hwcap = 0, hwcap2 = 0;
  while (auxv.read(reinterpret_cast<char*>(entry), sizeof(entry))) {
    if (entry[0] == AT_HWCAP) hwcap = entry[1];
    if (entry[0] == AT_HWCAP2) hwcap2 = entry[1];
  }
  ASSERT_NE(hwcap & HWCAP_ASIMD, 0u);
  EXPECT_TRUE(IsSupported(Isa::kNeon));
  EXPECT_EQ(IsSupported(Isa::kDotprod), (hwcap & HWCAP_ASIMDDP) != 0);
  EXPECT_EQ(IsSupported(Isa::kI8mm), (hwcap & HWCAP_ASIMDDP) != 0 && (hwcap2 & HWCAP2_I8MM) != 0);
  EXPECT_FALSE(IsSupported(Isa::kAvx2));
}
#endif

}  // namespace
}  // namespace mla
