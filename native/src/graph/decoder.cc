#include "graph/decoder.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <functional>
#include <string>
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

struct Decoder::Request {
  const int32_t* tokens;
  int32_t n;
  Output output;
  float* logits;
  float* scores;
  const std::atomic<bool>& cancel;

  // How many of the chunk's rows get logits, for the output or for a score.
  int32_t Outputs(int32_t done, int32_t rows) const {
    return output != Output::kLast ? rows : done + rows == n ? 1 : 0;
  }
};

Result<std::unique_ptr<Decoder>> Decoder::Create(std::shared_ptr<const Weights> weights,
                                                 const DecoderOptions& options) {
  assert(options.context_length > 0 && options.threads > 0);
  Result<std::unique_ptr<LatentCache>> cache =
      LatentCache::Create(options.cache, weights->shape().cache_layouts, options.context_length);
  if (!cache.ok()) return cache.status();
  weights->Pack(options.threads);
  return std::unique_ptr<Decoder>(
      new Decoder(std::move(weights), options, std::move(cache.value())));
}

Decoder::Decoder(std::shared_ptr<const Weights> weights, const DecoderOptions& options,
                 std::unique_ptr<LatentCache> cache)
    : weights_(std::move(weights)),
      options_(options),
      cache_(std::move(cache)),
      workspace_(*weights_, std::min(kChunkRows, options.context_length)),
      plans_(weights_->layers().size()) {}

std::unique_ptr<Decoder> Decoder::Fork() const {
  return std::unique_ptr<Decoder>(new Decoder(weights_, options_, cache_->Fork()));
}

bool Decoder::Rewind(int32_t length) {
  const bool whole = cache_->HasWindowOf(length);
  cache_->SetLength(whole ? length : 0);
  return whole;
}

Work Decoder::CountWork(int32_t first, int32_t n) const {
  const StepWork step = step_work();
  OperationWork all = {};
  for (int32_t done = 0; done < n;) {
    const int32_t rows = std::min(workspace_.max_rows, n - done);
    step.Add(first + done, rows, done + rows == n ? 1 : 0, all);
    done += rows;
  }
  Work sum;
  for (const Work& each : all) sum += each;
  return sum;
}

int64_t Decoder::workspace_bytes() const { return workspace_.bytes() + score_logits_.size(); }

void Decoder::Plan(int32_t first, int32_t rows) {
  const ModelShape& shape = weights_->shape();
  for (size_t l = 0; l < plans_.size(); ++l) {
    const AttentionWeights& a = weights_->layers()[l].attention;
    const bool expand = TakesExpandedForm(a, options_.prefill, first, rows);
    const ExpandedParams form = ExpandedForm(shape, a, nullptr);
    plans_[l] = PlanAttention(a.layout, first, rows, expand ? &form : nullptr);
  }
}

Status Decoder::Reserve(int32_t n) {
  if (n > options_.context_length - length()) {
    return Status(MLA_CONTEXT_FULL, "the context of " + std::to_string(options_.context_length) +
                                        " tokens holds " + std::to_string(length()) + ", " +
                                        std::to_string(n) + " more do not fit");
  }
  return cache_->Reserve(n);
}

Result<SequenceRows> Decoder::Begin(int32_t first, int32_t rows, const std::atomic<bool>& cancel) {
  if (Status status = cache_->ReserveWindow(rows); !status.ok()) return status;
  Plan(first, rows);
  return SequenceRows{cache_.get(), plans_.data(), &cancel, first, rows, 0, nullptr};
}

Result<SequenceRows> Decoder::BeginToken(const std::atomic<bool>& cancel) {
  if (Status status = Reserve(1); !status.ok()) return status;
  Result<SequenceRows> rows = Begin(length(), 1, cancel);
  if (!rows.ok()) EndToken(false);
  return rows;
}

Status Decoder::RunChunk(const Request& request, int32_t done, int32_t rows) {
  const int32_t first = cache_->length() + done;
  Result<SequenceRows> sequence = Begin(first, rows, request.cancel);
  if (!sequence.ok()) return sequence.status();
  int64_t partials = 0, scratch = 0;
  for (const AttentionPlan& plan : plans_) {
    partials = std::max(partials, plan.partial_bytes);
    scratch = std::max(scratch, plan.scratch_bytes);
  }
  workspace_.ReserveAttention(partials, scratch, options_.threads);
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
  ThreadPool::Shared().Run(options_.threads, std::ref(region));
  if (stop.load()) return Status(MLA_CANCELLED, "cancelled while tokens were appended");
  cache_->Advance(first + rows);
  if (profile_ != nullptr) profile_->CountStep(first, rows, request.Outputs(done, rows));
  return Status::Ok();
}

Status Decoder::Append(const int32_t* tokens, int32_t n, Output output, float* logits,
                       float* scores, const std::atomic<bool>& cancel) {
  const Profile::Call call(profile_);
  const int32_t start = length();
  if (Status status = Reserve(n); !status.ok()) return status;
  if (output == Output::kScores && score_logits_.size() == 0) {
    score_logits_ = AlignedBuffer(int64_t{kScoreRows} * weights_->shape().vocabulary * 4);
  }
  const Request request = {tokens, n, output, logits, scores, cancel};
  for (int32_t done = 0; done < n;) {
    const int32_t rows = std::min(workspace_.max_rows, n - done);
    if (Status status = RunChunk(request, done, rows); !status.ok()) {
      cache_->SetLength(start);
      return status;
    }
    done += rows;
  }
  cache_->SetLength(start + n);
  return Status::Ok();
}

}  // namespace mla
