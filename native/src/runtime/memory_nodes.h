// The machine's memory nodes (NUMA): cores that have memory of their own, and reach the others'
// more slowly.
#ifndef MLA_RUNTIME_MEMORY_NODES_H_
#define MLA_RUNTIME_MEMORY_NODES_H_

#include <string>
#include <vector>

namespace mla {

using Cores = std::vector<int>;  // their numbers, ascending

// "0-3,8", as Linux writes numbers of cores; none where the text is no such list.
Cores ParseCores(const std::string& list);

// Cores of the calling thread's affinity mask; none where the system does not tell.
Cores AffineCores();

// The cores of every node that has some of `usable`, as `folder` (/sys/devices/system/node) tells.
std::vector<Cores> NodesIn(const std::string& folder, const Cores& usable);

struct NodeChoice {
  std::vector<Cores> nodes;  // two at least, or none that matter
  std::string reason;        // for `mla info`
};
// Those that the system tells of, or what `wish` (null: nothing) names: lists of cores with
// semicolons between them ("0-31;32-63"), one or no list for no nodes. A damaged wish falls back to
// the system's and says so.
NodeChoice ChooseNodes(const char* wish, std::vector<Cores> system);

// This process's, decided once, the environment's MLA_NODES its wish.
const NodeChoice& MemoryNodes();

// The node of a member of a team: of as few nodes as have cores enough, the first ones, each has
// members by the number of its cores, neighbours together. So the share of a matrix that a member
// packs and multiplies lies on its own node, and a small team has no node to wait for.
size_t NodeOfMember(const std::vector<Cores>& nodes, int member, int team_size);

// From now on the calling thread runs on these cores; where the system refuses, wherever it may.
void RunOn(const Cores& cores);

}  // namespace mla
#endif  // MLA_RUNTIME_MEMORY_NODES_H_
