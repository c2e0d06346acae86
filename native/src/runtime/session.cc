#include "runtime/session.h"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/session_file.h"

namespace mla {
namespace {

Status Invalid(std::string message) { return Status(MLA_INVALID_ARGUMENT, std::move(message)); }

Status CheckCapacity(const char* what, int64_t capacity, int64_t needed) {
  if (capacity >= needed) return Status::Ok();
  return Invalid("the buffer for " + std::string(what) + " holds " + std::to_string(capacity) +
                 " floats, expected at least " + std::to_string(needed));
}

Status CheckOptions(const DecoderOptions& options, const ModelShape& shape) {
  if (options.context_length < 1 || options.context_length > shape.context) {
    return Invalid("context_length is " + std::to_string(options.context_length) +
                   ", expected 1 to the model's " + std::to_string(shape.context));
  }
  if (options.threads < 1 || options.threads > Session::kMaxThreads) {
    return Invalid("threads is " + std::to_string(options.threads) + ", expected 1 to " +
                   std::to_string(Session::kMaxThreads));
  }
  return Status::Ok();
}

}  // namespace

Session::Session(std::shared_ptr<const Weights> weights, std::unique_ptr<Decoder> decoder,
                 Sampler sampler)
    : weights_(std::move(weights)),
      vocabulary_(weights_->shape().vocabulary),
      decoder_(std::move(decoder)),
      sampler_(std::move(sampler)),
      logits_(static_cast<size_t>(vocabulary_)) {}

Result<std::shared_ptr<Session>> Session::Create(std::shared_ptr<const Weights> weights,
                                                 const DecoderOptions& options) {
  if (Status status = CheckOptions(options, weights->shape()); !status.ok()) return status;
  Result<Sampler> greedy = Sampler::Create({}, weights->shape().vocabulary);
  if (!greedy.ok()) return greedy.status();
  Result<std::unique_ptr<Decoder>> decoder = Decoder::Create(weights, options);
  if (!decoder.ok()) return decoder.status();
  return std::shared_ptr<Session>(
      new Session(std::move(weights), std::move(decoder.value()), std::move(greedy.value())));
}

Result<std::shared_ptr<Session>> Session::Fork() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (Status status = FetchLogits(); !status.ok()) return status;
  decoder_->Settle();
  std::shared_ptr<Session> fork(new Session(weights_, decoder_->Fork(), sampler_));
  fork->tokens_ = tokens_;
  fork->logits_ = logits_;
  fork->has_logits_ = has_logits_;
  fork->pending_ = pending_;
  return fork;
}

Status Session::Save(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (Status status = FetchLogits(); !status.ok()) return status;
  decoder_->Settle();
  return WriteSession(*weights_, *decoder_, tokens_, has_logits_ ? logits_.data() : nullptr,
                      pending_, path);
}

Result<std::shared_ptr<Session>> Session::Restore(std::shared_ptr<const Weights> weights,
                                                  const DecoderOptions& options,
                                                  const std::string& path) {
  if (Status status = CheckOptions(options, weights->shape()); !status.ok()) return status;
  Result<Sampler> greedy = Sampler::Create({}, weights->shape().vocabulary);
  if (!greedy.ok()) return greedy.status();
  Result<SessionState> read = ReadSession(weights, options, path);
  if (!read.ok()) return read.status();
  SessionState& state = read.value();
  std::shared_ptr<Session> session(
      new Session(std::move(weights), std::move(state.decoder), std::move(greedy.value())));
  session->tokens_ = std::move(state.tokens);
  session->has_logits_ = !state.logits.empty();
  if (session->has_logits_) session->logits_ = std::move(state.logits);
  session->pending_ = state.pending;
  return session;
}

Status Session::CheckOpen() const {
  return closed_ ? Status(MLA_CLOSED, "the session was closed by another thread") : Status::Ok();
}

Status Session::CheckTokens(const int32_t* tokens, int32_t n) const {
  if (n < 1)
    return Invalid("the number of tokens is " + std::to_string(n) + ", expected at least 1");
  const int32_t* bad = std::find_if(
      tokens, tokens + n, [this](int32_t token) { return token < 0 || token >= vocabulary_; });
  if (bad != tokens + n) {
    return Invalid("token " + std::to_string(bad - tokens) + " of " + std::to_string(n) + " is " +
                   std::to_string(*bad) + ", expected an id from 0 to " +
                   std::to_string(vocabulary_ - 1));
  }
  return Status::Ok();
}

