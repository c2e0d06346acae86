// Chooses the next token from the logits.
//
// The order of operations, as llama.cpp's users expect it:
//   logit bias -> repetition penalty -> top-k -> top-p -> min-p -> temperature -> draw
// so top-p and min-p look at the probabilities before temperature flattens or sharpens them. Greedy
// (temperature 0) takes the largest logit after bias and penalty; of equal ones, the lowest token
// id, everywhere.
#ifndef MLA_RUNTIME_SAMPLER_H_
#define MLA_RUNTIME_SAMPLER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/sampling/choice.h"
#include "runtime/random.h"
#include "runtime/sampler_filters.h"
#include "tensor/status.h"

namespace mla {

struct LogitBias {
  int32_t token;
  float value;  // added to the logit; -infinity bans the token
};

struct SamplerOptions {
  float temperature = 0;  // 0: greedy
  int32_t top_k = 0;      // the k largest logits stay; 0: off
  float top_p = 1;        // the fewest tokens whose probabilities sum to at least this stay; 1: off
  float min_p = 0;        // tokens at least this times as probable as the best stay; 0: off
  float repetition_penalty =
      1;  // divides positive and multiplies negative logits of recent tokens; 1: off
  int32_t repetition_window = 64;  // newest tokens that are penalized once each; -1: all
  uint64_t seed = 0;
  std::vector<LogitBias> bias;  // a token named twice gets the sum
};

// One sampler belongs to one sequence: not thread-safe. Allocates when it is made and on its first
// draws, then no more.
class Sampler {
 public:
  // Errors (MLA_INVALID_ARGUMENT): an option outside its range or not a number, a biased token
  // outside the vocabulary.
  static Result<Sampler> Create(SamplerOptions options, int32_t vocabulary);

  // logits[vocabulary] as the model gave them; recent[count]: the sequence so far, newest last, ids
  // in the vocabulary. *log_probability, unless null, is the token's in the model's own
  // distribution: temperature 1, nothing banned or penalized. Errors: MLA_INTERNAL for a logit that
  // is NaN or +infinity (-infinity rules a token out), MLA_INVALID_ARGUMENT where the bias leaves
  // no token. A failed call leaves the random stream where it was.
  Result<int32_t> Choose(const float* logits, const int32_t* recent, int64_t count,
                         float* log_probability);

  // For whoever has the logits elsewhere (kernels/sampling/gpu.h) and chooses as Choose would,
  // after so many others: nothing where bias or penalty want them here.
  std::optional<ChoiceRequest> DrawAfter(int32_t others) const;
  // That one was chosen so.
  void Skip();

 private:
  Sampler(SamplerOptions options, int32_t vocabulary);
  bool Adjusts() const;
  void Adjust(const float* logits, const int32_t* recent, int64_t count);
  void Penalize(const int32_t* recent, int64_t count);
  int32_t Draw(const float* logits, float best);

  SamplerOptions options_;
  int32_t vocabulary_;
  Random random_;
  std::vector<float> adjusted_;     // [vocabulary]: logits with bias and penalty
  std::vector<uint8_t> penalized_;  // [vocabulary], all zero between calls
  SamplerFilters filters_;
};

}  // namespace mla
#endif  // MLA_RUNTIME_SAMPLER_H_
