// Sessions of one model that generate together: a step reads every weight once for all of them.
#ifndef MLA_RUNTIME_BATCH_H_
#define MLA_RUNTIME_BATCH_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "graph/batch_decoder.h"
#include "graph/profile.h"
#include "graph/weights.h"
#include "runtime/session.h"
#include "tensor/status.h"

namespace mla {

struct BatchOptions {
  int32_t max_sessions = 16;  // of a step
  int32_t threads = 1;        // that compute a step, whatever the sessions' own options say
};

// Holds scratch memory and no sessions: which ones take part, every step says anew. Any thread may
// call; steps of a batch run one after the other. A step waits for calls that run on its sessions,
// and calls on them wait for it, but for Cancel and Close, which take their session out of the step
// that runs. Sessions may be in the steps of several batches and threads: a step locks its sessions
// in the order of their addresses, so no two wait for each other.
class Batch {
 public:
  // Errors: MLA_INVALID_ARGUMENT for max_sessions outside [1, kMaxSessions] or threads outside [1,
  // Session::kMaxThreads]. Throws std::bad_alloc.
  static Result<std::shared_ptr<Batch>> Create(std::shared_ptr<const Weights> weights,
                                               const BatchOptions& options);
  static constexpr int32_t kMaxSessions = 1024;

  // A session's part in a step.
  struct Turn {
    std::shared_ptr<Session> session;  // null: takes no part, and keeps its status
    Status status;                     // as Session::Next would give it
    int32_t token = -1;
    float log_probability = 0;
  };
  // Session::Next for every turn, with the tokens and numbers that each session would give alone.
  // One that fails is as it was, and does not touch the others. Errors of the whole, before
  // anything was done (MLA_INVALID_ARGUMENT): no turns, too many of them, a session twice, or one
  // of another model.
  Status Next(std::span<Turn> turns);
  // Whether a step may have so many turns.
  Status CheckCount(int64_t turns) const;

  // From now on steps are profiled, from nothing; or no longer. Meanwhile sessions on a GPU fail.
  void SetProfiling(bool on);
  // What was profiled so far. Error where nothing is.
  Result<Profile> ProfileSoFar();

  // Constant, and proportional to max_sessions but for a part.
  int64_t workspace_bytes() const { return decoder_.workspace_bytes(); }

 private:
  Batch(std::shared_ptr<const Weights> weights, const BatchOptions& options);

  Status Check(std::span<Turn> turns);
  void Begin(Turn& turn);
  void Choose(std::span<Turn> turns);

  const std::shared_ptr<const Weights> weights_;
  const BatchOptions options_;

  std::mutex mutex_;                  // guards what follows; taken before those of sessions
  std::unique_ptr<Profile> profile_;  // null: none; outlives the decoder, which tells it
  BatchDecoder decoder_;
  // Of the step that runs, and empty between steps; with room for all, so that a step allocates
  // nothing.
  std::vector<size_t> order_;                           // turns by their session's address
  std::vector<std::unique_lock<std::mutex>> sessions_;  // in that order
  std::vector<BatchDecoder::Row> rows_;                 // those that have a token to append
  std::vector<Turn*> row_turns_;                        // whose they are
};

}  // namespace mla
#endif  // MLA_RUNTIME_BATCH_H_
