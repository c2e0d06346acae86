// The decoder on the GPU: against plain loops in double precision, and against the CPU's
// decoder where caches are quantized.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "cache/cache_testing.h"
#include "cuda/gpu_testing.h"
#include "graph/batch_decoder.h"
#include "graph/decoder.h"
#include "graph/decoder_testing.h"
#include "graph/gpu_model.h"
#include "mla/mla.h"

namespace mla {
namespace {

// The rounding of rows and queries to halves, through two layers.
constexpr double kTolerance = 0.05;

std::shared_ptr<const Weights> Load(const TinyShape& shape, uint32_t seed) {
  Result<std::shared_ptr<const Weights>> weights = Weights::Load(TinyModel(shape, seed).File());
  EXPECT_TRUE(weights.ok()) << weights.status().message();
  return weights.value();
}

struct Gpu {
  explicit Gpu(std::shared_ptr<const Weights> of, Emulator::Order order = Emulator::Order::kForward)
      : weights(std::move(of)), stream(std::make_shared<TestGpu>(order)) {
    Result<std::shared_ptr<GpuModel>> created =
        GpuModel::Create(weights, stream, tested::Kernels(), 1);
    EXPECT_TRUE(created.ok()) << created.status().message();
    model = created.value();
  }

  DecoderOptions Options(const CacheOptions& cache, int32_t context,
                         int32_t prefill = MLA_PREFILL_AUTO) const {
    DecoderOptions options;
    options.prefill = prefill;
    options.gpu = model;
    options.context_length = context;
    options.activations = Activations::kFine;
    options.cache = cache;
    return options;
  }

  std::unique_ptr<Decoder> NewDecoder(const CacheOptions& cache, int32_t context = 256,
                                      int32_t prefill = MLA_PREFILL_AUTO) const {
    return Create(Options(cache, context, prefill));
  }
  // Of the same weights on the CPU.
  std::unique_ptr<Decoder> OnCpu(const CacheOptions& cache, int32_t context = 256) const {
    DecoderOptions options = Options(cache, context);
    options.gpu = nullptr;
    return Create(options);
  }
  std::unique_ptr<Decoder> Create(const DecoderOptions& options) const {
    Result<std::unique_ptr<Decoder>> decoder = Decoder::Create(weights, options);
    EXPECT_TRUE(decoder.ok()) << decoder.status().message();
    return std::move(decoder.value());
  }

