#include "runtime/session_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "gguf/mapped_file.h"
#include "gguf/output_file.h"
#include "graph/fingerprint.h"
#include "tensor/checksum.h"

namespace mla {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[8] = {'M', 'L', 'A', 'S', 'E', 'S', 'S', '\n'};
constexpr uint32_t kVersion = 1;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;
  uint64_t fingerprint;
  int32_t latent, rope, group, residual, sink;
  int32_t vocabulary;
  int32_t tokens;
  int32_t cached;       // of the tokens, in the pages
  int32_t has_logits;   // 0 or 1
  int32_t has_pending;  // 0 or 1
  int32_t pending;
  int32_t reserved;
  uint64_t page_bytes;  // of all pages together
};
static_assert(std::is_trivially_copyable_v<Header> && sizeof(Header) == 80);

uint64_t FileBytes(const Header& header) {
  const uint64_t logits = header.has_logits != 0 ? static_cast<uint64_t>(header.vocabulary) : 0;
  return sizeof(Header) + 4 * (static_cast<uint64_t>(header.tokens) + logits) + header.page_bytes +
         sizeof(uint64_t);
}

Status Bad(const std::string& path, const std::string& what) {
  return {MLA_BAD_FILE, path + ": " + what};
}

std::string Hex(uint64_t number) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (size_t i = 0; i < 16; ++i) text[15 - i] = kDigits[number >> (4 * i) & 15];
  return text;
}

// Everything that can be told without the model.
Result<Header> CheckFile(const uint8_t* data, size_t size, const std::string& path) {
  Header header;
  if (size < sizeof header || std::memcmp(data, kMagic, sizeof kMagic) != 0) {
    return Bad(path, "is not a session file of mla4j");
  }
  std::memcpy(&header, data, sizeof header);
  if (header.version != kVersion) {
    return Bad(path, "is a session file of version " + std::to_string(header.version) +
                         ", this build reads version " + std::to_string(kVersion));
  }
  const bool counts = header.header_bytes == sizeof header && header.tokens >= 0 &&
                      header.cached >= 0 && header.cached <= header.tokens &&
                      header.vocabulary > 0 && header.page_bytes <= size;
  if (!counts) return Bad(path, "is damaged: its header contradicts itself");
  if (FileBytes(header) != size) {
    return Bad(path, "is damaged or was cut short: it has " + std::to_string(size) +
                         " bytes, its header tells of " + std::to_string(FileBytes(header)));
  }
  Checksum sum;
  sum.Add(data, size - sizeof(uint64_t));
  uint64_t expected;
  std::memcpy(&expected, data + size - sizeof expected, sizeof expected);
  if (sum.value() != expected) return Bad(path, "is damaged: its checksum does not fit");
  return header;
}

CacheOptions CacheOf(const Header& header) {
  CacheOptions cache;
  cache.latent = static_cast<CacheType>(header.latent);
  cache.rope = static_cast<CacheType>(header.rope);
  cache.group = header.group;
  cache.residual = header.residual;
  cache.sink = header.sink;
  return cache;
}

bool IsType(int32_t type) { return type >= MLA_CACHE_F32 && type <= MLA_CACHE_BF16; }

// A checksum shows damage, not intent: what follows must not rely on the values.
Status CheckAgainst(const Weights& weights, const Header& header, int32_t context,
                    const std::string& path) {
  const uint64_t fingerprint = Fingerprint(weights.file());
  if (header.fingerprint != fingerprint || header.vocabulary != weights.shape().vocabulary) {
    return {MLA_INVALID_ARGUMENT, path + ": is a session of another model (fingerprint " +
                                      Hex(header.fingerprint) + "), expected one of " +
                                      weights.file().name() + " (" + Hex(fingerprint) + ")"};
  }
  if (!IsType(header.latent) || !IsType(header.rope)) {
    return Bad(path, "is damaged: it names no known cache type");
  }
  if (header.tokens > context) {
    return {MLA_CONTEXT_FULL, path + ": has " + std::to_string(header.tokens) +
                                  " tokens, the context holds " + std::to_string(context)};
  }
  return Status::Ok();
}

// Fills a vector, and says where what follows begins.
template <class T>
const uint8_t* Copy(const uint8_t* from, std::vector<T>* to) {
  const size_t bytes = to->size() * sizeof(T);
  if (bytes > 0) std::memcpy(to->data(), from, bytes);
  return from + bytes;
}

class Writer {
 public:
  explicit Writer(std::unique_ptr<OutputFile> file) : file_(std::move(file)) {}

