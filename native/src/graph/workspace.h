// The scratch memory of a step: sized once for the most rows, reused by every layer and step.
#ifndef MLA_GRAPH_WORKSPACE_H_
#define MLA_GRAPH_WORKSPACE_H_

#include <cstdint>

#include "graph/weights.h"
#include "tensor/aligned_buffer.h"

namespace mla {

class Arena;

// Rows are tokens of the step; all row-major floats.
class Workspace {
 public:
  // For teams of so many members at most. Throws std::bad_alloc.
  Workspace(const Weights& weights, int32_t max_rows, int32_t members);

  int32_t max_rows;
  int64_t widest;          // elements of a row of `prepared` at most
  float* hidden;           // [rows][D] the residual stream
  float* normed;           // [rows][D], of a layer that norms whole keys [rows][D + kv_heads * d]
  float* q;                // [rows][heads * d]
  float* q_rope;           // [rows][heads * R], of a layer that norms whole queries
  float* k_rope;           // [rows][G * R]
  float* latent;           // [rows][C]
  float* scalars;          // [rows][kv_heads]
  float* k_nope;           // [rows][kv_heads * d_nope], reconstructed for the key norm
  float* q_latent;         // [rows][heads * key rank]
  float* o_latent;         // [rows][heads * value rank]
  float* attended;         // [rows][heads * d_v]
  float* gate;             // [rows][feed_forward]
  float* up;               // [rows][feed_forward]
  float* cos_sin;          // [rows][tables of the layer][R]
  uint8_t* prepared;       // the input of the projection at hand (RowShare::AreaBytes)
  uint8_t* prepared_keys;  // whole keys, the second input of a layer that norms them
  // A member's own, for steps of one row that each prepares for itself (RowShare::one).
  struct Own {
    float* row;         // [widest] normed, or the MLP's gated row
    float* merged;      // [heads][value rank or d_v]
    uint8_t* prepared;  // PreparedInput::Bytes(1, widest)
  };
  Own own(int member) const {
    return {own_.row + member * own_floats_, own_.merged + member * own_floats_,
            own_.prepared + member * own_bytes_};
  }

  int64_t bytes() const { return buffer_.size() + attention_.size(); }
  // For attention's partial results of all sequences and the scratch of each member. Grows only;
  // not while a step runs. Throws std::bad_alloc.
  void ReserveAttention(int64_t partial_bytes, int64_t scratch_bytes, int32_t members);
  uint8_t* partials() const { return attention_.data(); }
  uint8_t* scratch(int member) const {
    return attention_.data() + partial_bytes_ + member * scratch_bytes_;
  }

 private:
  void Lay(const Weights& weights, int32_t members, Arena& arena);

  Own own_;                                 // member 0's
  int64_t own_floats_ = 0, own_bytes_ = 0;  // from one member's to the next one's
  AlignedBuffer buffer_;
  AlignedBuffer attention_;
  int64_t partial_bytes_ = 0;
  int64_t scratch_bytes_ = 0;
};

}  // namespace mla
#endif  // MLA_GRAPH_WORKSPACE_H_
