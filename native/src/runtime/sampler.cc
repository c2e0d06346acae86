#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "kernels/logits/logits.h"

namespace mla {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Status Refused(const std::string& option, double value, const std::string& expected) {
  std::string text = std::to_string(value);
  if (text.find('.') != std::string::npos) text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return Status(MLA_INVALID_ARGUMENT,
                "sampler option " + option + " is " + text + ", expected " + expected);
}

Status Validate(const SamplerOptions& o, int32_t vocabulary) {
  if (!(o.temperature >= 0 && o.temperature < kInfinity)) {
    return Refused("temperature", o.temperature, "0 (greedy) or more");
  }
  if (o.top_k < 0) return Refused("top_k", o.top_k, "0 (off) or more");
  if (!(o.top_p >= 0 && o.top_p <= 1)) return Refused("top_p", o.top_p, "a value from 0 to 1");
  if (!(o.min_p >= 0 && o.min_p <= 1)) return Refused("min_p", o.min_p, "a value from 0 to 1");
  if (!(o.repetition_penalty > 0 && o.repetition_penalty < kInfinity)) {
    return Refused("repetition_penalty", o.repetition_penalty, "more than 0 (1: off)");
  }
  if (o.repetition_window < -1) {
    return Refused("repetition_window", o.repetition_window, "-1 (all tokens) or more");
  }
  for (const LogitBias& bias : o.bias) {
    const std::string name = "bias of token " + std::to_string(bias.token);
    if (bias.token < 0 || bias.token >= vocabulary) {
      return Status(MLA_INVALID_ARGUMENT, "sampler option " + name + ": the vocabulary is 0 to " +
                                              std::to_string(vocabulary - 1));
    }
    if (!(bias.value < kInfinity)) {
      return Refused(name, bias.value, "a number, or -infinity for a ban");
    }
  }
  return Status::Ok();
}

Status BadLogit(const float* logits, int64_t token) {
  return Status(MLA_INTERNAL, "the logit of token " + std::to_string(token) + " is " +
                                  (std::isnan(logits[token]) ? "not a number" : "infinite") +
                                  ": the model's weights are damaged or its numbers overflowed");
}

}  // namespace

Sampler::Sampler(SamplerOptions options, int32_t vocabulary)
    : options_(std::move(options)), vocabulary_(vocabulary), random_(options_.seed) {
  if (Adjusts()) adjusted_.resize(vocabulary);
  if (options_.repetition_penalty != 1) penalized_.resize(vocabulary);
}

Result<Sampler> Sampler::Create(SamplerOptions options, int32_t vocabulary) {
  if (Status status = Validate(options, vocabulary); !status.ok()) return status;
  if (options.top_k >= vocabulary) options.top_k = 0;
  if (options.top_p == 0) options.top_p = 1;
  return Sampler(std::move(options), vocabulary);
}

bool Sampler::Adjusts() const { return !options_.bias.empty() || options_.repetition_penalty != 1; }

Result<int32_t> Sampler::Choose(const float* logits, const int32_t* recent, int64_t count,
                                float* log_probability) {
  const LogitScan own = ScanLogits(logits, vocabulary_);
  if (own.bad >= 0) return BadLogit(logits, own.bad);
  if (own.best == -kInfinity) {
    return Status(MLA_INTERNAL,
                  "the model's logits are all -infinity: there is no token to choose");
  }
  const float* scores = logits;
  LogitScan scan = own;
  if (Adjusts()) {
    Adjust(logits, recent, count);
    scores = adjusted_.data();
    scan = ScanLogits(scores, vocabulary_);
    if (scan.bad >= 0) {
      return Status(MLA_INVALID_ARGUMENT, "the bias or penalty of token " +
                                              std::to_string(scan.bad) +
                                              " makes its logit infinite, expected smaller values");
    }
    if (scan.best == -kInfinity) {
      return Status(
          MLA_INVALID_ARGUMENT,
          "the logit bias bans every token that the model allows: there is none to choose");
    }
  }
  const int32_t token =
      options_.temperature == 0 ? static_cast<int32_t>(scan.best_at) : Draw(scores, scan.best);
  if (log_probability != nullptr) {
    *log_probability = static_cast<float>(logits[token] - LogSumExp(logits, vocabulary_, own.best));
  }
  return token;
}

std::optional<ChoiceRequest> Sampler::DrawAfter(int32_t others) const {
  if (Adjusts()) return std::nullopt;
  ChoiceRequest draw;
  draw.temperature = options_.temperature;
  if (draw.temperature == 0) return draw;
  Random random = random_;
  for (int32_t i = 0; i < others; ++i) random.Unit();
  draw.unit = random.Unit();
  draw.top_k = options_.top_k;
  draw.top_p = options_.top_p;
  if (options_.min_p > 0) draw.log_min_p = std::log(options_.min_p);
  return draw;
}

void Sampler::Skip() {
  if (options_.temperature > 0) random_.Unit();
}

void Sampler::Adjust(const float* logits, const int32_t* recent, int64_t count) {
  std::copy_n(logits, vocabulary_, adjusted_.begin());
  for (const LogitBias& bias : options_.bias) adjusted_[bias.token] += bias.value;
  if (options_.repetition_penalty == 1) return;
  if (options_.repetition_window >= 0 && count > options_.repetition_window) {
    recent += count - options_.repetition_window;
    count = options_.repetition_window;
  }
  Penalize(recent, count);
}

void Sampler::Penalize(const int32_t* recent, int64_t count) {
  const float penalty = options_.repetition_penalty;
  for (int64_t i = 0; i < count; ++i) {
    if (penalized_[recent[i]] != 0) continue;
    penalized_[recent[i]] = 1;
    float& logit = adjusted_[recent[i]];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
  for (int64_t i = 0; i < count; ++i) penalized_[recent[i]] = 0;
}

int32_t Sampler::Draw(const float* logits, float best) {
  filters_.Start(logits, vocabulary_);
  if (options_.top_k > 0) filters_.KeepTopK(options_.top_k);
  if (options_.top_p < 1) filters_.KeepTopP(options_.top_p, best);
  if (options_.min_p > 0) filters_.KeepMinP(options_.min_p, best);
  return filters_.Draw(random_.Unit(), best, options_.temperature);
}

}  // namespace mla
