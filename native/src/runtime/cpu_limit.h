// How many cores this process may really use: a container often shows all of the machine's.
#ifndef MLA_RUNTIME_CPU_LIMIT_H_
#define MLA_RUNTIME_CPU_LIMIT_H_

#include <string>

namespace mla {

// Cores in the calling thread's affinity mask, at least 1.
int AffinityCores();

// The tightest CPU quota of the process's control groups and their parents, in whole cores rounded
// up; 0 where there is none. Both hierarchies are read: v2's cpu.max and v1's cpu.cfs_quota_us over
// cpu.cfs_period_us. `membership` is /proc/self/cgroup's text, `mount` the folder where the
// hierarchies are mounted.
int CgroupCores(const std::string& membership, const std::string& mount);

// The smaller of both for this process, at least 1.
int UsableCores();

}  // namespace mla
#endif  // MLA_RUNTIME_CPU_LIMIT_H_
