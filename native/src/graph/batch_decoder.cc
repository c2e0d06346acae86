#include "graph/batch_decoder.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <utility>

#include "graph/cpu_decoder.h"
#include "graph/forward.h"
#include "graph/gpu_decoder.h"
#include "graph/output_head.h"
#include "runtime/thread_pool.h"

namespace mla {
namespace {

CpuDecoder& Cpu(const BatchDecoder::Row& row) { return static_cast<CpuDecoder&>(*row.decoder); }
GpuDecoder& Gpu(const BatchDecoder::Row& row) { return static_cast<GpuDecoder&>(*row.decoder); }

bool GoTogether(const DecoderOptions& a, const DecoderOptions& b) {
  return a.gpu == b.gpu && (a.gpu == nullptr || a.cache == b.cache);
}

}  // namespace

BatchDecoder::BatchDecoder(std::shared_ptr<const Weights> weights, int32_t max_rows,
                           int32_t threads)
    : weights_(std::move(weights)),
      threads_(threads),
      workspace_(*weights_, max_rows, threads),
      logits_(int64_t{max_rows} * weights_->shape().vocabulary * 4) {
  // Of the longest sequence that the model allows, so that no step has to grow it.
  int64_t scratch = 0;
  for (const LayerLayout& layout : weights_->shape().cache_layouts) {
    const AttentionPlan plan = PlanAttention(layout, weights_->shape().context - 1, 1, nullptr);
    partial_bytes_ = std::max(partial_bytes_, plan.partial_bytes);
    scratch = std::max(scratch, plan.scratch_bytes);
  }
  workspace_.ReserveAttention(max_rows * partial_bytes_, scratch, threads);
  members_.reserve(static_cast<size_t>(max_rows));
  sequences_.reserve(static_cast<size_t>(max_rows));
  gpu_sequences_.reserve(static_cast<size_t>(max_rows));
  wanted_.reserve(static_cast<size_t>(max_rows));
  choices_.resize(static_cast<size_t>(max_rows));
  tokens_.reserve(static_cast<size_t>(max_rows));
  pending_.reserve(static_cast<size_t>(max_rows));
}

void BatchDecoder::Append(std::span<Row> rows) {
  assert(rows.size() <= static_cast<size_t>(workspace_.max_rows));
  pending_.clear();
  outputs_ = 0;
  for (Row& row : rows) {
    row.status = Status::Ok();
    row.logits = nullptr;
    row.choice.reset();
    pending_.push_back(&row);
  }
  while (!pending_.empty()) {
    const DecoderOptions& first = pending_.front()->decoder->options();
    const auto rest = std::stable_partition(pending_.begin(), pending_.end(), [&](const Row* row) {
      return GoTogether(row->decoder->options(), first);
    });
    const std::span<Row* const> together(pending_.begin(), rest);
    if (first.gpu == nullptr) {
      StepOnCpu(together);
    } else {
      StepOnGpu(together);
    }
    pending_.erase(pending_.begin(), rest);
  }
}

float* BatchDecoder::TakeLogits(int32_t count) {
  float* out = logits_.floats() + int64_t{outputs_} * weights_->shape().vocabulary;
  outputs_ += count;
  return out;
}

void BatchDecoder::End(Row& row, bool kept, const float* logits) const {
  if (kept) {
    row.logits = logits;
  } else {
    row.status = Status(MLA_CANCELLED, "cancelled");  // short: allocates nothing, so cannot fail
  }
}

// The work is that of all: one that was cancelled on the way came along to the end.
void BatchDecoder::TellProfile(int32_t kept) {
  OperationWork work = {};
  for (size_t i = 0; i < members_.size(); ++i) {
    OperationWork one = {};
    members_[i]->decoder->step_work().Add(sequences_[i].first, 1, 1, one);
    AddBeside(one, work);
  }
  profile_->CountStep(work, kept);
}

void BatchDecoder::StepOnCpu(std::span<Row* const> rows) {
  const Profile::Call call(profile_);
  const Activations activations = rows.front()->decoder->options().activations;
  members_.clear();
  sequences_.clear();
  tokens_.clear();
  for (Row* row : rows) {
    if (row->decoder->options().activations != activations) {
      row->status =
          Status(MLA_INVALID_ARGUMENT, "its activations are not those of the step's first session");
      continue;
    }
    Result<SequenceRows> sequence = Cpu(*row).BeginToken(*row->cancel);
    row->status = sequence.status();
    if (!sequence.ok()) continue;
    sequence.value().begin = static_cast<int32_t>(sequences_.size());
    sequence.value().partials = workspace_.partials() + sequence.value().begin * partial_bytes_;
    members_.push_back(row);
    sequences_.push_back(sequence.value());
    tokens_.push_back(row->token);
  }
  if (members_.empty()) return;
  const int32_t n = static_cast<int32_t>(members_.size());
  float* logits = TakeLogits(n);
  std::atomic<bool> stop = false;
  const Step step = {*weights_, workspace_, sequences_, n, stop, activations, profile_};
  const auto region = [&](Team& team, int member) {
    const Profile::Part part(profile_, team.size(), member);
    if (Forward(step, tokens_.data(), team, member)) OutputHead(step, 0, n, logits, team, member);
  };
  // By reference: a copy of the captures would be an allocation a token.
  ThreadPool::Shared().Run(threads_, std::ref(region), Meetings::kOfThoseThere);
  int32_t appended = 0;
  for (Row* row : members_) {
    // A step stops only for all.
    const bool kept = !row->cancel->load();
    if (kept) ++appended;
    Cpu(*row).EndToken(kept);
    End(*row, kept, logits);
    logits += weights_->shape().vocabulary;
  }
  if (profile_ != nullptr && !stop.load()) TellProfile(appended);
}

void BatchDecoder::StepOnGpu(std::span<Row* const> rows) {
  GpuModel& model = *rows.front()->decoder->options().gpu;
  const auto lock = model.Lock();
  for (size_t begin = 0; begin < rows.size(); begin += GpuModel::kMostRows) {
    members_.clear();
    gpu_sequences_.clear();
    wanted_.clear();
    tokens_.clear();
    for (Row* row :
         rows.subspan(begin, std::min<size_t>(rows.size() - begin, GpuModel::kMostRows))) {
      const Result<GpuModel::Sequence> sequence = Gpu(*row).BeginToken();
      row->status = sequence.status();
      if (!sequence.ok()) continue;
      members_.push_back(row);
      gpu_sequences_.push_back(sequence.value());
      tokens_.push_back(row->token);
      GpuModel::Wanted wanted;
      if (row->request.has_value()) {
        wanted.request = *row->request;
        wanted.copy = Gpu(*row).PlaceOfLogits();
      }
      if (wanted.copy == nullptr) wanted.logits = TakeLogits(1);
      wanted_.push_back(wanted);
    }
    if (members_.empty()) continue;
    const Status status =
        model.StepAndChoose(gpu_sequences_, rows.front()->decoder->options().cache, tokens_.data(),
                            wanted_, choices_.data());
    for (size_t i = 0; i < members_.size(); ++i) {
      Row& row = *members_[i];
      const bool kept = status.ok() && !row.cancel->load();
      const bool chosen = wanted_[i].copy != nullptr;
      Gpu(row).EndToken(kept, chosen);
      End(row, kept, wanted_[i].logits);
      if (kept && chosen) row.choice = choices_[i];
      if (!status.ok()) row.status = status;
    }
  }
}

int64_t BatchDecoder::workspace_bytes() const { return workspace_.bytes() + logits_.size(); }

}  // namespace mla
