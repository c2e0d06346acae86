#include "graph/gpu_model.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace mla {
namespace {

// Recorded steps are for sequences up to a power of two, from this on: the grid of attention is
// made for as many tokens.
constexpr int32_t kLeastBucket = 1024;
// Shapes of steps that are kept, each a few hundred KiB of the driver's.
constexpr size_t kMostRecorded = 32;

}  // namespace

Result<std::shared_ptr<GpuModel>> GpuModel::Create(std::shared_ptr<const Weights> weights,
                                                   std::shared_ptr<GpuStream> stream,
                                                   const GpuKernels& kernels, int32_t threads) {
  std::shared_ptr<GpuModel> model(new GpuModel(std::move(weights), std::move(stream), kernels));
  Result<std::unique_ptr<GpuWeights>> placed =
      GpuWeights::Load(model->host_weights_, model->stream_, threads);
  if (!placed.ok()) return placed.status();
  model->weights_ = std::move(placed.value());
  Result<std::unique_ptr<GpuWorkspace>> workspace =
      GpuWorkspace::Create(*model->host_weights_, model->stream_, kMostRows);
  if (!workspace.ok()) return workspace.status();
  model->workspace_ = std::move(workspace.value());
  if (Status status = model->CreateInputs(); !status.ok()) return status;
  return model;
}

Status GpuModel::CreateInputs() {
  const int64_t bytes = GpuStepInputs::Bytes(kMostRows);
  for (Inputs& inputs : inputs_ring_) {
    inputs.memory = static_cast<uint8_t*>(stream_->AllocateHost(bytes));
    if (inputs.memory == nullptr) {
      return Status(MLA_OUT_OF_MEMORY, "no memory of the host's for a GPU step's inputs");
    }
    std::fill_n(inputs.memory, bytes, uint8_t{0});
    inputs.at = GpuStepInputs::In(inputs.memory, kMostRows);
    inputs.uploaded = stream_->NewMark();
    if (inputs.uploaded == nullptr) {
      return Status(MLA_OUT_OF_MEMORY, "the GPU's driver has no event left");
    }
  }
  return Status::Ok();
}

GpuModel::~GpuModel() {
  for (const Inputs& inputs : inputs_ring_) {
    if (inputs.uploaded != nullptr) inputs.uploaded->Wait();
  }
  for (const Inputs& inputs : inputs_ring_) stream_->FreeHost(inputs.memory);
}

void GpuModel::TakeInputs() {
  inputs_turn_ = (inputs_turn_ + 1) % inputs_ring_.size();
  inputs_ring_[inputs_turn_].uploaded->Wait();
  inputs_ = inputs_ring_[inputs_turn_].at;
}

void GpuModel::UploadInputs() {
  const Inputs& inputs = inputs_ring_[inputs_turn_];
  stream_->Upload(workspace_->inputs_memory, inputs.memory, GpuStepInputs::Bytes(kMostRows));
  inputs.uploaded->Set();
}

GpuModel::GpuModel(std::shared_ptr<const Weights> weights, std::shared_ptr<GpuStream> stream,
                   const GpuKernels& kernels)
    : host_weights_(std::move(weights)),
      stream_(std::move(stream)),
      kernels_(kernels),
      pages_(std::make_shared<GpuPageMemory>(stream_)) {}

Result<GpuCachePlan*> GpuModel::PlanOf(const CacheOptions& options, const LatentCache& cache) {
  const auto known = std::find_if(plans_.begin(), plans_.end(),
                                  [&](const auto& plan) { return plan->options() == options; });
  if (known != plans_.end()) return known->get();
  Result<std::unique_ptr<GpuCachePlan>> made =
      GpuCachePlan::Create(*host_weights_, options, cache, stream_);
  if (!made.ok()) return made.status();
  plans_.push_back(std::move(made.value()));
  return plans_.back().get();
}

