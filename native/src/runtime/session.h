// One sequence: its decoder with the cache, its current logits, its sampler.
#ifndef MLA_RUNTIME_SESSION_H_
#define MLA_RUNTIME_SESSION_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "graph/decoder.h"
#include "graph/profile.h"
#include "graph/step_work.h"
#include "graph/weights.h"
#include "runtime/sampler.h"
#include "tensor/status.h"

namespace mla {

// Any thread may call anything: calls run one after the other, but for Cancel and Close, which
// never wait. Whoever holds the shared pointer keeps the memory, so that a session may be closed
// while it runs.
//
// Every call but Cancel and Close gives MLA_CLOSED after Close. The decoding calls (Append*, Next)
// give MLA_CANCELLED when cancelled; MLA_CONTEXT_FULL, MLA_INVALID_ARGUMENT (no tokens, or an id
// outside the vocabulary) and MLA_OUT_OF_MEMORY leave the session as it was, too.
class Session {
 public:
  // Errors: MLA_INVALID_ARGUMENT for a context outside [1, the model's] or threads outside [1,
  // kMaxThreads], and the decoder's own.
  static Result<std::shared_ptr<Session>> Create(std::shared_ptr<const Weights> weights,
                                                 const DecoderOptions& options);
  static constexpr int32_t kMaxThreads = 1024;

  // A session of the same tokens, logits and sampler state that goes on by itself. The caches share
  // pages until one of both writes to them.
  Result<std::shared_ptr<Session>> Fork();
  // The sequence, the current logits and the cache to a file (session_file.h); not the sampler.
  Status Save(const std::string& path);
  // The cache's options come from the file. The sampler is a new session's.
  static Result<std::shared_ptr<Session>> Restore(std::shared_ptr<const Weights> weights,
                                                  const DecoderOptions& options,
                                                  const std::string& path);

  // Appends n tokens; the logits of the last become the current ones.
  Status Append(const int32_t* tokens, int32_t n);
  // Also every token's logits into logits[n * vocabulary]; `capacity` in floats. Undefined content
  // after an error.
  Status AppendAll(const int32_t* tokens, int32_t n, float* logits, int64_t capacity);
  // Also ln p(tokens[i + 1] | all before) into log_probabilities[n - 1].
  Status AppendScored(const int32_t* tokens, int32_t n, float* log_probabilities, int64_t capacity);

  // The current logits into out[vocabulary]. Error where there are none: before the first append
  // and after a rewind.
  Status Logits(float* out, int64_t capacity);
  Result<int32_t> Length();
  // The sequence's first tokens into out[capacity]; how many there are in all.
  Result<int32_t> Tokens(int32_t* out, int64_t capacity);
  // Forgets the tokens from `length` on, and the current logits. Where that was more than the
  // cache's window holds, the next decoding call evaluates the remaining tokens first.
  Status Rewind(int32_t length);

  struct Memory {
    int64_t cache_bytes;
    int64_t workspace_bytes;
  };
  Result<Memory> MemoryUse();

  // From now on decoding and sampling are profiled, from nothing; or no longer. A fork is not.
  Status SetProfiling(bool on);
  // What was profiled so far. Error where nothing is.
  Result<Profile> ProfileSoFar();
  // What appending n >= 1 tokens after `first` others asks for; in the context together.
  Result<Work> CountWork(int32_t first, int32_t n);

  // Restarts the random stream. A new session is greedy.
  Status SetSampler(SamplerOptions options);
  // Draws from the current logits; log_probability may be null.
  Result<int32_t> Sample(float* log_probability);
  // Appends the token that the last Next gave, if any since the last append or rewind, then draws
  // the next one. A failed call may be repeated: nothing is appended twice.
  Result<int32_t> Next(float* log_probability);

  // Stops the decoding call that runs at its next layer; where none runs, the next one.
  void Cancel();
  // Stops the call that runs and refuses all others.
  void Close();

 private:
  friend class Batch;  // makes the Next of many sessions one step, with their mutexes held

  Session(std::shared_ptr<const Weights> weights, std::unique_ptr<Decoder> decoder,
          Sampler sampler);

  Status CheckOpen() const;
  // Whether it may be profiled.
  Status CheckOnCpu() const;
  Status CheckTokens(const int32_t* tokens, int32_t n) const;

  // All below with mutex_ held.
  //
  // Appends n tokens, which were checked; logits_ are then current.
  Status Decode(const int32_t* tokens, int32_t n, Decoder::Output output, float* logits,
                float* scores);
  // Decode before the decoder appends, so that nothing can fail afterwards, and after it did, with
  // logits_ or else ones that the decoder has.
  Status BeginDecode(int32_t n);
  void EndDecode(const int32_t* tokens, int32_t n, bool decoder_has_logits = false);
  // Logits_ are the current ones.
  Status FetchLogits();
  // Gives the decoder the tokens that a rewind took from it.
  Status CatchUp();
  // What becomes of a failed call of the decoder.
  Status Obey(Status failed);
  Result<int32_t> Choose(float* log_probability);
  // Next before pending_ is appended, if there is one, and after it was.
  Status BeginNext();
  Result<int32_t> EndNext(float* log_probability);
  // The same where the decoder may choose.
  std::optional<ChoiceRequest> RequestForDecoder() const;
  Result<int32_t> NextByDecoder(const ChoiceRequest& request, float* log_probability);
  Result<int32_t> EndNext(const Choice& choice, float* log_probability);

  const std::shared_ptr<const Weights> weights_;
  const int32_t vocabulary_;

  std::mutex mutex_;                  // guards everything down to pending_
  std::unique_ptr<Profile> profile_;  // null: none; outlives the decoder, which tells it
  std::unique_ptr<Decoder> decoder_;
  Sampler sampler_;
  // The sequence. The decoder has all of it, or after a deep rewind nothing.
  std::vector<int32_t> tokens_;
  std::vector<float> logits_;  // [vocabulary], valid while has_logits_ and not decoder_has_logits_
  bool has_logits_ = false;
  bool decoder_has_logits_ = false;  // Decoder::ChosenLogits
  std::optional<int32_t> pending_;   // what Next gave and has not appended

  std::atomic<bool> stop_{false};  // polled by the decoder; stays until a decoding call has obeyed
  std::atomic<bool> closed_{false};  // set before stop_, never cleared
};

}  // namespace mla
#endif  // MLA_RUNTIME_SESSION_H_
