// mla_gpu_bench: what a GPU makes of attention and of whole models, beside its roofline, and
// whether models decode there as on the CPU. For machines without a JVM; every row is also a line
// of JSON in the file that --json names.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cache/cache_testing.h"
#include "cuda/cuda_stream.h"
#include "gguf/gguf_file.h"
#include "gpu_bench/attention_case.h"
#include "gpu_bench/bench_options.h"
#include "gpu_bench/decoding_case.h"
#include "gpu_bench/gpu_clock.h"
#include "gpu_bench/parity.h"
#include "gpu_bench/random_model.h"
#include "graph/decoder_testing.h"
#include "kernels/attention/attention_testing.h"
#include "mla/mla.h"

namespace mla {
namespace {

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "mla_gpu_bench: %s\n", message.c_str());
  std::exit(1);
}

template <typename T>
T Get(Result<T> result) {
  if (!result.ok()) Fail(result.status().message());
  return std::move(result.value());
}

std::string NameOf(const CacheOptions& cache) {
  const std::string name = NameOf(cache.latent);
  if (cache.residual == 0) return name;
  return name + " w" + std::to_string(cache.residual) + "+" + std::to_string(cache.sink);
}

bool Asked(const std::vector<int32_t>& list, int32_t number) {
  return std::find(list.begin(), list.end(), number) != list.end();
}

