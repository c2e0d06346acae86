// A sequence that the CPU's kernels decode.
#ifndef MLA_GRAPH_CPU_DECODER_H_
#define MLA_GRAPH_CPU_DECODER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "graph/decoder.h"
#include "graph/step.h"
#include "graph/workspace.h"
#include "kernels/attention/attention.h"
#include "tensor/aligned_buffer.h"

namespace mla {

class CpuDecoder final : public Decoder {
 public:
  static Result<std::unique_ptr<Decoder>> Create(std::shared_ptr<const Weights> weights,
                                                 const DecoderOptions& options);

  // The next token's part in a step of several sequences (batch_decoder.h), on to its `begin` and
  // `partials`: a row that is planned and has room in the cache. On an error (MLA_CONTEXT_FULL,
  // MLA_OUT_OF_MEMORY) the sequence is as it was.
  Result<SequenceRows> BeginToken(const std::atomic<bool>& cancel);
  // After the step: the token is the sequence's last, or was never there.
  void EndToken(bool kept) { cache_->SetLength(length() + kept); }

  std::unique_ptr<Decoder> Fork() const override;
  int64_t workspace_bytes() const override;

 private:
  CpuDecoder(std::shared_ptr<const Weights> weights, const DecoderOptions& options,
             std::unique_ptr<LatentCache> cache);
  Status RunChunk(const Request& request, int32_t done, int32_t rows) override;
  // What RunChunk and BeginToken have in common: room in the window and plans for the next part.
  Result<SequenceRows> Begin(int32_t first, int32_t rows, const std::atomic<bool>& cancel);
  void Plan(int32_t first, int32_t rows);

  Workspace workspace_;
  std::vector<AttentionPlan> plans_;
  AlignedBuffer score_logits_;  // [kScoreRows][vocabulary], once scores were asked for
};

}  // namespace mla
#endif  // MLA_GRAPH_CPU_DECODER_H_
