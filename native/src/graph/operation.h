// The operations of a decoder's step: what its time, its reading and its multiplying are told by.
#ifndef MLA_GRAPH_OPERATION_H_
#define MLA_GRAPH_OPERATION_H_

#include <cstddef>

namespace mla {

// In the order of a step.
enum class Operation {
  kEmbedding,
  kNorm,  // RMS norms, and bringing activations into the form that the weights ask for
  kQkvProjections,
  kRopeAppend,         // head norms and rotation of single tokens, and the cache's rows written
  kHeadProjections,    // k_up and v_up absorbed, and what else is one matrix a head
  kAttention,          // over the cache; in a prompt's expanded form with its up-projections
  kOutputProjection,   // of attention
  kGateUpProjections,  // of the MLP
  kSwiGlu,
  kDownProjection,
  kOutputHead,  // logits
  kSampling     // of tokens; also log-probabilities of given ones
};
inline constexpr size_t kOperations = 12;

inline const char* OperationName(Operation operation) {
  switch (operation) {
    case Operation::kEmbedding:
      return "embedding";
    case Operation::kNorm:
      return "norm, quantize";
    case Operation::kQkvProjections:
      return "q, kv projections";
    case Operation::kRopeAppend:
      return "rope, append";
    case Operation::kHeadProjections:
      return "absorbed projections";
    case Operation::kAttention:
      return "attention";
    case Operation::kOutputProjection:
      return "output projection";
    case Operation::kGateUpProjections:
      return "MLP gate, up";
    case Operation::kSwiGlu:
      return "SwiGLU";
    case Operation::kDownProjection:
      return "MLP down";
    case Operation::kOutputHead:
      return "LM head";
    case Operation::kSampling:
      return "sampling";
  }
  return "";
}

}  // namespace mla
#endif  // MLA_GRAPH_OPERATION_H_