Status Session::Decode(const int32_t* tokens, int32_t n, Decoder::Output output, float* logits,
                       float* scores) {
  if (Status status = BeginDecode(n); !status.ok()) return status;
  if (Status status = decoder_->Append(tokens, n, output, logits, scores, stop_); !status.ok()) {
    return Obey(std::move(status));
  }
  EndDecode(tokens, n);
  return Status::Ok();
}

Status Session::BeginDecode(int32_t n) {
  if (Status status = CatchUp(); !status.ok()) return status;
  const size_t length = tokens_.size() + n;
  if (tokens_.capacity() < length) tokens_.reserve(std::max(length, 2 * tokens_.capacity()));
  return Status::Ok();
}

void Session::EndDecode(const int32_t* tokens, int32_t n, bool decoder_has_logits) {
  tokens_.insert(tokens_.end(), tokens, tokens + n);
  has_logits_ = true;
  decoder_has_logits_ = decoder_has_logits;
  pending_.reset();
}

Status Session::FetchLogits() {
  if (!has_logits_ || !decoder_has_logits_) return Status::Ok();
  if (Status status = decoder_->ChosenLogits(logits_.data()); !status.ok()) return status;
  decoder_has_logits_ = false;
  return Status::Ok();
}

Status Session::Obey(Status failed) {
  if (failed.code() != MLA_CANCELLED) return failed;
  stop_ = false;  // obeyed; where Close set it, closed_ refuses the calls to come
  return closed_ ? CheckOpen() : failed;
}

Status Session::CatchUp() {
  const int32_t known = decoder_->length();
  const int32_t missing = static_cast<int32_t>(tokens_.size()) - known;
  if (missing == 0) return Status::Ok();
  Status status = decoder_->Append(tokens_.data() + known, missing, Decoder::Output::kLast,
                                   logits_.data(), nullptr, stop_);
  return status.ok() ? status : Obey(std::move(status));
}

Status Session::Append(const int32_t* tokens, int32_t n) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (Status status = CheckTokens(tokens, n); !status.ok()) return status;
  return Decode(tokens, n, Decoder::Output::kLast, logits_.data(), nullptr);
}

Status Session::AppendAll(const int32_t* tokens, int32_t n, float* logits, int64_t capacity) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (Status status = CheckTokens(tokens, n); !status.ok()) return status;
  const int64_t needed = static_cast<int64_t>(n) * vocabulary_;
  if (Status status = CheckCapacity("all logits", capacity, needed); !status.ok()) return status;
  if (Status status = Decode(tokens, n, Decoder::Output::kAll, logits, nullptr); !status.ok()) {
    return status;
  }
  std::copy_n(logits + (needed - vocabulary_), vocabulary_, logits_.begin());
  return Status::Ok();
}

Status Session::AppendScored(const int32_t* tokens, int32_t n, float* log_probabilities,
                             int64_t capacity) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (Status status = CheckTokens(tokens, n); !status.ok()) return status;
  if (Status status = CheckCapacity("log-probabilities", capacity, n - 1); !status.ok()) {
    return status;
  }
  return Decode(tokens, n, Decoder::Output::kScores, logits_.data(), log_probabilities);
}

Status Session::Logits(float* out, int64_t capacity) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (!has_logits_) return Invalid("the session has no logits: append a token first");
  if (Status status = CheckCapacity("the logits", capacity, vocabulary_); !status.ok()) {
    return status;
  }
  if (Status status = FetchLogits(); !status.ok()) return status;
  std::copy(logits_.begin(), logits_.end(), out);
  return Status::Ok();
}

Result<int32_t> Session::Length() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  return static_cast<int32_t>(tokens_.size());
}

Result<int32_t> Session::Tokens(int32_t* out, int64_t capacity) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  const int64_t count = std::min<int64_t>(capacity, static_cast<int64_t>(tokens_.size()));
  std::copy_n(tokens_.begin(), count, out);
  return static_cast<int32_t>(tokens_.size());
}

Status Session::Rewind(int32_t length) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (length < 0 || length > static_cast<int32_t>(tokens_.size())) {
    return Invalid("the length to rewind to is " + std::to_string(length) + ", expected 0 to " +
                   std::to_string(tokens_.size()));
  }
  decoder_->Rewind(std::min(length, decoder_->length()));
  tokens_.resize(length);
  has_logits_ = false;
  pending_.reset();
  return Status::Ok();
}

