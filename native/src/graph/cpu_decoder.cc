#include "graph/cpu_decoder.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "graph/attention_block.h"
#include "graph/forward.h"
#include "graph/output_head.h"
#include "runtime/thread_pool.h"

namespace mla {
namespace {

// Tokens that go through the layers together: long enough to reuse every weight well, short enough
// that scratch stays in the megabytes and another session's turn comes soon.
constexpr int32_t kChunkRows = 256;
// Rows whose logits are held at a time when only scores are wanted.
constexpr int32_t kScoreRows = 16;

}  // namespace

Result<std::unique_ptr<Decoder>> CpuDecoder::Create(std::shared_ptr<const Weights> weights,
                                                    const DecoderOptions& options) {
  Result<std::unique_ptr<LatentCache>> cache =
      LatentCache::Create(options.cache, weights->shape().cache_layouts, options.context_length);
  if (!cache.ok()) return cache.status();
  weights->Pack(options.threads);
  return std::unique_ptr<Decoder>(
      new CpuDecoder(std::move(weights), options, std::move(cache.value())));
}

CpuDecoder::CpuDecoder(std::shared_ptr<const Weights> weights, const DecoderOptions& options,
                       std::unique_ptr<LatentCache> cache)
    : Decoder(std::move(weights), options, std::move(cache),
              std::min(kChunkRows, options.context_length)),
      workspace_(*weights_, chunk_rows_, options_.threads),
      plans_(weights_->layers().size()) {}

std::unique_ptr<Decoder> CpuDecoder::Fork() const {
  return std::unique_ptr<Decoder>(new CpuDecoder(weights_, options_, cache_->Fork()));
}

int64_t CpuDecoder::workspace_bytes() const { return workspace_.bytes() + score_logits_.size(); }

void CpuDecoder::Plan(int32_t first, int32_t rows) {
  const ModelShape& shape = weights_->shape();
  for (size_t l = 0; l < plans_.size(); ++l) {
    const AttentionWeights& a = weights_->layers()[l].attention;
    const bool expand = TakesExpandedForm(a, options_.prefill, first, rows);
    const ExpandedParams form = ExpandedForm(shape, a, nullptr);
    plans_[l] = PlanAttention(a.layout, first, rows, expand ? &form : nullptr);
  }
}

Result<SequenceRows> CpuDecoder::Begin(int32_t first, int32_t rows,
                                       const std::atomic<bool>& cancel) {
  if (Status status = cache_->ReserveWindow(rows); !status.ok()) return status;
  Plan(first, rows);
  return SequenceRows{cache_.get(), plans_.data(), &cancel, first, rows, 0, nullptr};
}

Result<SequenceRows> CpuDecoder::BeginToken(const std::atomic<bool>& cancel) {
  if (Status status = Reserve(1); !status.ok()) return status;
  Result<SequenceRows> rows = Begin(length(), 1, cancel);
  if (!rows.ok()) EndToken(false);
  return rows;
}

Status CpuDecoder::RunChunk(const Request& request, int32_t done, int32_t rows) {
  const int32_t first = cache_->length() + done;
  Result<SequenceRows> sequence = Begin(first, rows, request.cancel);
  if (!sequence.ok()) return sequence.status();
  int64_t partials = 0, scratch = 0;
  for (const AttentionPlan& plan : plans_) {
    partials = std::max(partials, plan.partial_bytes);
    scratch = std::max(scratch, plan.scratch_bytes);
  }
  workspace_.ReserveAttention(partials, scratch, options_.threads);
  if (request.output == Output::kScores && score_logits_.size() == 0) {
    score_logits_ = AlignedBuffer(int64_t{kScoreRows} * weights_->shape().vocabulary * 4);
  }
  sequence.value().partials = workspace_.partials();
  std::atomic<bool> stop = false;
  const Step step = {
      *weights_, workspace_, {&sequence.value(), 1}, rows, stop, options_.activations, profile_};
  const int32_t vocabulary = weights_->shape().vocabulary;
  const int32_t* tokens = request.tokens + done;
  const bool last_chunk = done + rows == request.n;
  const auto region = [&](Team& team, int member) {
    const Profile::Part part(profile_, team.size(), member);
    if (!Forward(step, tokens, team, member)) return;
    if (request.output == Output::kAll) {
      OutputHead(step, 0, rows, request.logits + int64_t{done} * vocabulary, team, member);
      return;
    }
    if (request.output == Output::kScores) {
      float* block = score_logits_.floats();
      const int32_t scored = last_chunk ? rows - 1 : rows;
      for (int32_t begin = 0; begin < scored; begin += kScoreRows) {
        const int32_t count = std::min(kScoreRows, scored - begin);
        OutputHead(step, begin, count, block, team, member);
        step.Begin(Operation::kSampling, member);
        team.Each(count, 1, [&](int64_t from, int64_t to) {
          for (int64_t i = from; i < to; ++i) {
            request.scores[done + begin + i] =
                LogProbability(block + i * vocabulary, vocabulary, tokens[begin + i + 1]);
          }
        });
      }
    }
    if (last_chunk) OutputHead(step, rows - 1, 1, request.logits, team, member);
  };
  // By reference: a copy of the captures would be an allocation a token.
  ThreadPool::Shared().Run(options_.threads, std::ref(region), Meetings::kOfThoseThere);
  if (stop.load()) return Status(MLA_CANCELLED, "cancelled while tokens were appended");
  cache_->Advance(first + rows);
  if (profile_ != nullptr) {
    OperationWork work = {};
    step_work_.Add(first, rows, request.Outputs(done, rows), work);
    profile_->CountStep(work, rows);
  }
  return Status::Ok();
}

}  // namespace mla
