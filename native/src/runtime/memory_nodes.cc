#include "runtime/memory_nodes.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#if defined(__linux__)
#include <sched.h>

#include <cerrno>
#include <memory>
#endif

namespace mla {
namespace {

constexpr int kMostCores = 1 << 20;

// A whole number of text[*at] on, which is moved behind it; -1 where there is none.
int ParseNumber(const std::string& text, size_t* at) {
  int number = -1;
  for (; *at < text.size() && text[*at] >= '0' && text[*at] <= '9'; ++*at) {
    number = std::max(number, 0) * 10 + (text[*at] - '0');
    if (number >= kMostCores) return -1;
  }
  return number;
}

#if defined(__linux__)
// A mask of as many cores as the kernel may have, which may be more than cpu_set_t's 1024.
struct Mask {
  explicit Mask(int cores) : width(cores), bytes(CPU_ALLOC_SIZE(cores)), set(CPU_ALLOC(cores)) {
    if (set) CPU_ZERO_S(bytes, set.get());
  }

  struct Free {
    void operator()(cpu_set_t* mask) const { CPU_FREE(mask); }
  };
  int width;
  size_t bytes;
  std::unique_ptr<cpu_set_t, Free> set;
};
#endif

}  // namespace

Cores ParseCores(const std::string& list) {
  Cores cores;
  for (size_t at = 0; at < list.size();) {
    const int first = ParseNumber(list, &at);
    int last = first;
    if (at < list.size() && list[at] == '-') {
      ++at;
      last = ParseNumber(list, &at);
    }
    if (first < 0 || last < first) return {};
    for (int core = first; core <= last; ++core) cores.push_back(core);
    if (at < list.size() && list[at] == '\n' && at + 1 == list.size()) break;
    if (at < list.size() && list[at++] != ',') return {};
  }
  std::sort(cores.begin(), cores.end());
  cores.erase(std::unique(cores.begin(), cores.end()), cores.end());
  return cores;
}

Cores AffineCores() {
  Cores cores;
#if defined(__linux__)
  for (int width = 1024; width <= kMostCores; width *= 2) {
    const Mask mask(width);
    if (!mask.set) break;
    if (sched_getaffinity(0, mask.bytes, mask.set.get()) != 0) {
      if (errno == EINVAL) continue;  // too narrow
      break;
    }
    for (int core = 0; core < width; ++core) {
      if (CPU_ISSET_S(static_cast<size_t>(core), mask.bytes, mask.set.get())) cores.push_back(core);
    }
    break;
  }
#endif
  return cores;
}

std::vector<Cores> NodesIn(const std::string& folder, const Cores& usable) {
  std::map<int, Cores> nodes;  // by number
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    size_t at = 4;
    if (name.compare(0, at, "node") != 0) continue;
    const int number = ParseNumber(name, &at);
    if (number < 0 || at != name.size()) continue;
    std::ifstream file(entry.path() / "cpulist");
    std::string list;
    std::getline(file, list);
    Cores some;
    for (int core : ParseCores(list)) {
      if (std::binary_search(usable.begin(), usable.end(), core)) some.push_back(core);
    }
    if (!some.empty()) nodes[number] = some;
  }
  std::vector<Cores> out;
  for (auto& [number, cores] : nodes) out.push_back(std::move(cores));
  return out;
}

NodeChoice ChooseNodes(const char* wish, std::vector<Cores> system) {
  if (system.size() < 2) system.clear();
  const std::string told = "as the system tells";
  if (wish == nullptr) return {std::move(system), told};
  const std::string reason = std::string("MLA_NODES=") + wish;
  std::vector<Cores> nodes;
  std::istringstream parts(wish);
  for (std::string list; std::getline(parts, list, ';');) {
    nodes.push_back(ParseCores(list));
    if (nodes.back().empty()) {
      return {std::move(system), reason + " is no lists of cores as in 0-7;8-15; " + told};
    }
  }
  if (nodes.size() < 2) nodes.clear();
  return {std::move(nodes), reason};
}

const NodeChoice& MemoryNodes() {
  static const NodeChoice* const choice = new NodeChoice(
      ChooseNodes(std::getenv("MLA_NODES"), NodesIn("/sys/devices/system/node", AffineCores())));
  return *choice;
}

size_t NodeOfMember(const std::vector<Cores>& nodes, int member, int team_size) {
  size_t cores = 0;
  for (const Cores& node : nodes) {
    cores += node.size();
    if (cores >= static_cast<size_t>(team_size)) break;
  }
  // The core that the member would have, were they as many as the members.
  size_t left = static_cast<size_t>(member) * cores / static_cast<size_t>(team_size);
  for (size_t n = 0; n < nodes.size(); ++n) {
    if (left < nodes[n].size()) return n;
    left -= nodes[n].size();
  }
  return nodes.size() - 1;
}

void RunOn(const Cores& cores) {
#if defined(__linux__)
  if (cores.empty()) return;
  const Mask mask(cores.back() + 1);
  if (!mask.set) return;
  for (int core : cores) CPU_SET_S(static_cast<size_t>(core), mask.bytes, mask.set.get());
  sched_setaffinity(0, mask.bytes, mask.set.get());
#else
  (void)cores;
#endif
}

}  // namespace mla