class Bench {
 public:
  explicit Bench(const GpuBenchOptions& options)
      : options_(options), stream_(Get(cuda::OpenStream(options.device))) {
    if (!options.json.empty()) {
      json_ = std::fopen(options.json.c_str(), "w");
      if (json_ == nullptr) Fail("cannot write " + options.json);
    }
    const cuda::Device device = Get(cuda::ListDevices())[static_cast<size_t>(options.device)];
    std::printf("%s, compute capability %d.%d, %d processors, %.1f GiB\n", device.name.c_str(),
                device.major, device.minor, stream_->processors(),
                static_cast<double>(device.memory_bytes) / (1 << 30));
    Json("{\"device\":\"%s\",\"capability\":\"%d.%d\"}", device.name.c_str(), device.major,
         device.minor);
  }
  ~Bench() {
    if (json_ != nullptr) std::fclose(json_);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // Bytes read and written a second, which all rows of speed are beside.
  void MeasureCopy() {
    constexpr int64_t kBytes = int64_t{1} << 30;
    void* from = stream_->Allocate(kBytes);
    void* to = stream_->Allocate(kBytes);
    if (from == nullptr || to == nullptr) Fail("the GPU has no 2 GiB left");
    const auto copy = [&] { stream_->Copy(to, from, kBytes); };
    const double seconds = Get(TimeOnGpu(*stream_, options_.seconds, copy, false));
    stream_->Free(from);
    stream_->Free(to);
    copy_ = 2.0 * kBytes / seconds;
    std::printf("copies %.0f GB/s\n\n", copy_ / 1e9);
    Json("{\"copy_bytes_per_second\":%.4g}", copy_);
  }

  // Whether all is as on the CPU.
  bool Check(const std::string& path) {
    const auto weights = Get(Weights::Load(Get(GgufFile::Open(path))));
    const int32_t threads = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
    const auto model = Get(GpuModel::Create(weights, stream_, cuda::kKernels, threads));
    const std::vector<int32_t> tokens =
        Tokens(std::min(options_.tokens, weights->shape().context), weights->shape().vocabulary, 1);
    std::printf("\n%s: %zu random tokens\n%-12s %6s %12s %9s %17s %7s\n", path.c_str(),
                tokens.size(), "cache", "chunk", "largest diff", "GPU error", "CPU errors",
                "top 1");
    bool ok = true;
    const auto report = [&](const Parity& p) {
      ok = ok && p.ok();
      std::printf("%-12s %6d %12.5f %9.5f %8.5f-%8.5f %6.1f%%%s\n", NameOf(p.cache).c_str(),
                  p.split, p.difference, p.gpu_error, p.least_cpu_error, p.most_cpu_error,
                  100 * p.top1, p.ok() ? "" : "  FAILED");
      std::fflush(stdout);
      Json(
          "{\"check\":\"%s\",\"cache\":\"%s\",\"chunk\":%d,\"difference\":%.4g,"
          "\"gpu_error\":%.4g,\"cpu_errors\":[%.4g,%.4g],\"top1\":%.4f,\"ok\":%s}",
          path.c_str(), NameOf(p.cache).c_str(), p.split, p.difference, p.gpu_error,
          p.least_cpu_error, p.most_cpu_error, p.top1, p.ok() ? "true" : "false");
    };
    const Status status = CompareWithCpu(weights, model, tokens, ParityCaches(), threads, report);
    if (!status.ok()) Fail(path + ": " + status.message());
    return ok;
  }

  void Attention() {
    using testing_attention::Kind;
    using testing_attention::MakeLayout;
    const std::pair<const char*, LayerLayout> shapes[] = {
        {"32 heads, latent 1024, rotary 32 x 16", MakeLayout(Kind::kJoint, 32, 1, 32, 16, 1024, 0)},
        {"9 heads, latent 88, rotary 32", MakeLayout(Kind::kJoint, 3, 3, 1, 32, 88, 0)},
        {"16 heads, latent 512, rotary 64", MakeLayout(Kind::kJoint, 16, 1, 1, 64, 512, 0)},
        {"128 heads, latent 512, rotary 64", MakeLayout(Kind::kJoint, 128, 1, 1, 64, 512, 0)}};
    std::printf("%-38s %-5s %5s %7s %10s %8s %7s %8s %6s\n", "attention", "cache", "batch",
                "context", "us", "GB/s", "of copy", "TFLOP/s", "x f16");
    for (const auto& [name, layout] : shapes) {
      if (!Asked(options_.heads, layout.heads)) continue;
      for (const int32_t batch : options_.batches) {
        for (const int32_t context : options_.contexts) {
          double f16 = 0;
          for (const CacheType type : options_.caches) {
            const AttentionCase one = {name, layout, Of(type), batch, context};
            const Result<double> seconds =
                TimeAttention(one, stream_, cuda::kKernels, options_.seconds);
            if (!seconds.ok()) {
              if (seconds.status().code() != MLA_OUT_OF_MEMORY) Fail(seconds.status().message());
              std::printf("%-38s %-5s %5d %7d   no memory\n", name, NameOf(type), batch, context);
              continue;
            }
            Row(one, NameOf(type), seconds.value(), type == CacheType::kF16 ? &f16 : nullptr, f16);
          }
        }
      }
    }
    std::printf("\n");
  }

  void Model(const std::string& path) {
    const auto file = Get(GgufFile::Open(path));
    const auto weights = Get(Weights::Load(file));
    const auto model = Get(GpuModel::Create(weights, stream_, cuda::kKernels, 8));
    const int32_t context = weights->shape().context;
    std::printf("%s: weights %.1f MiB\n%-5s %5s %7s %7s %-8s %12s %9s\n", path.c_str(),
                static_cast<double>(model->weight_bytes()) / (1 << 20), "cache", "batch", "depth",
                "prompt", "form", "tokens/s", "of copy");
    for (const CacheType type : options_.caches) {
      for (const int32_t prompt : options_.prompts) {
        for (const int32_t prefill : {MLA_PREFILL_ABSORBED, MLA_PREFILL_EXPANDED}) {
          if (prompt >= context) continue;
          Decode(path, {Of(type), 1, 0, prompt, 0, prefill}, weights, model, type);
        }
      }
      for (const int32_t batch : options_.batches) {
        for (const int32_t depth : options_.depths) {
          if (depth + 80 <= context) {
            Decode(path, {Of(type), batch, depth, 0, 64}, weights, model, type);
          }
        }
      }
      for (const int32_t tokens : options_.sessions) {
        const int32_t held = std::min(context, tokens);
        const int32_t sessions = Get(CountSessions(Of(type), held, weights, model));
        std::printf("%-5s holds %d sessions of %d tokens at once\n", NameOf(type), sessions, held);
        Json("{\"model\":\"%s\",\"cache\":\"%s\",\"context\":%d,\"sessions\":%d}", path.c_str(),
             NameOf(type), held, sessions);
      }
    }
    std::printf("\n");
  }

 private:
  template <typename... Values>
  void Json(const char* format, Values... values) {
    if (json_ == nullptr) return;
    std::fprintf(json_, format, values...);
    std::fputc('\n', json_);
    std::fflush(json_);
  }

  void Row(const AttentionCase& one, const char* type, double seconds, double* keep, double f16) {
    if (keep != nullptr) *keep = f16 = seconds;
    const double bytes = one.CacheBytes() / seconds, flops = 2 * one.MultiplyAdds() / seconds;
    std::printf("%-38s %-5s %5d %7d %10.1f %8.0f %6.0f%% %8.1f %6.2f\n", one.shape.c_str(), type,
                one.batch, one.context, seconds * 1e6, bytes / 1e9, 100 * bytes / copy_,
                flops / 1e12, f16 > 0 ? f16 / seconds : 0.0);
    std::fflush(stdout);
    Json(
        "{\"attention\":\"%s\",\"heads\":%d,\"rotary_groups\":%d,\"rotary\":%d,\"latent\":%d,"
        "\"cache\":\"%s\",\"batch\":%d,\"context\":%d,\"seconds\":%.4g,"
        "\"bytes_per_second\":%.4g,\"flops\":%.4g}",
        one.shape.c_str(), one.layout.heads, one.layout.rope_groups, one.layout.rope_dim,
        one.layout.latent, type, one.batch, one.context, seconds, bytes, flops);
  }

  void Decode(const std::string& path, const DecodingCase& one,
              const std::shared_ptr<const Weights>& weights, const std::shared_ptr<GpuModel>& model,
              CacheType type) {
    const Result<double> speed = TimeDecoding(one, weights, model);
    const char* form = one.prefill == MLA_PREFILL_EXPANDED ? "expanded" : "absorbed";
    if (!speed.ok()) {
      std::printf("%-5s %5d %7d %7d %-8s   %s\n", NameOf(type), one.batch, one.depth, one.prompt,
                  form, speed.status().message().c_str());
      return;
    }
    // What a step reads at least: weights once, every sequence's cache.
    const double cache = LatentCache::BytesPerToken(one.cache, weights->shape().cache_layouts, 0);
    const double bytes = static_cast<double>(model->weight_bytes()) + cache * one.depth * one.batch;
    const double share = one.prompt > 0 ? 0 : bytes * speed.value() / one.batch / copy_;
    std::printf("%-5s %5d %7d %7d %-8s %12.1f %8.0f%%\n", NameOf(type), one.batch, one.depth,
                one.prompt, form, speed.value(), 100 * share);
    std::fflush(stdout);
    Json(
        "{\"model\":\"%s\",\"cache\":\"%s\",\"batch\":%d,\"depth\":%d,\"prompt\":%d,"
        "\"form\":\"%s\",\"tokens_per_second\":%.5g}",
        path.c_str(), NameOf(type), one.batch, one.depth, one.prompt, form, speed.value());
  }

  const GpuBenchOptions options_;
  const std::shared_ptr<GpuStream> stream_;
  double copy_ = 0;
  std::FILE* json_ = nullptr;
};

// The exit status.
int Main(const GpuBenchOptions& options) {
  Bench bench(options);
  if (options.check) {
    bool ok = true;
    for (const std::string& model : options.models) ok = bench.Check(model) && ok;
    std::printf("\n%s\n", ok ? "all as on the CPU, within bounds" : "FAILED");
    return ok ? 0 : 1;
  }
  bench.MeasureCopy();
  if (options.attention) bench.Attention();
  for (const std::string& model : options.models) bench.Model(model);
  if (options.random_folder.empty()) return 0;
  for (const auto& [name, model] : {std::pair{"random-7b.gguf", kLlama2_7b},
                                    std::pair{"random-7b-mla.gguf", kLlama2_7bEighth}}) {
    const std::string path = options.random_folder + "/" + name;
    if (Status status = WriteRandomModel(model, path); !status.ok()) Fail(status.message());
    bench.Model(path);
    std::remove(path.c_str());
  }
  return 0;
}

}  // namespace
}  // namespace mla

int main(int count, char** words) {
  const auto options = mla::ReadGpuBenchOptions(count, words);
  if (!options.ok()) {
    mla::Fail(options.status().message() + "\n" + mla::GpuBenchUsage());
  }
  if (options.value().help) {
    std::fputs(mla::GpuBenchUsage(), stdout);
    return 0;
  }
  return mla::Main(options.value());
}