Result<Session::Memory> Session::MemoryUse() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  return Memory{decoder_->cache_bytes(), decoder_->workspace_bytes()};
}

Status Session::SetProfiling(bool on) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  decoder_->set_profile(nullptr);
  profile_.reset();
  if (!on) return Status::Ok();
  if (Status status = CheckOnCpu(); !status.ok()) return status;
  profile_ = std::make_unique<Profile>(decoder_->options().threads);
  decoder_->set_profile(profile_.get());
  return Status::Ok();
}

Status Session::CheckOnCpu() const {
  if (decoder_->options().gpu == nullptr) return Status::Ok();
  return Status(MLA_UNSUPPORTED, "a profile is of the CPU, but the session runs on a GPU");
}

Result<Profile> Session::ProfileSoFar() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (profile_ == nullptr) return Invalid("the session is not profiled: switch that on first");
  return *profile_;
}

Result<Work> Session::CountWork(int32_t first, int32_t n) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  const int32_t context = decoder_->context_length();
  if (first < 0 || n < 1 || first > context - n) {
    return Invalid(std::to_string(n) + " tokens after " + std::to_string(first) +
                   ", expected at least 1 after at least 0, and all in the context of " +
                   std::to_string(context));
  }
  return decoder_->CountWork(first, n);
}

Status Session::SetSampler(SamplerOptions options) {
  Result<Sampler> sampler = Sampler::Create(std::move(options), vocabulary_);
  if (!sampler.ok()) return sampler.status();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  sampler_ = std::move(sampler.value());
  return Status::Ok();
}

Result<int32_t> Session::Choose(float* log_probability) {
  if (!has_logits_) return Invalid("there are no logits to sample from: append a token first");
  if (Status status = FetchLogits(); !status.ok()) return status;
  const Profile::Alone alone(profile_.get(), Operation::kSampling);
  return sampler_.Choose(logits_.data(), tokens_.data(), static_cast<int64_t>(tokens_.size()),
                         log_probability);
}

Result<int32_t> Session::Sample(float* log_probability) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = CheckOpen(); !status.ok()) return status;
  return Choose(log_probability);
}

Result<int32_t> Session::Next(float* log_probability) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Status status = BeginNext(); !status.ok()) return status;
  if (pending_.has_value()) {
    const std::optional<ChoiceRequest> request = RequestForDecoder();
    if (request.has_value()) return NextByDecoder(*request, log_probability);
    const int32_t token = *pending_;
    if (Status status = Decode(&token, 1, Decoder::Output::kLast, logits_.data(), nullptr);
        !status.ok()) {
      return status;
    }
  }
  return EndNext(log_probability);
}

Status Session::BeginNext() {
  if (Status status = CheckOpen(); !status.ok()) return status;
  if (pending_.has_value()) return CheckTokens(&*pending_, 1);
  if (!stop_.exchange(false)) return Status::Ok();
  if (Status status = CheckOpen(); !status.ok()) return status;
  return Status(MLA_CANCELLED, "cancelled before the first token");
}

Result<int32_t> Session::EndNext(float* log_probability) {
  Result<int32_t> token = Choose(log_probability);
  if (token.ok()) pending_ = token.value();
  return token;
}

std::optional<ChoiceRequest> Session::RequestForDecoder() const {
  return decoder_->chooses() ? sampler_.DrawAfter(0) : std::nullopt;
}

Result<int32_t> Session::NextByDecoder(const ChoiceRequest& request, float* log_probability) {
  const int32_t token = *pending_;
  if (Status status = BeginDecode(1); !status.ok()) return status;
  const Result<Choice> choice =
      decoder_->AppendAndChoose(token, request, sampler_.DrawAfter(1), stop_);
  if (!choice.ok()) return Obey(choice.status());
  EndDecode(&token, 1, true);
  return EndNext(choice.value(), log_probability);
}

Result<int32_t> Session::EndNext(const Choice& choice, float* log_probability) {
  // The sampler says what is wrong with the logits.
  if (choice.token < 0) return EndNext(log_probability);
  sampler_.Skip();
  if (log_probability != nullptr) *log_probability = choice.log_probability;
  pending_ = choice.token;
  return choice.token;
}

void Session::Cancel() { stop_ = true; }

void Session::Close() {
  closed_ = true;
  stop_ = true;
}

}  // namespace mla
