#include "gpu_bench/decoding_case.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>
#include <vector>

#include "graph/batch_decoder.h"
#include "graph/decoder.h"
#include "mla/mla.h"

namespace mla {
namespace {

const std::atomic<bool> kGoOn = false;

Result<std::unique_ptr<Decoder>> Filled(const CacheOptions& cache, int32_t prefill, int32_t depth,
                                        int32_t context,
                                        const std::shared_ptr<const Weights>& weights,
                                        const std::shared_ptr<GpuModel>& model) {
  DecoderOptions options;
  options.gpu = model;
  options.cache = cache;
  options.prefill = prefill;
  options.context_length = context;
  Result<std::unique_ptr<Decoder>> decoder = Decoder::Create(weights, options);
  if (!decoder.ok() || depth == 0) return decoder;
  const auto lock = decoder.value()->Lock();
  if (Status status = decoder.value()->cache().Restore(depth); !status.ok()) return status;
  return decoder;
}

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

Result<double> TimeDecoding(const DecodingCase& what, std::shared_ptr<const Weights> weights,
                            std::shared_ptr<GpuModel> model) {
  // A few more than are counted: the first step of a shape is launched, the second recorded.
  constexpr int32_t kWarm = 3;
  const int32_t vocabulary = weights->shape().vocabulary;
  const int32_t count = what.prompt > 0 ? what.prompt : what.tokens;
  const int32_t context = what.depth + kWarm + count;
  std::vector<std::unique_ptr<Decoder>> decoders;
  for (int32_t i = 0; i < what.batch; ++i) {
    auto decoder = Filled(what.cache, what.prefill, what.depth, context, weights, model);
    if (!decoder.ok()) return decoder.status();
    decoders.push_back(std::move(decoder.value()));
  }
  if (what.prompt > 0) {
    std::vector<int32_t> tokens(static_cast<size_t>(what.prompt));
    for (int32_t i = 0; i < what.prompt; ++i) tokens[static_cast<size_t>(i)] = i % vocabulary;
    std::vector<float> logits(static_cast<size_t>(vocabulary));
    double best = 0;
    for (int32_t i = 0; i < kWarm; ++i) {
      const Clock clock;
      Status status = decoders[0]->Append(tokens.data(), what.prompt, Decoder::Output::kLast,
                                          logits.data(), nullptr, kGoOn);
      if (!status.ok()) return status;
      best = std::max(best, what.prompt / clock.seconds());
      decoders[0]->Rewind(what.depth);
    }
    return best;
  }
  BatchDecoder batch(weights, what.batch, 1);
  std::vector<BatchDecoder::Row> rows;
  const ChoiceRequest greedy;
  for (const auto& decoder : decoders) rows.push_back({decoder.get(), 1, &kGoOn, greedy});
  // One sequence as a session streams it, many as a batch does.
  const auto run = [&]() {
    if (rows.size() > 1) {
      batch.Append(rows);
      return;
    }
    BatchDecoder::Row& row = rows.front();
    const Result<Choice> choice = row.decoder->AppendAndChoose(row.token, greedy, greedy, kGoOn);
    row.status = choice.status();
    if (choice.ok()) row.choice = choice.value();
  };
  const auto step = [&]() -> Status {
    run();
    for (BatchDecoder::Row& row : rows) {
      if (!row.status.ok()) return row.status;
      if (!row.choice.has_value() || row.choice->token < 0) {
        return Status(MLA_INTERNAL, "the GPU chose no token: it lacks memory or logits are bad");
      }
      row.token = row.choice->token;
    }
    return Status::Ok();
  };
  for (int32_t i = 0; i < kWarm; ++i) {
    if (Status status = step(); !status.ok()) return status;
  }
  const Clock clock;
  for (int32_t i = 0; i < what.tokens; ++i) {
    if (Status status = step(); !status.ok()) return status;
  }
  return static_cast<double>(what.tokens) * what.batch / clock.seconds();
}

Result<int32_t> CountSessions(const CacheOptions& cache, int32_t context,
                              std::shared_ptr<const Weights> weights,
                              std::shared_ptr<GpuModel> model) {
  std::vector<std::unique_ptr<Decoder>> decoders;
  while (true) {
    auto decoder = Filled(cache, MLA_PREFILL_AUTO, context, context, weights, model);
    if (decoder.ok()) {
      decoders.push_back(std::move(decoder.value()));
    } else if (decoder.status().code() == MLA_OUT_OF_MEMORY) {
      return static_cast<int32_t>(decoders.size());
    } else {
      return decoder.status();
    }
  }
}

}  // namespace mla
