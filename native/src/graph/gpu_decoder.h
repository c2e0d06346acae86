// A sequence that a GPU's kernels decode.
#ifndef MLA_GRAPH_GPU_DECODER_H_
#define MLA_GRAPH_GPU_DECODER_H_

#include <cstdint>
#include <memory>
#include <mutex>

#include "graph/decoder.h"
#include "graph/gpu_choices.h"
#include "graph/gpu_model.h"

namespace mla {

class GpuDecoder final : public Decoder {
 public:
  // On options.gpu.
  static Result<std::unique_ptr<Decoder>> Create(std::shared_ptr<const Weights> weights,
                                                 const DecoderOptions& options);
  ~GpuDecoder() override;

  // The next token's part in a step of several sequences, with the lock held: a row that has room
  // in the cache. On an error (MLA_CONTEXT_FULL, MLA_OUT_OF_MEMORY) the sequence is as it was.
  Result<GpuModel::Sequence> BeginToken();
  // Where the GPU keeps the step's logits for ChosenLogits: to be given with the step. Null: it has
  // no memory for them.
  float* PlaceOfLogits();
  // After the step: the token is the sequence's last, or was never there. Whether its logits went
  // to PlaceOfLogits.
  void EndToken(bool kept, bool placed);

  std::unique_ptr<Decoder> Fork() const override;
  std::unique_lock<std::mutex> Lock() const override { return model_->Lock(); }
  int64_t workspace_bytes() const override;

  bool chooses() const override { return true; }
  Result<Choice> AppendAndChoose(int32_t token, const ChoiceRequest& request,
                                 const std::optional<ChoiceRequest>& next,
                                 const std::atomic<bool>& cancel) override;
  Status ChosenLogits(float* out) override;
  void Settle() override;

 private:
  GpuDecoder(std::shared_ptr<const Weights> weights, const DecoderOptions& options,
             std::unique_ptr<LatentCache> cache);
  Status RunChunk(const Request& request, int32_t done, int32_t rows) override;
  // ln p of the chunk's next tokens, where scores are asked for.
  Status Score(const Request& request, int32_t done, int32_t rows);

  // With the lock held.
  void SettleLocked();
  Status EnsureChoices();
  // The step of the token at length() + after, which is *token or else the last one chosen, to
  // choices_->next().
  Status Begin(int32_t after, const int32_t* token, const ChoiceRequest& request);

  const std::shared_ptr<GpuModel> model_;
  std::unique_ptr<GpuChoices> choices_;  // null before the first
  // What the step was asked for that is under way to choices_->next(): with the token that was
  // chosen last, at length().
  std::optional<ChoiceRequest> ahead_;
  bool reserved_ahead_ = false;  // the cache may have room beyond length()
  bool streams_ = false;         // the last call chose a token, so that the next one may well, too
};

}  // namespace mla
#endif  // MLA_GRAPH_GPU_DECODER_H_
