// The decoder of one sequence: tokens in, logits out, keys and latents into its cache. What all
// devices have in common; cpu_decoder.h and gpu_decoder.h compute.
#ifndef MLA_GRAPH_DECODER_H_
#define MLA_GRAPH_DECODER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "cache/latent_cache.h"
#include "graph/profile.h"
#include "graph/step_work.h"
#include "graph/weights.h"
#include "kernels/matmul/matmul.h"
#include "kernels/sampling/choice.h"
#include "tensor/status.h"

namespace mla {

class GpuModel;

struct DecoderOptions {
  int32_t device = 0;             // MLA_DEVICE_*, as it was asked for
  std::shared_ptr<GpuModel> gpu;  // what that is (runtime/devices.h); null: the CPU
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
  virtual ~Decoder() = default;

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

  // Whether it chooses tokens, where logits are not the host's.
  virtual bool chooses() const { return false; }
  // Appends a token and chooses the next one. `next` is what the call after this one will ask for,
  // if that is known: the GPU begins with it while the host has this one's token. An error leaves
  // the sequence as it was. Only where chooses().
  virtual Result<Choice> AppendAndChoose(int32_t token, const ChoiceRequest& request,
                                         const std::optional<ChoiceRequest>& next,
                                         const std::atomic<bool>& cancel);
  // The logits [vocabulary] that the last token was chosen of; until tokens are appended otherwise.
  virtual Status ChosenLogits(float* out);
  // Gives up what was begun for a call to come. Before the cache is read, forked or dropped.
  virtual void Settle() {}

  // A decoder of the same sequence that goes on by itself; their caches share pages until one of
  // both writes to them.
  virtual std::unique_ptr<Decoder> Fork() const = 0;

  // Held by whoever reads or fills pages of the cache: on a GPU, where they are all sessions'.
  virtual std::unique_lock<std::mutex> Lock() const { return {}; }

  const DecoderOptions& options() const { return options_; }
  const LatentCache& cache() const { return *cache_; }
  LatentCache& cache() { return *cache_; }
  int32_t length() const { return cache_->length(); }
  int32_t context_length() const { return options_.context_length; }
  // Forgets what comes after. length at most length(). False: more was forgotten than the cache's
  // window holds, and nothing is left; what is to be kept has to be appended anew.
  bool Rewind(int32_t length);
  int64_t cache_bytes() const { return cache_->bytes(); }
  virtual int64_t workspace_bytes() const = 0;
  // Appends are told to it until it is set to null; it outlives them. A fork has none.
  void set_profile(Profile* profile) { profile_ = profile; }
  // For this decoder's cache and form of prompts.
  const StepWork& step_work() const { return step_work_; }
  // What appending n tokens at once after `first` others asks for.
  Work CountWork(int32_t first, int32_t n) const;

 protected:
  struct Request {
    const int32_t* tokens;
    int32_t n;
    Output output;
    float* logits;
    float* scores;
    const std::atomic<bool>& cancel;

    // How many of the chunk's rows get logits, for the output or for a score.
    int32_t Outputs(int32_t done, int32_t rows) const {
      return output != Output::kLast ? rows : done + rows == n ? 1 : 0;
    }
  };

  // chunk_rows: tokens that go through the layers together at most.
  Decoder(std::shared_ptr<const Weights> weights, const DecoderOptions& options,
          std::unique_ptr<LatentCache> cache, int32_t chunk_rows);

  // Room for n more tokens in context and cache.
  Status Reserve(int32_t n);
  // Tokens [done, done + rows) of the request, whose places are reserved: to be Advanced over in
  // the cache. After an error the caller forgets all of the request.
  virtual Status RunChunk(const Request& request, int32_t done, int32_t rows) = 0;

  const std::shared_ptr<const Weights> weights_;
  const DecoderOptions options_;
  const std::unique_ptr<LatentCache> cache_;
  const int32_t chunk_rows_;
  const StepWork step_work_;
  Profile* profile_ = nullptr;
};

}  // namespace mla
#endif  // MLA_GRAPH_DECODER_H_
