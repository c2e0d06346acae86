// Profiles and work as the C API tells them.
#ifndef MLA_API_PROFILE_API_H_
#define MLA_API_PROFILE_API_H_

#include <cstdint>

#include "graph/profile.h"
#include "graph/step_work.h"
#include "mla/mla.h"
#include "tensor/status.h"

namespace mla {

// Each into the caller's struct, which may be null or of another version: an error then, as where
// there is no profile.
Status WriteWork(const Result<Work>& work, mla_work* to);
Status WriteProfile(const Result<Profile>& profile, mla_profile* to);
Status WriteProfileRow(const Result<Profile>& profile, int32_t operation, mla_profile_row* to);

}  // namespace mla
#endif  // MLA_API_PROFILE_API_H_
