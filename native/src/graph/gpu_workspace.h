// The scratch memory of a step on a GPU: sized once for the most rows, reused by every layer and
// step.
#ifndef MLA_GRAPH_GPU_WORKSPACE_H_
#define MLA_GRAPH_GPU_WORKSPACE_H_

#include <cstdint>
#include <memory>

#include "cuda/gpu_stream.h"
#include "graph/weights.h"
#include "kernels/sampling/gpu.h"
#include "tensor/status.h"

namespace mla {

// A step's inputs: what changes from one step to the next, in one upload.
struct GpuStepInputs {
  int32_t* tokens;                // [rows]
  int32_t* positions;             // [rows]
  uint8_t* const** tables;        // [rows] page tables of the rows' caches
  int32_t* query_positions;       // [rows] of attention's sequences (GpuStepShape)
  uint8_t* const** query_tables;  // [rows]
  GpuSamplingRow* sampling;       // [rows] of a step that chooses tokens

  static int64_t Bytes(int32_t rows) {
    return int64_t{rows} * (2 * 8 + 3 * 4 + static_cast<int64_t>(sizeof(GpuSamplingRow)));
  }
  // In memory of Bytes(rows), 8-byte aligned, the host's or the GPU's.
  static GpuStepInputs In(uint8_t* memory, int32_t rows);
};

// Rows are tokens of the step; row-major floats.
class GpuWorkspace {
 public:
  static Result<std::unique_ptr<GpuWorkspace>> Create(const Weights& weights,
                                                      std::shared_ptr<GpuStream> stream,
                                                      int32_t max_rows);
  ~GpuWorkspace();
  GpuWorkspace(const GpuWorkspace&) = delete;
  GpuWorkspace& operator=(const GpuWorkspace&) = delete;

  int32_t max_rows;
  GpuStepInputs inputs;
  uint8_t* inputs_memory;
  float* hidden;      // [rows][D] the residual stream
  float* normed;      // [rows][D + kv_heads * d], of layers that norm whole keys
  float* q;           // [rows][heads * query length]
  float* q_rope;      // [rows][heads * R], of layers that norm whole queries
  float* k_rope;      // [rows][G * R]
  float* latent;      // [rows][C]
  float* k_nope;      // [rows][kv_heads * d_nope], for the key norm
  float* q_latent;    // [rows][heads * key rank]
  float* o_latent;    // [rows][heads * value rank]
  float* attended;    // [rows][heads * d_v]
  float* gate;        // [rows][feed_forward]
  float* up;          // [rows][feed_forward]
  uint8_t* products;  // of GpuMatMul and GpuHeadMatMul
  Choice* choices;    // [rows]
  int32_t* scored;    // [rows] tokens
  float* scores;      // [rows]

  // Grow only, and give the new place; not while a step runs. MLA_OUT_OF_MEMORY leaves what was
  // there. Errors name `what`.
  class Growing {
   public:
    uint8_t* data() const { return data_; }
    int64_t bytes() const { return bytes_; }

   private:
    friend class GpuWorkspace;
    uint8_t* data_ = nullptr;
    int64_t bytes_ = 0;
  };
  Status Grow(Growing& memory, int64_t bytes, const char* what);
  Growing attention;  // partial results, or a piece of an expanded context
  Growing logits;     // [outputs][vocabulary]

  int64_t bytes() const { return bytes_ + attention.bytes() + logits.bytes(); }

 private:
  GpuWorkspace(std::shared_ptr<GpuStream> stream, int32_t rows);

  const std::shared_ptr<GpuStream> stream_;
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace mla
#endif  // MLA_GRAPH_GPU_WORKSPACE_H_