Status GpuModel::Fill(std::span<const Sequence> sequences, const int32_t* tokens,
                      GpuCachePlan& plan, GpuStepShape* shape) {
  // Not anew: the blocks keep their memory, so that a token allocates nothing.
  shape->rows = shape->bucket = 0;
  shape->blocks.clear();
  for (const Sequence& sequence : sequences) {
    uint8_t* const* table = sequence.cache->page_table();
    for (int32_t i = 0; i < sequence.rows; ++i) {
      const int32_t row = shape->rows++;
      inputs_.tokens[row] = tokens[row];
      inputs_.positions[row] = sequence.first + i;
      inputs_.tables[row] = table;
    }
    shape->bucket = std::max(shape->bucket, sequence.first + sequence.rows);
  }
  // One sequence's rows in blocks of as many queries as attention takes, and what is left over.
  const Sequence& first = sequences.front();
  const int32_t queries = std::min(first.rows, GpuCachePlan::kMostQueries);
  const int32_t whole = first.rows / queries, rest = first.rows % queries;
  const int32_t count = first.rows == 1 ? shape->rows : whole;
  for (int32_t i = 0; i < count + (rest > 0); ++i) {
    inputs_.query_positions[i] = inputs_.positions[i * queries];
    inputs_.query_tables[i] = inputs_.tables[i * queries];
  }
  const auto add = [&](int32_t at, int32_t row, int32_t blocks, int32_t each) -> Status {
    const auto plans = plan.AttentionOf(each);
    if (plans.ok()) shape->blocks.push_back({at, row, blocks, each, plans.value()});
    return plans.status();
  };
  if (Status status = FillPrompt(first, plan, &shape->prompt); !status.ok()) return status;
  if (Status status = add(0, 0, count, queries); !status.ok()) return status;
  return rest == 0 ? Status::Ok() : add(count, count * queries, 1, rest);
}

Status GpuModel::FillPrompt(const Sequence& sequence, GpuCachePlan& plan,
                            GpuPromptRows* prompt) const {
  prompt->first = sequence.first;
  prompt->plans = nullptr;
  if (sequence.rows == 1) return Status::Ok();
  const auto plans = plan.Prompts();
  if (!plans.ok()) return plans.status();
  prompt->plans = plans.value();
  prompt->expanded.clear();
  for (size_t l = 0; l < plans.value()->size(); ++l) {
    prompt->expanded.push_back((*plans.value())[l].plan.has_value() &&
                               ExpandsOnGpu(host_weights_->layers()[l].attention, sequence.prefill,
                                            sequence.first, sequence.rows));
  }
  return Status::Ok();
}

Status GpuModel::Reserve(const GpuStepShape& shape, int32_t outputs) {
  GpuWorkspace& w = *workspace_;
  const ModelShape& model = host_weights_->shape();
  const int64_t held = w.attention.bytes() + w.logits.bytes();
  Status status =
      w.Grow(w.attention, AttentionBytes(shape, model.sliding_window), "attention's scratch");
  if (status.ok()) {
    status = w.Grow(w.logits, int64_t{outputs} * model.vocabulary * 4, "a step's logits");
  }
  // They launch with the old places.
  if (w.attention.bytes() + w.logits.bytes() != held) recorded_.clear();
  return status;
}

Status GpuModel::Prepare(std::span<const Sequence> sequences, const CacheOptions& options,
                         const int32_t* tokens, int32_t outputs) {
  const Result<GpuCachePlan*> plan =
      WithRoom([&] { return PlanOf(options, *sequences.front().cache); });
  if (!plan.ok()) return plan.status();
  plan_ = plan.value();
  for (const Sequence& sequence : sequences) {
    if (Status status = sequence.cache->UpdatePageTable(); !status.ok()) return status;
  }
  TakeInputs();
  Status filled = WithRoom([&] { return Fill(sequences, tokens, *plan_, &shape_); });
  if (!filled.ok()) return filled;
  if (sequences.front().rows == 1 && outputs == shape_.rows) {
    shape_.bucket = std::max(
        kLeastBucket, static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(shape_.bucket))));
  }
  return WithRoom([&] { return Reserve(shape_, outputs); });
}

Status GpuModel::Step(std::span<const Sequence> sequences, const CacheOptions& options,
                      const int32_t* tokens, int32_t outputs, float* logits) {
  if (Status status = Prepare(sequences, options, tokens, outputs); !status.ok()) return status;
  UploadInputs();
  if (sequences.front().rows == 1 && outputs == shape_.rows) {
    if (Status status = LaunchTokens(false); !status.ok()) return status;
  } else {
    LaunchForward(step());
    if (outputs > 0) {
      LaunchOutputHead(step(), shape_.rows - outputs, outputs,
                       reinterpret_cast<float*>(workspace_->logits.data()));
    }
  }
  return Download(outputs, logits);
}

