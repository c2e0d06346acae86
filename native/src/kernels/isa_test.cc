#include "kernels/isa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

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
  const std::vector<Isa> supported = {Isa::kAvx512, Isa::kAvx2, Isa::kGeneric};
  for (Isa isa : supported) {
    const IsaChoice choice = ChooseIsa(IsaName(isa), supported);
    EXPECT_EQ(choice.isa, isa);
    EXPECT_EQ(choice.reason, std::string("MLA_ISA=") + IsaName(isa));
  }
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
  const auto supported = [](Isa isa) {
    return std::count(SupportedIsas().begin(), SupportedIsas().end(), isa) == 1;
  };
  const bool avx2 = has("avx2") && has("fma") && has("f16c");
  EXPECT_EQ(supported(Isa::kAvx2), avx2);
  EXPECT_EQ(supported(Isa::kAvx512), avx2 && has("avx512f") && has("avx512bw") && has("avx512vl") &&
                                         has("avx512dq") && has("avx512_vnni"));
}

}  // namespace
}  // namespace mla
