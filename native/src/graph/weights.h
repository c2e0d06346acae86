// A model's tensors, found, checked and ready to multiply. Plain and converted models load into the
// same structure: the instance of the attention form (DESIGN) is told by which tensors a layer has.
#ifndef MLA_GRAPH_WEIGHTS_H_
#define MLA_GRAPH_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "gguf/gguf_file.h"
#include "graph/model_shape.h"
#include "graph/packed_weights.h"
#include "kernels/rope/rope.h"
#include "tensor/aligned_buffer.h"
#include "tensor/status.h"
#include "tensor/types.h"

namespace mla {

// y = w x + bias.
struct Linear {
  Matrix w;
  const float* bias = nullptr;  // [w.rows] or null

  bool empty() const { return w.empty(); }
};

// An RMS norm of the heads' rows: one weight vector for all heads (stride 0) or one for each
// (stride d).
struct HeadNorm {
  const float* weight = nullptr;  // null: no such norm
  int64_t head_stride = 0;
};

// Rows [offset, offset + linear.w.rows) of the latent.
struct LatentPart {
  Linear linear;
  int32_t offset = 0;
};

struct AttentionWeights {
  LayerLayout layout;
  Linear q;                        // [heads * (R + n), D], a head's rows: R rotary, then n others
  Linear k_rope;                   // [G * R, D]
  std::vector<LatentPart> latent;  // covers [0, C), each [its rows, input_length]
  // Where whole heads are normed before they are split: q is [heads * d, D] and n = d; whole keys
  // k_in x are normed too; k_rope reads those, [G * R, kv_heads * d], and the latent x beside them.
  Linear k_in;               // [kv_heads * d, D], else empty
  Matrix q_rope;             // [heads * R, d], of a head's normed query; empty where R = 0
  int64_t input_length = 0;  // D, or D + kv_heads * d
  Matrix k_up;               // [kv_heads * rank, n], empty where keys are not factored
  Matrix v_up;               // [kv_heads * d_v, rank], empty where values are not factored
  Matrix k_up_rows;  // k_up transposed a KV head: [kv_heads * n, rank]; with a key scalar only
  HeadNorm q_norm, k_norm;
  Linear output;                          // [D, heads * d_v]
  std::vector<const float*> frequencies;  // [G], R/2 inverse frequencies each
  int32_t nope_dim = 0;                   // n, of a head's query and key besides the rotary part

  // What a head's value is after v_up (or in the latent, where there is none).
  int32_t value_length = 0;

  bool norms_whole_heads() const { return !k_in.empty(); }
  // A head's row of q: d where rotary dims are the head's own, more where heads share them.
  int32_t query_length() const { return nope_offset() + nope_dim; }
  // Where its n others begin.
  int32_t nope_offset() const { return norms_whole_heads() ? 0 : layout.rope_dim; }
};

struct LayerWeights {
  const float* attention_norm = nullptr;  // [D]
  AttentionWeights attention;
  const float* mlp_norm = nullptr;  // [D]
  Linear gate, up, down;
};

// Immutable, but for Pack: any thread. Keeps the file mapped.
class Weights {
 public:
  // Errors name the file and the key or tensor, and what was expected.
  static Result<std::shared_ptr<const Weights>> Load(std::shared_ptr<const GgufFile> file);

  // Before the first multiplication: brings quantized matrices into the form that this machine
  // reads fastest, once, and lets go of the file's pages meanwhile. Reads all of them, so it is not
  // a part of Load. Whoever comes second waits.
  void Pack(int threads) const;

  const GgufFile& file() const { return *file_; }
  const ModelShape& shape() const { return shape_; }
  const std::vector<LayerWeights>& layers() const { return layers_; }
  const Matrix& embedding() const { return embedding_; }  // [vocabulary, D]
  const float* output_norm() const { return output_norm_; }
  const Linear& output() const { return output_; }  // [vocabulary, D]; the embedding where tied
  RopeLayout rope_layout() const { return rope_layout_; }
  float rope_factor() const { return rope_factor_; }
  // Heads are normed after they are rotated, not before; their norms' weights make this matter.
  bool norm_after_rope() const { return norm_after_rope_; }
  // Dims of a rotary group that turn; the rest of its row is kept as it is (partial rotary of plain
  // models).
  int32_t rotated_dims(const LayerLayout& layout) const {
    return partial_rotary_ > 0 ? partial_rotary_ : layout.rope_dim;
  }

 private:
  friend class WeightsLoader;
  Weights() = default;

  std::shared_ptr<const GgufFile> file_;
  ModelShape shape_;
  mutable std::vector<LayerWeights> layers_;  // Pack adds panels
  Matrix embedding_;
  const float* output_norm_ = nullptr;
  mutable Linear output_;
  RopeLayout rope_layout_ = RopeLayout::kHalves;
  float rope_factor_ = 1.0f;
  bool norm_after_rope_ = false;
  int32_t partial_rotary_ = 0;
  std::vector<AlignedBuffer> owned_;  // what could not be used as it lies in the file
  mutable std::once_flag packs_once_;
  mutable PackedWeights packed_;
};

}  // namespace mla
#endif  // MLA_GRAPH_WEIGHTS_H_
