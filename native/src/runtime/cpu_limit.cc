#include "runtime/cpu_limit.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "runtime/memory_nodes.h"

namespace mla {
namespace {

// The first line's words; none where the file is absent.
std::vector<std::string> FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  std::istringstream words(line);
  std::vector<std::string> out;
  for (std::string word; words >> word;) out.push_back(word);
  return out;
}

// 0 where the text is no positive number ("max", "-1", damaged).
double Positive(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end != text.c_str() && std::isfinite(value) && value > 0 ? value : 0;
}

int WholeCores(double quota, double period) {
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::clamp(std::ceil(quota / period), 1.0, 1e6));
}

int QuotaV2(const std::string& folder) {
  const std::vector<std::string> words = FirstLine(folder + "/cpu.max");
  return words.size() < 2 ? 0 : WholeCores(Positive(words[0]), Positive(words[1]));
}

int QuotaV1(const std::string& folder) {
  const std::vector<std::string> quota = FirstLine(folder + "/cpu.cfs_quota_us");
  const std::vector<std::string> period = FirstLine(folder + "/cpu.cfs_period_us");
  return quota.empty() || period.empty() ? 0 : WholeCores(Positive(quota[0]), Positive(period[0]));
}

int Tighter(int a, int b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

// The group and all its parents count. Inside a container the path may be the host's and absent
// here; the walk up ends at the mount, which is then the container's own group.
template <typename Quota>
int TightestUpwards(const std::string& mount, std::string group, Quota quota) {
  int cores = 0;
  for (;;) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    cores = Tighter(cores, quota(mount + group));
    if (group.empty()) return cores;
    const size_t slash = group.rfind('/');
    group.resize(slash == std::string::npos ? 0 : slash);
  }
}

bool ListsCpu(const std::string& controllers) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == "cpu") return true;
  }
  return false;
}

}  // namespace

int AffinityCores() {
  const int cores = static_cast<int>(AffineCores().size());
  return cores > 0 ? cores : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int CgroupCores(const std::string& membership, const std::string& mount) {
  int cores = 0;
  std::istringstream lines(membership);
  for (std::string line; std::getline(lines, line);) {  // hierarchy:controllers:group
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      cores = Tighter(cores, TightestUpwards(mount, group, QuotaV2));
      cores = Tighter(cores, TightestUpwards(mount + "/unified", group, QuotaV2));
    } else if (ListsCpu(controllers)) {
      cores = Tighter(cores, TightestUpwards(mount + "/" + controllers, group, QuotaV1));
      cores = Tighter(cores, TightestUpwards(mount + "/cpu", group, QuotaV1));
    }
  }
  return cores;
}

int UsableCores() {
  int cores = AffinityCores();
#if defined(__linux__)
  std::ifstream file("/proc/self/cgroup");
  std::ostringstream membership;
  membership << file.rdbuf();
  cores = Tighter(cores, CgroupCores(membership.str(), "/sys/fs/cgroup"));
#endif
  return cores;
}

}  // namespace mla
