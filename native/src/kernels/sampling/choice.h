// A token to be chosen, and the choice: what the sampler asks for where logits are not its own to
// read.
#ifndef MLA_KERNELS_SAMPLING_CHOICE_H_
#define MLA_KERNELS_SAMPLING_CHOICE_H_

#include <cstdint>
#include <limits>

namespace mla {

// The steps and their order are runtime/sampler.h's: top-k, top-p, min-p, temperature, draw.
struct ChoiceRequest {
  double unit = 0;        // in [0, 1): where in the cumulated probabilities, by ascending token
  float temperature = 0;  // 0: greedy, all else is of no account
  float top_p = 1;        // above 0; 1: off
  float log_min_p = -std::numeric_limits<float>::infinity();  // ln min_p; -infinity: off
  int32_t top_k = 0;                                          // below the vocabulary's size; 0: off

  bool operator==(const ChoiceRequest&) const = default;
};

struct Choice {
  int32_t token;          // -1: a logit is NaN or +infinity, or all are -infinity
  float log_probability;  // in the model's own distribution
};

}  // namespace mla
#endif  // MLA_KERNELS_SAMPLING_CHOICE_H_
