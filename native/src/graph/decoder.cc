#include "graph/decoder.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

#include "graph/cpu_decoder.h"
#include "graph/gpu_decoder.h"

namespace mla {

Result<std::unique_ptr<Decoder>> Decoder::Create(std::shared_ptr<const Weights> weights,
                                                 const DecoderOptions& options) {
  assert(options.context_length > 0 && options.threads > 0);
  return options.gpu == nullptr ? CpuDecoder::Create(std::move(weights), options)
                                : GpuDecoder::Create(std::move(weights), options);
}

Decoder::Decoder(std::shared_ptr<const Weights> weights, const DecoderOptions& options,
                 std::unique_ptr<LatentCache> cache, int32_t chunk_rows)
    : weights_(std::move(weights)),
      options_(options),
      cache_(std::move(cache)),
      chunk_rows_(chunk_rows),
      step_work_(*weights_, options_.cache, options_.prefill, options_.gpu != nullptr) {}

Result<Choice> Decoder::AppendAndChoose(int32_t, const ChoiceRequest&,
                                        const std::optional<ChoiceRequest>&,
                                        const std::atomic<bool>&) {
  return Status(MLA_UNSUPPORTED, "this decoder chooses no tokens");
}

Status Decoder::ChosenLogits(float*) {
  return Status(MLA_UNSUPPORTED, "this decoder chooses no tokens");
}

bool Decoder::Rewind(int32_t length) {
  Settle();
  const bool whole = cache_->HasWindowOf(length);
  cache_->SetLength(whole ? length : 0);
  return whole;
}

Work Decoder::CountWork(int32_t first, int32_t n) const {
  OperationWork all = {};
  for (int32_t done = 0; done < n;) {
    const int32_t rows = std::min(chunk_rows_, n - done);
    step_work_.Add(first + done, rows, done + rows == n ? 1 : 0, all);
    done += rows;
  }
  Work sum;
  for (const Work& each : all) sum += each;
  return sum;
}

Status Decoder::Reserve(int32_t n) {
  if (n > options_.context_length - length()) {
    return Status(MLA_CONTEXT_FULL, "the context of " + std::to_string(options_.context_length) +
                                        " tokens holds " + std::to_string(length()) + ", " +
                                        std::to_string(n) + " more do not fit");
  }
  return cache_->Reserve(n);
}

Status Decoder::Append(const int32_t* tokens, int32_t n, Output output, float* logits,
                       float* scores, const std::atomic<bool>& cancel) {
  const Profile::Call call(profile_);
  Settle();
  const int32_t start = length();
  {
    const auto lock = Lock();
    if (Status status = Reserve(n); !status.ok()) return status;
  }
  const Request request = {tokens, n, output, logits, scores, cancel};
  for (int32_t done = 0; done < n;) {
    const int32_t rows = std::min(chunk_rows_, n - done);
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