  // After an error nothing more is written.
  void Add(const void* data, uint64_t size) {
    if (!status_.ok()) return;
    sum_.Add(data, size);
    status_ = file_->Write(data, size);
  }
  Status Finish() {
    const uint64_t sum = sum_.value();
    if (status_.ok()) status_ = file_->Write(&sum, sizeof sum);
    return status_.ok() ? file_->Commit() : status_;
  }

 private:
  std::unique_ptr<OutputFile> file_;
  Checksum sum_;
  Status status_;
};

}  // namespace

Status WriteSession(const Weights& weights, const Decoder& decoder,
                    const std::vector<int32_t>& tokens, const float* logits,
                    const std::optional<int32_t>& pending, const std::string& path) {
  const CacheOptions& cache = decoder.options().cache;
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.header_bytes = sizeof header;
  header.fingerprint = Fingerprint(weights.file());
  header.latent = static_cast<int32_t>(cache.latent);
  header.rope = static_cast<int32_t>(cache.rope);
  header.group = cache.group;
  header.residual = cache.residual;
  header.sink = cache.sink;
  header.vocabulary = weights.shape().vocabulary;
  header.tokens = static_cast<int32_t>(tokens.size());
  header.cached = decoder.length();
  header.has_logits = logits != nullptr;
  header.has_pending = pending.has_value();
  header.pending = pending.value_or(0);
  header.page_bytes = static_cast<uint64_t>(decoder.cache_bytes());

  Result<std::unique_ptr<OutputFile>> file = OutputFile::Beside(path);
  if (!file.ok()) return file.status();
  Writer writer(std::move(file.value()));
  writer.Add(&header, sizeof header);
  writer.Add(tokens.data(), 4 * tokens.size());
  if (logits != nullptr) writer.Add(logits, 4 * static_cast<uint64_t>(header.vocabulary));
  const auto lock = decoder.Lock();
  const Status read = decoder.cache().ReadPages(
      [&](const uint8_t* page, int64_t bytes) { writer.Add(page, static_cast<uint64_t>(bytes)); });
  return read.ok() ? writer.Finish() : read;
}

Result<SessionState> ReadSession(std::shared_ptr<const Weights> weights,
                                 const DecoderOptions& options, const std::string& path) {
  Result<MappedFile> file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  return ReadSession(std::move(weights), options, file.value().data(), file.value().size(), path);
}

Result<SessionState> ReadSession(std::shared_ptr<const Weights> weights,
                                 const DecoderOptions& options, const uint8_t* data, size_t size,
                                 const std::string& path) {
  const Result<Header> checked = CheckFile(data, size, path);
  if (!checked.ok()) return checked.status();
  const Header& header = checked.value();
  if (Status s = CheckAgainst(*weights, header, options.context_length, path); !s.ok()) return s;

  SessionState state;
  const uint8_t* at = data + sizeof header;
  state.tokens.resize(static_cast<size_t>(header.tokens));
  at = Copy(at, &state.tokens);
  const int32_t vocabulary = header.vocabulary;
  auto is_token = [vocabulary](int32_t token) { return token >= 0 && token < vocabulary; };
  if (!std::all_of(state.tokens.begin(), state.tokens.end(), is_token) ||
      (header.has_pending != 0 && !is_token(header.pending))) {
    return Bad(path, "is damaged: a token is not in the vocabulary");
  }
  if (header.has_pending != 0) state.pending = header.pending;
  if (header.has_logits != 0) {
    state.logits.resize(static_cast<size_t>(vocabulary));
    at = Copy(at, &state.logits);
  }

  DecoderOptions decoder_options = options;
  decoder_options.cache = CacheOf(header);
  Result<std::unique_ptr<Decoder>> decoder = Decoder::Create(std::move(weights), decoder_options);
  if (!decoder.ok()) {
    return Status(decoder.status().code(), path + ": " + decoder.status().message());
  }
  const auto lock = decoder.value()->Lock();
  LatentCache& cache = decoder.value()->cache();
  if (Status s = cache.Restore(header.cached); !s.ok()) return s;
  if (static_cast<uint64_t>(cache.bytes()) != header.page_bytes) {
    return Bad(path, "is damaged: it has " + std::to_string(header.page_bytes) +
                         " bytes of cache, expected " + std::to_string(cache.bytes()) + " for " +
                         std::to_string(header.cached) + " tokens");
  }
  const Status filled = cache.FillPages([&at](uint8_t* page, int64_t bytes) {
    std::memcpy(page, at, static_cast<size_t>(bytes));
    at += bytes;
  });
  if (!filled.ok()) return filled;
  state.decoder = std::move(decoder.value());
  return state;
}

}  // namespace mla
