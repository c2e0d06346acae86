#include "api/profile_api.h"

#include <cstddef>
#include <string>

#include "api/guard.h"
#include "api/options.h"

namespace mla {
namespace {

constexpr size_t kWorkFirst = offsetof(mla_work, integer_multiply_adds) + sizeof(double);
constexpr size_t kProfileFirst = offsetof(mla_profile, seconds) + sizeof(double);
constexpr size_t kProfileRowFirst =
    offsetof(mla_profile_row, integer_multiply_adds) + sizeof(double);

// To either struct that tells it.
template <class T>
void SetWork(const Work& work, T* to) {
  to->weight_bytes = work.weight_bytes;
  to->cache_bytes = work.cache_bytes;
  to->float_multiply_adds = work.float_multiply_adds;
  to->integer_multiply_adds = work.integer_multiply_adds;
}

}  // namespace

Status WriteWork(const Result<Work>& work, mla_work* to) {
  if (to == nullptr) return NullArgument("work");
  if (!work.ok()) return work.status();
  mla_work known{};
  SetWork(work.value(), &known);
  return WriteStruct("mla_work", known, kWorkFirst, to);
}

Status WriteProfile(const Result<Profile>& profile, mla_profile* to) {
  if (to == nullptr) return NullArgument("profile");
  if (!profile.ok()) return profile.status();
  mla_profile known{};
  known.threads = profile.value().members();
  known.tokens = profile.value().tokens();
  known.steps = profile.value().steps();
  known.seconds = profile.value().seconds();
  return WriteStruct("mla_profile", known, kProfileFirst, to);
}

Status WriteProfileRow(const Result<Profile>& profile, int32_t operation, mla_profile_row* to) {
  if (to == nullptr) return NullArgument("row");
  if (mla_operation_name(operation) == nullptr) {
    return Status(MLA_INVALID_ARGUMENT, "operation is " + std::to_string(operation) +
                                            ", expected 0 to " + std::to_string(kOperations - 1));
  }
  if (!profile.ok()) return profile.status();
  const Profile::Row counted = profile.value().row(static_cast<Operation>(operation));
  mla_profile_row known{};
  known.seconds = counted.seconds;
  known.waiting_seconds = counted.waiting_seconds;
  SetWork(counted.work, &known);
  return WriteStruct("mla_profile_row", known, kProfileRowFirst, to);
}

}  // namespace mla

const char* mla_operation_name(int32_t operation) {
  if (operation < 0 || operation >= static_cast<int32_t>(mla::kOperations)) return nullptr;
  return mla::OperationName(static_cast<mla::Operation>(operation));
}
