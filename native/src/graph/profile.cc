#include "graph/profile.h"

#include "runtime/thread_pool.h"

namespace mla {
namespace {

using Clock = std::chrono::steady_clock;

Clock::time_point NowFor(const Profile* profile) {
  return profile == nullptr ? Clock::time_point{} : Clock::now();
}

}  // namespace

Profile::Part::Part(Profile* profile, int members, int member)
    : profile_(profile), member_(member) {
  if (profile_ == nullptr) return;
  if (member == 0) profile_->members_ = members;
  Member& own = profile_->team_[static_cast<size_t>(member)];
  own.operation = 0;
  own.waited = 0;
  CountWaits(&own.waited);
  own.since = Clock::now();
}

Profile::Part::~Part() {
  if (profile_ == nullptr) return;
  CountWaits(nullptr);
  End(profile_->team_[static_cast<size_t>(member_)], Clock::now());
}

Profile::Call::Call(Profile* profile) : profile_(profile), begin_(NowFor(profile)) {}

Profile::Call::~Call() {
  if (profile_ != nullptr) profile_->calls_ += Clock::now() - begin_;
}

Profile::Alone::Alone(Profile* profile, Operation operation)
    : profile_(profile), operation_(operation), begin_(NowFor(profile)) {}

Profile::Alone::~Alone() {
  if (profile_ == nullptr) return;
  const std::chrono::nanoseconds passed = Clock::now() - begin_;
  profile_->alone_[static_cast<size_t>(operation_)] += passed;
  profile_->calls_ += passed;
}

void Profile::End(Member& member, Clock::time_point now) {
  const int64_t passed = std::chrono::nanoseconds(now - member.since).count();
  member.working[member.operation] += passed - member.waited;
  member.waiting[member.operation] += member.waited;
  member.waited = 0;
  member.since = now;
}

void Profile::Begin(Operation operation, int member) {
  Member& own = team_[static_cast<size_t>(member)];
  End(own, Clock::now());
  own.operation = static_cast<size_t>(operation);
}

void Profile::CountStep(const OperationWork& work, int32_t n) {
  for (size_t o = 0; o < kOperations; ++o) work_[o] += work[o];
  tokens_ += n;
  ++steps_;
}

Profile::Row Profile::row(Operation operation) const {
  const size_t o = static_cast<size_t>(operation);
  Row row;
  for (const Member& member : team_) {
    row.seconds += 1e-9 * static_cast<double>(member.working[o]);
    row.waiting_seconds += 1e-9 * static_cast<double>(member.waiting[o]);
  }
  row.seconds = row.seconds / members_ + std::chrono::duration<double>(alone_[o]).count();
  row.waiting_seconds /= members_;
  row.work = work_[o];
  return row;
}

}  // namespace mla
