// A sequence that a GPU's kernels decode.
#ifndef MLA_GRAPH_GPU_DECODER_H_
#define MLA_GRAPH_GPU_DECODER_H_

#include <cstdint>
#include <memory>
#include <mutex>

#include "graph/decoder.h"
#include "graph/gpu_model.h"

namespace mla {

class GpuDecoder final : public Decoder {
 public:
  // On options.gpu.
  static Result<std::unique_ptr<Decoder>> Create(std::shared_ptr<const Weights> weights,
                                                 const DecoderOptions& options);

  // The next token's part in a step of several sequences, with the lock held: a row that has room
  // in the cache. On an error (MLA_CONTEXT_FULL, MLA_OUT_OF_MEMORY) the sequence is as it was.
  Result<GpuModel::Sequence> BeginToken();
  // After the step: the token is the sequence's last, or was never there.
  void EndToken(bool kept) { cache_->SetLength(length() + kept); }

  std::unique_ptr<Decoder> Fork() const override;
  std::unique_lock<std::mutex> Lock() const override { return model_->Lock(); }
  int64_t workspace_bytes() const override { return model_->workspace_bytes(); }

 private:
  GpuDecoder(std::shared_ptr<const Weights> weights, const DecoderOptions& options,
             std::unique_ptr<LatentCache> cache);
  Status RunChunk(const Request& request, int32_t done, int32_t rows) override;
  // ln p of the chunk's next tokens, where scores are asked for.
  Status Score(const Request& request, int32_t done, int32_t rows);

  const std::shared_ptr<GpuModel> model_;
};

}  // namespace mla
#endif  // MLA_GRAPH_GPU_DECODER_H_
