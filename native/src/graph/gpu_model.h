// A model on one GPU: weights, workspace and the memory of caches, shared by all sessions there,
// and the steps that they run.
#ifndef MLA_GRAPH_GPU_MODEL_H_
#define MLA_GRAPH_GPU_MODEL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "cache/gpu_page_memory.h"
#include "cache/latent_cache.h"
#include "cuda/gpu_stream.h"
#include "graph/gpu_cache_plan.h"
#include "graph/gpu_forward.h"
#include "graph/gpu_kernels.h"
#include "graph/gpu_weights.h"
#include "graph/gpu_workspace.h"
#include "graph/weights.h"
#include "kernels/sampling/choice.h"
#include "kernels/sampling/gpu.h"
#include "mla/mla.h"
#include "tensor/status.h"

namespace mla {

// Everything but Lock and what is const is called with the lock held.
class GpuModel {
 public:
  // Tokens of a prompt that go through the layers together, and sequences of a step.
  static constexpr int32_t kMostRows = 512;
  // Rows whose logits there is room for where many are asked for.
  static constexpr int32_t kLogitRows = 128;

  ~GpuModel();
  GpuModel(const GpuModel&) = delete;
  GpuModel& operator=(const GpuModel&) = delete;
  // Uploads the weights, packed by so many threads.
  static Result<std::shared_ptr<GpuModel>> Create(std::shared_ptr<const Weights> weights,
                                                  std::shared_ptr<GpuStream> stream,
                                                  const GpuKernels& kernels, int32_t threads);

  // Whoever uses the stream holds it: steps, and what allocates, copies, reads or writes pages.
  std::unique_lock<std::mutex> Lock() { return std::unique_lock<std::mutex>(mutex_); }

  const std::shared_ptr<GpuPageMemory>& pages() const { return pages_; }
  // What `call` returns, a Status or a Result; where the GPU had no memory for it, called once more
  // without the pages that no session uses any more.
  template <typename Call>
  auto WithRoom(const Call& call) {
    auto made = call();
    if (CodeOf(made) != MLA_OUT_OF_MEMORY) return made;
    pages_->ReleaseUnused();
    return call();
  }
  int64_t weight_bytes() const { return weights_->bytes(); }
  int64_t workspace_bytes() const { return workspace_->bytes(); }

  // Rows that continue one sequence at `first`. Their places are reserved, also in the window.
  struct Sequence {
    LatentCache* cache;
    int32_t first;
    int32_t rows;
    int32_t prefill = 0;  // MLA_PREFILL_*, of more rows than one
  };
  // Sequences with one row each, or one sequence with up to kMostRows, whose caches have these
  // options; tokens [rows]. Logits of the last `outputs` rows, [outputs][vocabulary], if any, to
  // the host's memory. Waits until all is done. On an error nothing was appended that counts.
  Status Step(std::span<const Sequence> sequences, const CacheOptions& options,
              const int32_t* tokens, int32_t outputs, float* logits);
  // Logits of rows [begin, begin + count) of the last step, which had no outputs.
  Status Head(int32_t begin, int32_t count, float* logits);
  // scores[i] = ln p(tokens[i]) after row i of the last step, which had no outputs; count: at most
  // its rows.
  Status Scores(int32_t count, const int32_t* tokens, float* scores);

  // What is to be made of a row's logits.
  struct Wanted {
    ChoiceRequest request;
    float* copy = nullptr;    // [vocabulary], the GPU's: gets the logits; null: nobody wants them
    float* logits = nullptr;  // the same of the host's memory
  };
  // Step of sequences with one row each, of which each gets its next token chosen.
  Status StepAndChoose(std::span<const Sequence> sequences, const CacheOptions& options,
                       const int32_t* tokens, std::span<const Wanted> wanted, Choice* choices);
  // The same of one sequence, whose token is *token or, where that is null, what another step chose
  // into *before, the GPU's. Goes into *choice, the GPU's. Does not wait: the GPU may be doing it
  // still when the next step is asked for.
  Status BeginStepAndChoose(const Sequence& sequence, const CacheOptions& options,
                            const int32_t* token, const Choice* before, const GpuSamplingRow& row);

  GpuStream& stream() { return *stream_; }
  int32_t vocabulary() const { return host_weights_->shape().vocabulary; }

 private:
  static int32_t CodeOf(const Status& status) { return status.code(); }
  template <typename T>
  static int32_t CodeOf(const Result<T>& result) {
    return result.status().code();
  }
  // The host's memory that a step's inputs are uploaded from.
  struct Inputs {
    uint8_t* memory = nullptr;
    GpuStepInputs at = {};
    std::unique_ptr<GpuMark> uploaded;
  };
  struct Recorded {
    const GpuCachePlan* plan;
    int32_t rows, bucket;
    bool chooses;
    std::unique_ptr<GpuRecording> recording;
  };

  GpuModel(std::shared_ptr<const Weights> weights, std::shared_ptr<GpuStream> stream,
           const GpuKernels& kernels);

  Status CreateInputs();
  // What the next step is written to, when the step that had it is done with it.
  void TakeInputs();
  // A step's shape and inputs, before they are uploaded, and room for it.
  Status Prepare(std::span<const Sequence> sequences, const CacheOptions& options,
                 const int32_t* tokens, int32_t outputs);
  void UploadInputs();
  GpuStep step() const { return {*stream_, kernels_, *weights_, *plan_, *workspace_, shape_}; }
  Result<GpuCachePlan*> PlanOf(const CacheOptions& options, const LatentCache& cache);
  // The rows of the step and how attention takes them, into the host's inputs and `shape`.
  Status Fill(std::span<const Sequence> sequences, const int32_t* tokens, GpuCachePlan& plan,
              GpuStepShape* shape);
  // In which layers attention takes a sequence's rows in the expanded form.
  Status FillPrompt(const Sequence& sequence, GpuCachePlan& plan, GpuPromptRows* prompt) const;
  Status Reserve(const GpuStepShape& shape, int32_t outputs);
  // Launches the step of single tokens with all their logits, or repeats its recording, which is
  // made the second time.
  Status LaunchTokens(bool chooses);
  Status Download(int32_t count, float* logits);

  const std::shared_ptr<const Weights> host_weights_;
  const std::shared_ptr<GpuStream> stream_;
  const GpuKernels& kernels_;
  const std::shared_ptr<GpuPageMemory> pages_;
  std::unique_ptr<GpuWeights> weights_;
  std::unique_ptr<GpuWorkspace> workspace_;
  std::vector<std::unique_ptr<GpuCachePlan>> plans_;
  std::vector<Recorded> recorded_;
  // In turns, so that one may be filled while another is uploaded.
  std::array<Inputs, 3> inputs_ring_;
  size_t inputs_turn_ = 0;
  GpuStepInputs inputs_ = {};  // of the ring's, whose turn it is
  GpuStepShape shape_ = {};    // of the last step
  GpuCachePlan* plan_ = nullptr;
  std::mutex mutex_;
};

}  // namespace mla
#endif  // MLA_GRAPH_GPU_MODEL_H_
