#include "gpu_bench/bench_options.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>
#include <utility>

#include "mla/mla.h"

namespace mla {
namespace {

constexpr char kUsage[] =
    "mla_gpu_bench [--device N] [--seconds S] [--json FILE] [--attention] [--random-7b FOLDER]\n"
    "              [--check] [--tokens N] [MODEL.gguf...]\n"
    "  --attention         attention of one layer: shapes, caches, batches and contexts\n"
    "  --random-7b FOLDER  a 7B shape and its conversion to an eighth, written there, then "
    "decoded\n"
    "  MODEL.gguf          decoding and prompts of this model\n"
    "  --check             whether the models named decode as on the CPU instead, with every "
    "cache;\n"
    "                      exit status 1 where one does not. --tokens N: of so many (default 200)\n"
    "  --device N          the GPU (default 0); --seconds S: of a measurement (default 0.2)\n"
    "Fewer cases, where time is short; lists have commas, an empty one leaves the cases out:\n"
    "  --cache f16,int8,int4,int2  --batch 1,8,32,64,128\n"
    "  --heads 9,16,32,128  --context 1024,8192,32768,131072    of --attention\n"
    "  --depth 0,2048,8000,32000  --prompt 512,4096  --sessions 32768    of models: tokens "
    "before,\n"
    "                      of prompts, of each of as many sessions as the memory holds\n";

constexpr CacheType kTypes[] = {CacheType::kF32,  CacheType::kF16,  CacheType::kBf16,
                                CacheType::kInt8, CacheType::kInt4, CacheType::kInt2};

Status Wrong(const std::string& option, std::string_view value, const char* expected) {
  return Status(MLA_INVALID_ARGUMENT, option + " " + std::string(value) + ": expected " + expected);
}

template <typename T>
bool ReadNumber(std::string_view text, T* number) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && at == end && *number >= 0;
}

bool ReadCount(std::string_view text, int32_t* count) {
  return ReadNumber(text, count) && *count > 0;
}

bool ReadType(std::string_view text, CacheType* type) {
  for (const CacheType one : kTypes) {
    if (text != NameOf(one)) continue;
    *type = one;
    return true;
  }
  return false;
}

template <typename T>
bool ReadList(std::string_view text, bool (*read)(std::string_view, T*), std::vector<T>* list) {
  list->clear();
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (T one; read(text.substr(0, comma), &one)) {
      list->push_back(one);
    } else {
      return false;
    }
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return true;
}

}  // namespace

Result<GpuBenchOptions> ReadGpuBenchOptions(int count, const char* const* words) {
  GpuBenchOptions options;
  const std::pair<const char*, std::vector<int32_t>*> lists[] = {
      {"--batch", &options.batches},    {"--heads", &options.heads},
      {"--context", &options.contexts}, {"--depth", &options.depths},
      {"--prompt", &options.prompts},   {"--sessions", &options.sessions}};
  const std::pair<const char*, std::string*> texts[] = {{"--json", &options.json},
                                                        {"--random-7b", &options.random_folder}};
  const std::pair<const char*, bool*> flags[] = {{"--attention", &options.attention},
                                                 {"--check", &options.check},
                                                 {"--help", &options.help},
                                                 {"-h", &options.help}};
  const auto find = [](const auto& table, const std::string& word) {
    for (const auto& [name, place] : table) {
      if (word == name) return place;
    }
    return decltype(std::begin(table)->second){};
  };
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (bool* flag = find(flags, word)) {
      *flag = true;
      continue;
    }
    if (word.empty() || word[0] != '-') {
      options.models.push_back(word);
      continue;
    }
    if (i + 1 == count) {
      return Status(MLA_INVALID_ARGUMENT, word + ": unknown, or its value is missing");
    }
    const std::string_view value = words[++i];
    if (std::string* text = find(texts, word)) {
      *text = value;
    } else if (std::vector<int32_t>* list = find(lists, word)) {
      if (!ReadList(value, list == &options.depths ? ReadNumber<int32_t> : ReadCount, list)) {
        return Wrong(word, value, "numbers with commas between them");
      }
    } else if (word == "--cache") {
      if (!ReadList(value, ReadType, &options.caches)) {
        return Wrong(word, value, "f32, f16, int8, int4 or int2, with commas between them");
      }
    } else if (word == "--device") {
      if (!ReadNumber(value, &options.device)) return Wrong(word, value, "a GPU's number");
    } else if (word == "--tokens") {
      if (!ReadNumber(value, &options.tokens) || options.tokens == 0) {
        return Wrong(word, value, "a number of at least 1");
      }
    } else if (word == "--seconds") {
      if (!ReadNumber(value, &options.seconds)) return Wrong(word, value, "a number of seconds");
    } else {
      return Status(MLA_INVALID_ARGUMENT, "unknown option " + word);
    }
  }
  for (const int32_t heads : options.heads) {
    const std::vector<int32_t> known = GpuBenchOptions().heads;
    if (std::find(known.begin(), known.end(), heads) == known.end()) {
      return Wrong("--heads", std::to_string(heads), "9, 16, 32 or 128, as shapes have them");
    }
  }
  if (options.check && options.models.empty()) {
    return Status(MLA_INVALID_ARGUMENT, "--check: expected models");
  }
  return options;
}

const char* GpuBenchUsage() { return kUsage; }

const char* NameOf(CacheType type) {
  switch (type) {
    case CacheType::kF16:
      return "f16";
    case CacheType::kBf16:
      return "bf16";
    case CacheType::kInt8:
      return "int8";
    case CacheType::kInt4:
      return "int4";
    case CacheType::kInt2:
      return "int2";
    default:
      return "f32";
  }
}

}  // namespace mla