Status GpuModel::StepAndChoose(std::span<const Sequence> sequences, const CacheOptions& options,
                               const int32_t* tokens, std::span<const Wanted> wanted,
                               Choice* choices) {
  const int32_t rows = static_cast<int32_t>(wanted.size());
  if (Status status = Prepare(sequences, options, tokens, rows); !status.ok()) return status;
  for (int32_t i = 0; i < rows; ++i) {
    const Wanted& of = wanted[static_cast<size_t>(i)];
    inputs_.sampling[i] = {of.request, of.copy, workspace_->choices + i};
  }
  UploadInputs();
  if (Status status = LaunchTokens(true); !status.ok()) return status;
  for (int32_t i = 0; i < rows; ++i) {
    float* logits = wanted[static_cast<size_t>(i)].logits;
    const int64_t bytes = int64_t{vocabulary()} * 4;
    if (logits != nullptr) stream_->Download(logits, workspace_->logits.data() + i * bytes, bytes);
  }
  stream_->Download(choices, workspace_->choices, rows * static_cast<int64_t>(sizeof(Choice)));
  return stream_->Synchronize();
}

Status GpuModel::BeginStepAndChoose(const Sequence& sequence, const CacheOptions& options,
                                    const int32_t* token, const Choice* before,
                                    const GpuSamplingRow& row) {
  constexpr int32_t kNone = 0;
  if (Status status = Prepare({&sequence, 1}, options, token == nullptr ? &kNone : token, 1);
      !status.ok()) {
    return status;
  }
  inputs_.sampling[0] = row;
  UploadInputs();
  if (token == nullptr) {
    stream_->Copy(workspace_->inputs.tokens, &before->token, static_cast<int64_t>(sizeof(int32_t)));
  }
  return LaunchTokens(true);
}

Status GpuModel::LaunchTokens(bool chooses) {
  const auto launches = [&] {
    auto* logits = reinterpret_cast<float*>(workspace_->logits.data());
    LaunchForward(step());
    LaunchOutputHead(step(), 0, shape_.rows, logits);
    if (!chooses) return;
    kernels_.sample(*stream_, {logits, shape_.rows, vocabulary(), workspace_->inputs.sampling});
  };
  const auto known = std::find_if(recorded_.begin(), recorded_.end(), [&](const Recorded& r) {
    return r.plan == plan_ && r.rows == shape_.rows && r.bucket == shape_.bucket &&
           r.chooses == chooses;
  });
  if (known == recorded_.end()) {
    // What is done once is not worth a recording.
    if (recorded_.size() == kMostRecorded) {
      // It may be running.
      if (Status status = stream_->Synchronize(); !status.ok()) return status;
      recorded_.erase(recorded_.begin());
    }
    recorded_.push_back({plan_, shape_.rows, shape_.bucket, chooses, nullptr});
    launches();
    return Status::Ok();
  }
  if (known->recording == nullptr) {
    Result<std::unique_ptr<GpuRecording>> recording = stream_->Record(launches);
    if (!recording.ok()) return recording.status();
    known->recording = std::move(recording.value());
  }
  stream_->Replay(*known->recording);
  return Status::Ok();
}

Status GpuModel::Head(int32_t begin, int32_t count, float* logits) {
  if (Status status = Reserve(shape_, count); !status.ok()) return status;
  LaunchOutputHead(step(), begin, count, reinterpret_cast<float*>(workspace_->logits.data()));
  return Download(count, logits);
}

Status GpuModel::Scores(int32_t count, const int32_t* tokens, float* scores) {
  if (Status status = Reserve(shape_, std::min(count, kLogitRows)); !status.ok()) return status;
  const GpuWorkspace& w = *workspace_;
  auto* logits = reinterpret_cast<float*>(w.logits.data());
  stream_->Upload(w.scored, tokens, int64_t{count} * 4);
  for (int32_t begin = 0; begin < count; begin += kLogitRows) {
    const int32_t rows = std::min(kLogitRows, count - begin);
    LaunchOutputHead(step(), begin, rows, logits);
    kernels_.score(*stream_, {logits, rows, vocabulary(), w.scored + begin, w.scores + begin});
  }
  if (count > 0) stream_->Download(scores, w.scores, int64_t{count} * 4);
  return stream_->Synchronize();
}

Status GpuModel::Download(int32_t count, float* logits) {
  const int64_t bytes = int64_t{count} * host_weights_->shape().vocabulary * 4;
  if (bytes > 0) stream_->Download(logits, workspace_->logits.data(), bytes);
  return stream_->Synchronize();
}

}  // namespace mla
