#include "graph/gpu_decoder.h"

#include <algorithm>
#include <utility>

namespace mla {

Result<std::unique_ptr<Decoder>> GpuDecoder::Create(std::shared_ptr<const Weights> weights,
                                                    const DecoderOptions& options) {
  Result<std::unique_ptr<LatentCache>> cache = LatentCache::Create(
      options.cache, weights->shape().cache_layouts, options.context_length, options.gpu->pages());
  if (!cache.ok()) return cache.status();
  return std::unique_ptr<Decoder>(
      new GpuDecoder(std::move(weights), options, std::move(cache.value())));
}

GpuDecoder::GpuDecoder(std::shared_ptr<const Weights> weights, const DecoderOptions& options,
                       std::unique_ptr<LatentCache> cache)
    : Decoder(std::move(weights), options, std::move(cache),
              std::min(GpuModel::kMostRows, options.context_length)),
      model_(options.gpu) {}

std::unique_ptr<Decoder> GpuDecoder::Fork() const {
  const auto lock = Lock();
  return std::unique_ptr<Decoder>(new GpuDecoder(weights_, options_, cache_->Fork()));
}

GpuDecoder::~GpuDecoder() {
  const auto lock = Lock();
  SettleLocked();
  choices_.reset();
}

int64_t GpuDecoder::workspace_bytes() const {
  return model_->workspace_bytes() + (choices_ == nullptr ? 0 : choices_->bytes());
}

Result<GpuModel::Sequence> GpuDecoder::BeginToken() {
  SettleLocked();
  Status status = Reserve(1);
  if (status.ok()) status = cache_->ReserveWindow(1);
  if (status.ok()) return GpuModel::Sequence{cache_.get(), length(), 1};
  EndToken(false, false);
  return status;
}

float* GpuDecoder::PlaceOfLogits() {
  return EnsureChoices().ok() ? choices_->next().logits : nullptr;
}

void GpuDecoder::EndToken(bool kept, bool placed) {
  cache_->SetLength(length() + kept);
  if (kept && placed) choices_->Turn();
}

Status GpuDecoder::EnsureChoices() {
  if (choices_ != nullptr) return Status::Ok();
  Result<std::unique_ptr<GpuChoices>> made =
      model_->WithRoom([&] { return GpuChoices::Create(model_->stream(), model_->vocabulary()); });
  if (!made.ok()) return made.status();
  choices_ = std::move(made.value());
  return Status::Ok();
}

void GpuDecoder::Settle() {
  const auto lock = Lock();
  SettleLocked();
}

void GpuDecoder::SettleLocked() {
  streams_ = false;
  if (!reserved_ahead_) return;
  if (ahead_.has_value()) choices_->next().done->Wait();
  ahead_.reset();
  reserved_ahead_ = false;
  cache_->SetLength(length());
}

Status GpuDecoder::Begin(int32_t after, const int32_t* token, const ChoiceRequest& request) {
  Status status = Reserve(after + 1);
  if (status.ok()) status = cache_->ReserveWindow(after + 1);
  if (!status.ok()) return status;
  GpuChoices::Place& place = choices_->next();
  status =
      model_->BeginStepAndChoose({cache_.get(), length() + after, 1}, options_.cache, token,
                                 choices_->last().chosen, {request, place.logits, place.chosen});
  if (!status.ok()) return status;
  model_->stream().Download(place.arrived, place.chosen, static_cast<int64_t>(sizeof(Choice)));
  place.done->Set();
  return Status::Ok();
}

Result<Choice> GpuDecoder::AppendAndChoose(int32_t token, const ChoiceRequest& request,
                                           const std::optional<ChoiceRequest>& next,
                                           const std::atomic<bool>& cancel) {
  if (cancel.load()) return Status(MLA_CANCELLED, "cancelled while tokens were appended");
  const int32_t start = length();
  {
    const auto lock = Lock();
    const bool streams = streams_;
    if (ahead_ != request || choices_->last().arrived->token != token) {
      SettleLocked();
      Status status = EnsureChoices();
      if (status.ok()) status = Begin(0, &token, request);
      if (!status.ok()) {
        cache_->SetLength(start);
        return status;
      }
    }
    ahead_.reset();
    choices_->Turn();
    if (streams && next.has_value() && start + 2 <= context_length()) {
      // Where that fails, the next call meets it again.
      reserved_ahead_ = true;
      if (Begin(1, nullptr, *next).ok()) ahead_ = next;
    }
  }
  choices_->last().done->Wait();
  const auto lock = Lock();
  if (Status status = model_->stream().TakeErrors(); !status.ok()) {
    SettleLocked();
    cache_->SetLength(start);
    choices_->Turn();
    return status;
  }
  cache_->SetLength(start + 1);
  streams_ = true;
  return *choices_->last().arrived;
}

Status GpuDecoder::ChosenLogits(float* out) {
  const auto lock = Lock();
  model_->stream().Download(out, choices_->last().logits, int64_t{model_->vocabulary()} * 4);
  return model_->stream().Synchronize();
}

Status GpuDecoder::RunChunk(const Request& request, int32_t done, int32_t rows) {
  if (request.cancel.load()) return Status(MLA_CANCELLED, "cancelled while tokens were appended");
  const auto lock = Lock();
  if (Status status = cache_->ReserveWindow(rows); !status.ok()) return status;
  const int32_t first = length() + done;
  const GpuModel::Sequence sequence = {cache_.get(), first, rows, options_.prefill};
  const int32_t* tokens = request.tokens + done;
  const bool last_chunk = done + rows == request.n;
  const int64_t vocabulary = weights_->shape().vocabulary;
  if (request.output == Output::kLast && last_chunk) {
    Status status = model_->Step({&sequence, 1}, options_.cache, tokens, 1, request.logits);
    if (!status.ok()) return status;
  } else {
    Status status = model_->Step({&sequence, 1}, options_.cache, tokens, 0, nullptr);
    for (int32_t begin = 0; status.ok() && request.output == Output::kAll && begin < rows;
         begin += GpuModel::kLogitRows) {
      status = model_->Head(begin, std::min(GpuModel::kLogitRows, rows - begin),
                            request.logits + (done + begin) * vocabulary);
    }
    if (status.ok() && request.output == Output::kScores) status = Score(request, done, rows);
    if (!status.ok()) return status;
  }
  cache_->Advance(first + rows);
  return Status::Ok();
}

Status GpuDecoder::Score(const Request& request, int32_t done, int32_t rows) {
  const bool last_chunk = done + rows == request.n;
  const int32_t scored = last_chunk ? rows - 1 : rows;
  Status status = model_->Scores(scored, request.tokens + done + 1, request.scores + done);
  if (!status.ok() || !last_chunk) return status;
  return model_->Head(rows - 1, 1, request.logits);
}

}  // namespace mla
