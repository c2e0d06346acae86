// One token of each of several sequences of a model: their rows go through the layers together, so
// that every weight is read once for all of them. Attention stays each sequence's own, over its own
// cache and by its own plan, and so every sequence gets the numbers, to the last bit, that it would
// get alone (on a GPU: in steps of up to 8, beyond which other kernels multiply).
#ifndef MLA_GRAPH_BATCH_DECODER_H_
#define MLA_GRAPH_BATCH_DECODER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "graph/decoder.h"
#include "graph/gpu_model.h"
#include "graph/profile.h"
#include "graph/step.h"
#include "graph/weights.h"
#include "graph/workspace.h"
#include "tensor/aligned_buffer.h"
#include "tensor/status.h"

namespace mla {

// Not thread-safe, but for the cancel flags. Allocates when it is made, and no more: all memory
// that it ever needs is a constant part and one proportional to max_rows.
class BatchDecoder {
 public:
  // Throws std::bad_alloc.
  BatchDecoder(std::shared_ptr<const Weights> weights, int32_t max_rows, int32_t threads);

  struct Row {
    // Of the same weights, each at most once; those of the CPU with the same activations.
    Decoder* decoder;
    int32_t token;  // an id below the vocabulary's size
    const std::atomic<bool>* cancel;
    // How the next token is to be chosen, if the decoder may do that (Decoder::chooses).
    std::optional<ChoiceRequest> request = std::nullopt;
    // What became of it: the token is appended, or by this error the sequence is as it was. An
    // error of one is nothing to the others.
    Status status = Status::Ok();
    // After the token, one of them, or on an error none: logits [vocabulary], until the next step;
    // the next token, whose logits the decoder has (Decoder::ChosenLogits).
    const float* logits = nullptr;
    std::optional<Choice> choice = std::nullopt;
  };
  // One step, of at most max_rows: on the CPU, and on every GPU for each kind of cache, of those
  // that are there. Throws std::bad_alloc before anything was appended.
  void Append(std::span<Row> rows);

  int64_t workspace_bytes() const;
  // Steps on the CPU are told to it until it is set to null; it outlives them.
  void set_profile(Profile* profile) { profile_ = profile; }

 private:
  void StepOnCpu(std::span<Row* const> rows);
  // Of one model and one kind of cache.
  void StepOnGpu(std::span<Row* const> rows);
  // Where the next `count` rows' logits go, and of one of them after its step.
  float* TakeLogits(int32_t count);
  void End(Row& row, bool kept, const float* logits) const;
  void TellProfile(int32_t kept);

  const std::shared_ptr<const Weights> weights_;
  const int32_t threads_;
  Workspace workspace_;
  int64_t partial_bytes_ = 0;  // of one sequence
  AlignedBuffer logits_;       // [max_rows][vocabulary]
  int32_t outputs_ = 0;        // of them that this step has filled
  std::vector<Row*> pending_;  // that no step was made for
  // Those that take part in the step, [their number].
  std::vector<Row*> members_;
  std::vector<SequenceRows> sequences_;
  std::vector<GpuModel::Sequence> gpu_sequences_;
  std::vector<GpuModel::Wanted> wanted_;
  std::vector<Choice> choices_;
  std::vector<int32_t> tokens_;
  Profile* profile_ = nullptr;
};

}  // namespace mla
#endif  // MLA_GRAPH_BATCH_DECODER_H_
