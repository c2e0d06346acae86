#include "runtime/batch.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <new>
#include <string>
#include <utility>

#include "runtime/thread_pool.h"

namespace mla {
namespace {

Status Invalid(std::string message) { return Status(MLA_INVALID_ARGUMENT, std::move(message)); }

Status CheckRange(const char* option, int32_t value, int32_t most) {
  if (value >= 1 && value <= most) return Status::Ok();
  return Invalid(std::string(option) + " is " + std::to_string(value) + ", expected 1 to " +
                 std::to_string(most));
}

}  // namespace

Result<std::shared_ptr<Batch>> Batch::Create(std::shared_ptr<const Weights> weights,
                                             const BatchOptions& options) {
  Status status = CheckRange("max_sessions", options.max_sessions, kMaxSessions);
  if (status.ok()) status = CheckRange("threads", options.threads, Session::kMaxThreads);
  if (!status.ok()) return status;
  return std::shared_ptr<Batch>(new Batch(std::move(weights), options));
}

Batch::Batch(std::shared_ptr<const Weights> weights, const BatchOptions& options)
    : weights_(std::move(weights)),
      options_(options),
      decoder_(weights_, options.max_sessions, options.threads) {
  const size_t most = static_cast<size_t>(options.max_sessions);
  order_.reserve(most);
  sessions_.reserve(most);
  rows_.reserve(most);
  row_turns_.reserve(most);
}

Status Batch::CheckCount(int64_t turns) const {
  if (turns >= 1 && turns <= options_.max_sessions) return Status::Ok();
  return Invalid("the number of sessions is " + std::to_string(turns) +
                 ", expected 1 to the batch's " + std::to_string(options_.max_sessions));
}

void Batch::SetProfiling(bool on) {
  const std::lock_guard<std::mutex> lock(mutex_);
  decoder_.set_profile(nullptr);
  profile_ = on ? std::make_unique<Profile>(options_.threads) : nullptr;
  decoder_.set_profile(profile_.get());
}

Result<Profile> Batch::ProfileSoFar() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (profile_ == nullptr) return Invalid("the batch is not profiled: switch that on first");
  return *profile_;
}

// Also fills order_.
Status Batch::Check(std::span<Turn> turns) {
  const std::string of = " of " + std::to_string(turns.size());
  if (Status s = CheckCount(static_cast<int64_t>(turns.size())); !s.ok()) return s;
  for (size_t i = 0; i < turns.size(); ++i) {
    if (turns[i].session == nullptr) continue;
    if (turns[i].session->weights_ != weights_) {
      return Invalid("session " + std::to_string(i) + of + " is of another model than the batch");
    }
    order_.push_back(i);
  }
  std::sort(order_.begin(), order_.end(), [&](size_t a, size_t b) {
    const Session *first = turns[a].session.get(), *second = turns[b].session.get();
    return first == second ? a < b : std::less<>()(first, second);
  });
  const auto twice = std::adjacent_find(order_.begin(), order_.end(), [&](size_t a, size_t b) {
    return turns[a].session == turns[b].session;
  });
  if (twice == order_.end()) return Status::Ok();
  return Invalid("session " + std::to_string(*std::next(twice)) + of + " is session " +
                 std::to_string(*twice) + " again, expected each once");
}

void Batch::Begin(Turn& turn) {
  Session& session = *turn.session;
  turn.token = -1;
  turn.status = session.BeginNext();
  if (turn.status.ok() && profile_ != nullptr) turn.status = session.CheckOnCpu();
  if (!turn.status.ok() || !session.pending_.has_value()) return;
  turn.status = session.BeginDecode(1);
  if (!turn.status.ok()) return;
  rows_.push_back(
      {session.decoder_.get(), *session.pending_, &session.stop_, session.RequestForDecoder()});
  row_turns_.push_back(&turn);
}

// Each session that has no token yet takes its logits and draws from them, while they are in a
// cache. Large vocabularies make this worth sharing.
void Batch::Choose(std::span<Turn> turns) {
  const Profile::Alone alone(profile_.get(), Operation::kSampling);
  const auto choose = [](Turn& turn) {
    if (turn.session == nullptr || !turn.status.ok() || turn.token >= 0) return;
    try {
      Result<int32_t> token = turn.session->EndNext(&turn.log_probability);
      turn.status = token.status();
      if (token.ok()) turn.token = token.value();
    } catch (const std::bad_alloc&) {  // a region lets no exception out
      turn.status = Status(MLA_OUT_OF_MEMORY, "out of memory");
    }
  };
  const auto region = [&](Team& team, int) {
    team.Each(static_cast<int64_t>(rows_.size()), 1, [&](int64_t i, int64_t) {
      const float* logits = rows_[static_cast<size_t>(i)].logits;
      if (logits == nullptr) return;
      Turn& turn = *row_turns_[static_cast<size_t>(i)];
      std::copy_n(logits, turn.session->vocabulary_, turn.session->logits_.begin());
      choose(turn);
    });
    // Those that had their logits before.
    team.Each(static_cast<int64_t>(turns.size()), 1,
              [&](int64_t i, int64_t) { choose(turns[static_cast<size_t>(i)]); });
  };
  const int32_t useful = static_cast<int32_t>(turns.size());
  ThreadPool::Shared().Run(std::min(options_.threads, useful), std::ref(region),
                           Meetings::kOfThoseThere);
}

Status Batch::Next(std::span<Turn> turns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // However the step ends, sessions are unlocked before their owner can let go of them.
  struct End {
    Batch& batch;
    ~End() {
      batch.sessions_.clear();
      batch.order_.clear();
      batch.rows_.clear();
      batch.row_turns_.clear();
    }
  } end{*this};
  if (Status status = Check(turns); !status.ok()) return status;
  for (size_t i : order_) sessions_.emplace_back(turns[i].session->mutex_);
  for (Turn& turn : turns) {
    if (turn.session != nullptr) Begin(turn);
  }
  if (!rows_.empty()) decoder_.Append(rows_);
  // All that was appended is kept before anything else, which may fail, is done.
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (!rows_[i].status.ok()) continue;
    Turn& turn = *row_turns_[i];
    const std::optional<Choice>& choice = rows_[i].choice;
    turn.session->EndDecode(&rows_[i].token, 1, choice.has_value());
    if (!choice.has_value() || choice->token < 0) continue;
    turn.token = turn.session->EndNext(*choice, &turn.log_probability).value();
  }
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (!rows_[i].status.ok()) {
      row_turns_[i]->status = row_turns_[i]->session->Obey(std::move(rows_[i].status));
    }
  }
  Choose(turns);
  return Status::Ok();
}

}  // namespace mla
