#include "graph/batch_decoder.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <utility>

#include "graph/forward.h"
#include "graph/output_head.h"
#include "runtime/thread_pool.h"

namespace mla {

BatchDecoder::BatchDecoder(std::shared_ptr<const Weights> weights, int32_t max_rows,
                           int32_t threads)
    : weights_(std::move(weights)),
      threads_(threads),
      workspace_(*weights_, max_rows),
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
  tokens_.reserve(static_cast<size_t>(max_rows));
}

void BatchDecoder::Append(std::span<Row> rows) {
  assert(rows.size() <= static_cast<size_t>(workspace_.max_rows));
  members_.clear();
  sequences_.clear();
  tokens_.clear();
  for (Row& row : rows) {
    row.logits = nullptr;
    if (row.decoder->options().activations != rows.front().decoder->options().activations) {
      row.status =
          Status(MLA_INVALID_ARGUMENT, "its activations are not those of the step's first session");
      continue;
    }
    Result<SequenceRows> sequence = row.decoder->BeginToken(*row.cancel);
    row.status = sequence.status();
    if (!sequence.ok()) continue;
    sequence.value().begin = static_cast<int32_t>(sequences_.size());
    sequence.value().partials = workspace_.partials() + sequence.value().begin * partial_bytes_;
    members_.push_back(&row);
    sequences_.push_back(sequence.value());
    tokens_.push_back(row.token);
  }
  if (members_.empty()) return;
  const int32_t n = static_cast<int32_t>(members_.size());
  std::atomic<bool> stop = false;
  const Step step = {*weights_, workspace_, sequences_,
                     n,         stop,       rows.front().decoder->options().activations};
  const auto region = [&](Team& team, int member) {
    if (Forward(step, tokens_.data(), team, member))
      OutputHead(step, 0, n, logits_.floats(), team, member);
  };
  // By reference: a copy of the captures would be an allocation a token.
  ThreadPool::Shared().Run(threads_, std::ref(region));
  for (int32_t i = 0; i < n; ++i) {
    Row& row = *members_[static_cast<size_t>(i)];
    // One that was cancelled on the way came along to the end; a step stops only for all.
    const bool kept = !row.cancel->load();
    row.decoder->EndToken(kept);
    if (kept) {
      row.logits = logits_.floats() + int64_t{i} * weights_->shape().vocabulary;
    } else {
      row.status = Status(MLA_CANCELLED, "cancelled");  // short: allocates nothing, so cannot fail
    }
  }
}

int64_t BatchDecoder::workspace_bytes() const { return workspace_.bytes() + logits_.size(); }

}  // namespace mla
