#include "graph/gpu_decoder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "graph/output_head.h"

namespace mla {
namespace {

// Rows whose logits are held at a time where many are asked for.
constexpr int32_t kOutputRows = 64;

}  // namespace

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

Result<GpuModel::Sequence> GpuDecoder::BeginToken() {
  Status status = Reserve(1);
  if (status.ok()) status = cache_->ReserveWindow(1);
  if (status.ok()) return GpuModel::Sequence{cache_.get(), length(), 1};
  EndToken(false);
  return status;
}

Status GpuDecoder::RunChunk(const Request& request, int32_t done, int32_t rows) {
  if (request.cancel.load()) return Status(MLA_CANCELLED, "cancelled while tokens were appended");
  const auto lock = Lock();
  if (Status status = cache_->ReserveWindow(rows); !status.ok()) return status;
  const int32_t first = length() + done;
  const GpuModel::Sequence sequence = {cache_.get(), first, rows};
  const int32_t* tokens = request.tokens + done;
  const bool last_chunk = done + rows == request.n;
  const int64_t vocabulary = weights_->shape().vocabulary;
  if (request.output == Output::kLast && last_chunk) {
    Status status = model_->Step({&sequence, 1}, options_.cache, tokens, 1, request.logits);
    if (!status.ok()) return status;
  } else {
    Status status = model_->Step({&sequence, 1}, options_.cache, tokens, 0, nullptr);
    for (int32_t begin = 0; status.ok() && request.output == Output::kAll && begin < rows;
         begin += kOutputRows) {
      status = model_->Head(begin, std::min(kOutputRows, rows - begin),
                            request.logits + (done + begin) * vocabulary);
    }
    if (status.ok() && request.output == Output::kScores) status = Score(request, done, rows);
    if (!status.ok()) return status;
  }
  cache_->Advance(first + rows);
  return Status::Ok();
}

Status GpuDecoder::Score(const Request& request, int32_t done, int32_t rows) {
  const int32_t vocabulary = weights_->shape().vocabulary;
  const int32_t* tokens = request.tokens + done;
  const bool last_chunk = done + rows == request.n;
  const int32_t scored = last_chunk ? rows - 1 : rows;
  std::vector<float> logits(static_cast<size_t>(std::min(kOutputRows, rows)) *
                            static_cast<size_t>(vocabulary));
  for (int32_t begin = 0; begin < scored; begin += kOutputRows) {
    const int32_t count = std::min(kOutputRows, scored - begin);
    if (Status status = model_->Head(begin, count, logits.data()); !status.ok()) return status;
    for (int32_t i = 0; i < count; ++i) {
      request.scores[done + begin + i] = LogProbability(logits.data() + int64_t{i} * vocabulary,
                                                        vocabulary, tokens[begin + i + 1]);
    }
  }
  return last_chunk ? model_->Head(rows - 1, 1, request.logits) : Status::Ok();
}

}  // namespace mla