  const std::shared_ptr<const Weights> weights;
  const std::shared_ptr<TestGpu> stream;
  std::shared_ptr<GpuModel> model;
};

std::vector<float> Logits(Decoder& decoder, const std::vector<int32_t>& tokens, int32_t begin,
                          int32_t count, int32_t vocabulary) {
  std::vector<float> logits(static_cast<size_t>(count) * static_cast<size_t>(vocabulary));
  const Status status = decoder.Append(tokens.data() + begin, count, Decoder::Output::kAll,
                                       logits.data(), nullptr, kGoOn);
  EXPECT_TRUE(status.ok()) << status.message();
  return logits;
}

// All positions, `split` tokens at a time.
std::vector<float> AllLogits(Decoder& decoder, const std::vector<int32_t>& tokens, int32_t split,
                             int32_t vocabulary) {
  const int32_t n = static_cast<int32_t>(tokens.size());
  std::vector<float> all;
  for (int32_t done = 0; done < n; done += split) {
    const std::vector<float> part =
        Logits(decoder, tokens, done, std::min(split, n - done), vocabulary);
    all.insert(all.end(), part.begin(), part.end());
  }
  EXPECT_EQ(decoder.length(), n);
  return all;
}

// By the kernels of many rows, of a few, and of one, which is recorded; prompts in both forms.
void ExpectParity(const TinyShape& shape, uint32_t seed, int32_t n = 13) {
  const std::vector<int32_t> tokens = Tokens(n, shape.vocabulary, seed);
  const std::vector<std::vector<double>> expected = TinyModel(shape, seed).Forward(tokens);
  const Gpu gpu(Load(shape, seed));
  for (const int32_t prefill : {MLA_PREFILL_ABSORBED, MLA_PREFILL_EXPANDED}) {
    const std::unique_ptr<Decoder> decoder = gpu.NewDecoder(Of(CacheType::kF32), n, prefill);
    for (int32_t split : {n, 5, 1}) {
      if (split == 1 && prefill == MLA_PREFILL_EXPANDED) continue;
      decoder->Rewind(0);
      EXPECT_LT(Difference(expected, AllLogits(*decoder, tokens, split, shape.vocabulary)),
                kTolerance)
          << split << " at a time, prefill " << prefill;
    }
  }
}

TEST(DecoderGpu, PlainFamilies) {
  for (const char* family : {"llama", "qwen2", "qwen3"}) {
    SCOPED_TRACE(family);
    ExpectParity(Plain(family), 1);
  }
}

class ConvertedGpu : public testing::TestWithParam<Compression> {};

TEST_P(ConvertedGpu, HeadsOfTheirOwn) {
  for (const bool after : {false, true}) {
    SCOPED_TRACE(after);
    TinyShape shape = Plain(after ? "qwen3" : "qwen2");
    shape.compression = GetParam();
    shape.rope_dim = 6;
    shape.norm_after_rope = after;
    ExpectParity(shape, 2);
  }
}

TEST_P(ConvertedGpu, LayersOfUnlikeSizes) {
  TinyShape shape;
  shape.compression = GetParam();
  shape.heads = 6;
  shape.kv_heads = 3;
  shape.layers = 4;
  shape.unlike = {{.rope_dim = 10, .rope_groups = 1, .rank = 9, .nope_dim = 16},
                  {.rope_dim = 0, .rope_groups = 1, .rank = 40, .nope_dim = 16},
                  {.rope_dim = 6, .rope_groups = 3, .rank = 17, .nope_dim = -1},
                  {.rope_dim = 2, .rope_groups = 1, .rank = 1, .nope_dim = 33}};
  ExpectParity(shape, 40, 12);
}

TEST_P(ConvertedGpu, WholeHeadsNormedBeforeTheSplit) {
  for (int rope_dim : {0, 10}) {
    SCOPED_TRACE(rope_dim);
    TinyShape shape;
    shape.compression = GetParam();
    shape.family = "qwen3";
    shape.whole_norms = true;
    shape.rope_groups = 1;
    shape.rope_dim = rope_dim;
    shape.heads = 6;
    shape.kv_heads = 3;
    shape.biases = rope_dim == 10;
    ExpectParity(shape, 60, 12);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ConvertedGpu,
                         testing::Values(Compression::kJoint, Compression::kSplit,
                                         Compression::kOnlyKey, Compression::kOnlyValue,
                                         Compression::kNone));

TinyShape Joint() {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.rope_groups = 1;
  shape.rope_dim = 10;
  shape.nope_dim = 16;
  shape.rank = 40;
  return shape;
}

TEST(DecoderGpu, SlidingWindow) {
  TinyShape shape = Joint();
  shape.window = 5;
  ExpectParity(shape, 7);
}

// The root of the mean square over several texts.
struct Errors {
  double squares = 0, count = 0;

  void Add(const std::vector<std::vector<double>>& expected, const std::vector<float>& found) {
    const size_t vocabulary = expected[0].size();
    for (size_t i = 0; i < found.size(); ++i) {
      const double difference = expected[i / vocabulary][i % vocabulary] - found[i];
      squares += difference * difference;
    }
    count += static_cast<double>(found.size());
  }
  double RootMeanSquare() const { return std::sqrt(squares / count); }
};

// Rounding to few bits is the error, and the CPU's and the GPU's rows are rounded by the same
// steps: an element beside a border falls to either side, but over many tokens both are as far from
// the formula.
TEST(DecoderGpu, EveryCacheIsAsFarFromTheFormulaAsTheCpus) {
  const TinyShape shape = Joint();
  const Gpu gpu(Load(shape, 3));
  std::vector<std::vector<int32_t>> texts;
  std::vector<std::vector<std::vector<double>>> formula;
  for (const uint32_t seed : {3u, 4u, 5u}) {
    texts.push_back(Tokens(90, shape.vocabulary, seed));
    formula.push_back(TinyModel(shape, 3).Forward(texts.back()));
  }
  const auto error = [&](Decoder& decoder) {
    Errors errors;
    for (size_t i = 0; i < texts.size(); ++i) {
      decoder.Rewind(0);
      errors.Add(formula[i], AllLogits(decoder, texts[i], 66, shape.vocabulary));
    }
    return errors.RootMeanSquare();
  };
  for (const CacheOptions& cache :
       {Of(CacheType::kInt8), Of(CacheType::kInt4), Of(CacheType::kInt2),
        Of(CacheType::kInt4, 20, 4), Of(CacheType::kInt2, 70, 2)}) {
    SCOPED_TRACE(testing::Message()
                 << static_cast<int>(cache.latent) << " window " << cache.residual);
    const std::unique_ptr<Decoder> cpu = gpu.OnCpu(cache);
    const double on_cpu = error(*cpu);
    for (const int32_t prefill : {MLA_PREFILL_ABSORBED, MLA_PREFILL_EXPANDED}) {
      const std::unique_ptr<Decoder> decoder = gpu.NewDecoder(cache, 256, prefill);
      const double on_gpu = error(*decoder);
      EXPECT_LT(on_gpu, 1.05 * on_cpu) << "on the CPU " << on_cpu << ", prefill " << prefill;
      EXPECT_GT(on_gpu, 0.95 * on_cpu) << "on the CPU " << on_cpu << ", prefill " << prefill;
      EXPECT_EQ(cpu->cache_bytes(), decoder->cache_bytes());
    }
  }
}

TEST(DecoderGpu, OrderOfThreadsDoesNotMatter) {
  const TinyShape shape = Joint();
  const std::vector<int32_t> tokens = Tokens(20, shape.vocabulary, 4);
  for (const int32_t prefill : {MLA_PREFILL_ABSORBED, MLA_PREFILL_EXPANDED}) {
    std::vector<std::vector<float>> found;
    for (const Emulator::Order order : kOrders) {
      const Gpu gpu(Load(shape, 4), order);
      found.push_back(AllLogits(*gpu.NewDecoder(Of(CacheType::kInt4, 8, 2), 256, prefill), tokens,
                                10, shape.vocabulary));
    }
    EXPECT_EQ(found[0], found[1]) << prefill;
    EXPECT_EQ(found[0], found[2]) << prefill;
  }
}

// Of a wide latent the expanded form is cheaper for many tokens, of a narrow one for none.
TEST(DecoderGpu, AutoTakesTheCheaperFormOfPrompts) {
  TinyShape wide = Joint(), narrow = Joint();
  wide.layers = narrow.layers = 1;
  wide.rank = 100;
  narrow.rank = 8;
  for (const TinyShape& shape : {wide, narrow}) {
    const Gpu gpu(Load(shape, 12));
    const std::vector<int32_t> tokens = Tokens(40, shape.vocabulary, 12);
    const auto logits = [&](int32_t prefill, int32_t n) {
      return Logits(*gpu.NewDecoder(Of(CacheType::kF16), 256, prefill), tokens, 0, n,
                    shape.vocabulary);
    };
    for (const int32_t n : {20, 40}) {
      const bool expands = shape.rank == wide.rank && n == 40;
      const std::vector<float> chosen = logits(MLA_PREFILL_AUTO, n);
      EXPECT_EQ(chosen == logits(MLA_PREFILL_EXPANDED, n), expands) << shape.rank << ' ' << n;
      EXPECT_EQ(chosen == logits(MLA_PREFILL_ABSORBED, n), !expands) << shape.rank << ' ' << n;
    }
  }
}

TEST(DecoderGpu, ScoresAreLogProbabilities) {
  const TinyShape shape = Joint();
  const Gpu gpu(Load(shape, 5));
  const int32_t n = 70;
  const std::vector<int32_t> tokens = Tokens(n, shape.vocabulary, 5);
  std::vector<float> last(static_cast<size_t>(shape.vocabulary)), other = last;
  std::vector<float> found(n - 1), expected(n - 1);
  const auto score = [&](Decoder& decoder, std::vector<float>& logits, std::vector<float>& scores) {
    return decoder
        .Append(tokens.data(), n, Decoder::Output::kScores, logits.data(), scores.data(), kGoOn)
        .ok();
  };
  ASSERT_TRUE(score(*gpu.NewDecoder(Of(CacheType::kF16)), last, found));
  ASSERT_TRUE(score(*gpu.OnCpu(Of(CacheType::kF16)), other, expected));
  EXPECT_LT(Largest(found, expected), kTolerance);
  EXPECT_LT(Largest(last, other), kTolerance);
}

// Forked, rewound and anew: the same tokens give the same logits.
TEST(DecoderGpu, ForksAndRewindsGoOnAsIfNothingHadBeen) {
  const TinyShape shape = Joint();
  const Gpu gpu(Load(shape, 6));
  const std::vector<int32_t> tokens = Tokens(80, shape.vocabulary, 6);
  const CacheOptions cache = Of(CacheType::kInt4, 10, 2);
  const auto after = [&](Decoder& decoder, int32_t begin) {
    return Logits(decoder, tokens, begin, 1, shape.vocabulary);
  };
  const std::unique_ptr<Decoder> decoder = gpu.NewDecoder(cache);
  Logits(*decoder, tokens, 0, 70, shape.vocabulary);
  const std::unique_ptr<Decoder> fork = decoder->Fork();
  const std::vector<float> expected = after(*decoder, 70);
  // The fork goes elsewhere first, and comes back.
  after(*fork, 75);
  after(*fork, 76);
  ASSERT_TRUE(fork->Rewind(70));
  EXPECT_EQ(after(*fork, 70), expected);
  after(*decoder, 71);
  ASSERT_TRUE(decoder->Rewind(70));
  EXPECT_EQ(after(*decoder, 70), expected);
}

TEST(DecoderGpu, SequencesOfAStepAreAsAlone) {
  const TinyShape shape = Joint();
  const Gpu gpu(Load(shape, 8));
  const std::vector<int32_t> tokens = Tokens(90, shape.vocabulary, 8);
  const CacheOptions caches[] = {Of(CacheType::kF16), Of(CacheType::kInt4, 10, 2)};
  std::vector<std::unique_ptr<Decoder>> together, alone;
  for (int32_t i = 0; i < 5; ++i) {
    for (auto* decoders : {&together, &alone}) {
      decoders->push_back(i == 3 ? gpu.OnCpu(caches[0]) : gpu.NewDecoder(caches[i % 2]));
      Logits(*decoders->back(), tokens, 0, 1 + i * 17, shape.vocabulary);
    }
  }
  BatchDecoder batch(gpu.weights, 5, 1);
  for (int32_t step = 0; step < 3; ++step) {
    std::vector<BatchDecoder::Row> rows;
    for (int32_t i = 0; i < 5; ++i) {
      rows.push_back(
          {together[static_cast<size_t>(i)].get(), tokens[static_cast<size_t>(i + step)], &kGoOn});
    }
    batch.Append(rows);
    for (int32_t i = 0; i < 5; ++i) {
      SCOPED_TRACE(testing::Message() << "step " << step << ", sequence " << i);
      const BatchDecoder::Row& row = rows[static_cast<size_t>(i)];
      ASSERT_TRUE(row.status.ok()) << row.status.message();
      std::vector<float> expected(static_cast<size_t>(shape.vocabulary));
      ASSERT_TRUE(
          alone[static_cast<size_t>(i)]
              ->Append(&row.token, 1, Decoder::Output::kLast, expected.data(), nullptr, kGoOn)
              .ok());
      EXPECT_EQ(std::vector<float>(row.logits, row.logits + shape.vocabulary), expected);
    }
  }
}

// Single tokens are launched once, then recorded and repeated; all logits of a token never are.
TEST(DecoderGpu, ARecordedStepIsTheSameStep) {
  const TinyShape shape = Joint();
  const Gpu gpu(Load(shape, 9));
  const std::vector<int32_t> tokens = Tokens(70, shape.vocabulary, 9);
  for (const CacheOptions& cache : {Of(CacheType::kInt8), Of(CacheType::kInt4, 3, 1)}) {
    const std::unique_ptr<Decoder> launched = gpu.NewDecoder(cache),
                                   recorded = gpu.NewDecoder(cache);
    // To the end of a page, so that the next step finds another one in its table.
    for (const auto* decoder : {&launched, &recorded}) {
      Logits(**decoder, tokens, 0, 61, shape.vocabulary);
    }
    for (int32_t i = 61; i < 68; ++i) {
      std::vector<float> found(static_cast<size_t>(shape.vocabulary));
      ASSERT_TRUE(
          recorded
              ->Append(tokens.data() + i, 1, Decoder::Output::kLast, found.data(), nullptr, kGoOn)
              .ok());
      EXPECT_EQ(found, Logits(*launched, tokens, i, 1, shape.vocabulary)) << "token " << i;
    }
  }
}

TEST(DecoderGpu, ScratchOfAnExpandedContextIsReported) {
  const TinyShape shape = Joint();
  const Gpu gpu(Load(shape, 13));
  const std::unique_ptr<Decoder> decoder =
      gpu.NewDecoder(Of(CacheType::kF16), 256, MLA_PREFILL_EXPANDED);
  const std::vector<int32_t> tokens = Tokens(70, shape.vocabulary, 13);
  const int64_t before = decoder->workspace_bytes();
  std::vector<float> logits(static_cast<size_t>(shape.vocabulary));
  const auto append = [&](int32_t begin, int32_t n) {
    return decoder->Append(tokens.data() + begin, n, Decoder::Output::kLast, logits.data(), nullptr,
                           kGoOn);
  };
  ASSERT_TRUE(append(0, 64).ok());
  // Halves of keys and values of all KV heads, latents besides.
  const int64_t first = decoder->workspace_bytes() - before;
  EXPECT_GE(first, 64 * (shape.kv_heads * (32 + 16) * 2 + shape.rank * 4));
  ASSERT_TRUE(append(64, 6).ok());
  EXPECT_GT(decoder->workspace_bytes() - before, first) << "of a second tile";
}

TEST(DecoderGpu, NoMemoryForTheWeightsIsSaid) {
  const std::shared_ptr<const Weights> weights = Load(Joint(), 10);
  const auto stream = std::make_shared<TestGpu>(Emulator::Order::kForward, 1000);
  const auto model = GpuModel::Create(weights, stream, tested::Kernels(), 1);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), MLA_OUT_OF_MEMORY);
  EXPECT_NE(model.status().message().find("weights"), std::string::npos)
      << model.status().message();
}

TEST(DecoderGpu, AFullContextAndCancellationLeaveTheSequence) {
  const TinyShape shape = Joint();
  const Gpu gpu(Load(shape, 11));
  const std::unique_ptr<Decoder> decoder = gpu.NewDecoder(Of(CacheType::kF16), 12);
  const std::vector<int32_t> tokens = Tokens(13, shape.vocabulary, 11);
  std::vector<float> logits(static_cast<size_t>(shape.vocabulary));
  Logits(*decoder, tokens, 0, 10, shape.vocabulary);
  const auto append = [&](int32_t count, const std::atomic<bool>& cancel) {
    return decoder->Append(tokens.data() + 10, count, Decoder::Output::kLast, logits.data(),
                           nullptr, cancel);
  };
  EXPECT_EQ(append(3, kGoOn).code(), MLA_CONTEXT_FULL);
  EXPECT_EQ(append(2, true).code(), MLA_CANCELLED);
  EXPECT_EQ(decoder->length(), 10);
  EXPECT_TRUE(append(2, kGoOn).ok());
  EXPECT_EQ(decoder->length(), 12);
}

}  // namespace
}  // namespace mla
