// The decoder of one sequence: tokens in, logits out, keys and latents into its cache.
#ifndef MLA_GRAPH_DECODER_H_
#define MLA_GRAPH_DECODER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "cache/latent_cache.h"
#include "graph/profile.h"
#include "graph/step.h"
#include "graph/weights.h"
#include "graph/workspace.h"
#include "kernels/attention/attention.h"
#include "tensor/status.h"

namespace mla {

struct DecoderOptions {
  int32_t context_length = 0;
  int32_t threads = 1;
  int32_t prefill = 0;  // MLA_PREFILL_*
  Activations activations = Activations::kMixed;
  CacheOptions cache;
};

// Not thread-safe, but for the cancel flag given to Append.
class Decoder {
 public:
  static Result<std::unique_ptr<Decoder>> Create(std::shared_ptr<const Weights> weights,
                                                 const DecoderOptions& options);

  enum class Output {
    kLast,   // logits[vocabulary] of the last token
    kAll,    // logits[n * vocabulary]
    kScores  // logits[vocabulary] of the last token, scores[n - 1]: ln p(tokens[i + 1] | ...
             // tokens[i])
  };

  // Appends n >= 1 tokens (ids below the vocabulary's size, checked by the caller) in chunks of
  // bounded size. The cancel flag is read at every layer. On an error the sequence is as it was
  // before.
  Status Append(const int32_t* tokens, int32_t n, Output output, float* logits, float* scores,
                const std::atomic<bool>& cancel);

  // The next token's part in a step of several sequences (batch_decoder.h), on to its `begin` and
  // `partials`: a row that is planned and has room in the cache. On an error (MLA_CONTEXT_FULL,
  // MLA_OUT_OF_MEMORY) the sequence is as it was.
  Result<SequenceRows> BeginToken(const std::atomic<bool>& cancel);
  // After the step: the token is the sequence's last, or was never there.
  void EndToken(bool kept) { cache_->SetLength(length() + kept); }

  // A decoder of the same sequence that goes on by itself; their caches share pages until one of
  // both writes to them.
  std::unique_ptr<Decoder> Fork() const;

  const DecoderOptions& options() const { return options_; }
  const LatentCache& cache() const { return *cache_; }
  LatentCache& cache() { return *cache_; }
  int32_t length() const { return cache_->length(); }
  int32_t context_length() const { return options_.context_length; }
  // Forgets what comes after. length at most length(). False: more was forgotten than the cache's
  // window holds, and nothing is left; what is to be kept has to be appended anew.
  bool Rewind(int32_t length);
  int64_t cache_bytes() const { return cache_->bytes(); }
  int64_t workspace_bytes() const;
  // Appends are told to it until it is set to null; it outlives them. A fork has none.
  void set_profile(Profile* profile) { profile_ = profile; }
  // For this decoder's cache and form of prompts.
  StepWork step_work() const { return StepWork(*weights_, options_.cache, options_.prefill); }
  // What appending n tokens at once after `first` others asks for.
  Work CountWork(int32_t first, int32_t n) const;

 private:
  struct Request;

  Decoder(std::shared_ptr<const Weights> weights, const DecoderOptions& options,
          std::unique_ptr<LatentCache> cache);
  // What Append and BeginToken have in common: room for n tokens, and the next part of them.
  Status Reserve(int32_t n);
  Result<SequenceRows> Begin(int32_t first, int32_t rows, const std::atomic<bool>& cancel);
  void Plan(int32_t first, int32_t rows);
  Status RunChunk(const Request& request, int32_t done, int32_t rows);

  std::shared_ptr<const Weights> weights_;
  DecoderOptions options_;
  std::unique_ptr<LatentCache> cache_;
  Workspace workspace_;
  std::vector<AttentionPlan> plans_;
  Profile* profile_ = nullptr;
  AlignedBuffer score_logits_;  // [kScoreRows][vocabulary], once scores were asked for
};

}  // namespace mla
#endif  // MLA_GRAPH_DECODER_H_
