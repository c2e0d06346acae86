// Sessions whose tokens the GPU under test chooses, against sessions that sample on the host from
// the same logits: a bias of nothing is enough for the host to do it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cache/cache_testing.h"
#include "cuda/gpu_testing.h"
#include "graph/decoder_testing.h"
#include "graph/gpu_model.h"
#include "runtime/batch.h"
#include "runtime/session.h"

namespace mla {
namespace {

TinyShape Shape() {
  TinyShape shape;
  shape.compression = Compression::kJoint;
  shape.rope_dim = 4;
  shape.rank = 12;
  return shape;
}

SamplerOptions Sampled(float temperature, uint64_t seed) {
  SamplerOptions options;
  options.temperature = temperature;
  options.top_k = seed % 2 == 0 ? 20 : 0;
  options.top_p = seed % 3 == 0 ? 0.9f : 1.0f;
  options.seed = seed;
  return options;
}

SamplerOptions OnHost(SamplerOptions options) {
  options.bias = {{0, 0.0f}};
  return options;
}

struct Machine {
  Machine() {
    weights = Weights::Load(TinyModel(Shape(), 3).File()).value();
    model = GpuModel::Create(weights, std::make_shared<TestGpu>(), tested::Kernels(), 1).value();
  }
  DecoderOptions Options(const CacheOptions& cache, int32_t context) const {
    DecoderOptions options;
    options.gpu = model;
    options.context_length = context;
    options.cache = cache;
    return options;
  }
  std::shared_ptr<Session> NewSession(const CacheOptions& cache = Of(CacheType::kF16),
                                      int32_t context = 200) const {
    return Session::Create(weights, Options(cache, context)).value();
  }

  std::shared_ptr<const Weights> weights;
  std::shared_ptr<GpuModel> model;
};

// The same session twice: one's tokens are chosen by the GPU, the other's by the host.
struct Pair {
  std::shared_ptr<Session> gpu, host;

  void SetSampler(const SamplerOptions& options) const {
    ASSERT_TRUE(gpu->SetSampler(options).ok());
    ASSERT_TRUE(host->SetSampler(OnHost(options)).ok());
  }
  void Append(const std::vector<int32_t>& tokens) const {
    const int32_t n = static_cast<int32_t>(tokens.size());
    ASSERT_TRUE(gpu->Append(tokens.data(), n).ok());
    ASSERT_TRUE(host->Append(tokens.data(), n).ok());
  }
  void Next(int count = 1) const {
    for (int i = 0; i < count; ++i) {
      float on_gpu = 0, on_host = 0;
      const Result<int32_t> found = gpu->Next(&on_gpu), expected = host->Next(&on_host);
      ASSERT_EQ(found.ok(), expected.ok()) << found.status().message();
      if (!found.ok()) {
        ASSERT_EQ(found.status().code(), expected.status().code());
        continue;
      }
      ASSERT_EQ(found.value(), expected.value());
      ASSERT_NEAR(on_gpu, on_host, 1e-5);
    }
  }
  void ExpectSameLogits() const {
    const int32_t vocabulary = Shape().vocabulary;
    std::vector<float> found(static_cast<size_t>(vocabulary)), expected = found;
    const Status status = gpu->Logits(found.data(), vocabulary);
    ASSERT_EQ(status.ok(), host->Logits(expected.data(), vocabulary).ok()) << status.message();
    ASSERT_EQ(found, expected);
  }
  void Rewind(int32_t by) const {
    const int32_t length = gpu->Length().value();
    ASSERT_EQ(length, host->Length().value());
    ASSERT_TRUE(gpu->Rewind(std::max(0, length - by)).ok());
    ASSERT_TRUE(host->Rewind(std::max(0, length - by)).ok());
  }
};

Pair NewPair(const Machine& machine, const CacheOptions& cache, int32_t context = 200) {
  Pair pair = {machine.NewSession(cache, context), machine.NewSession(cache, context)};
  pair.SetSampler({});
  return pair;
}

TEST(ChoosingGpu, TokensAreThoseOfTheHost) {
  const Machine machine;
  for (const CacheOptions& cache : {Of(CacheType::kF16), Of(CacheType::kInt4, 6, 2)}) {
    for (const float temperature : {0.0f, 0.8f, 2.0f}) {
      const Pair pair = NewPair(machine, cache);
      pair.SetSampler(Sampled(temperature, 5));
      pair.Append(Tokens(60, Shape().vocabulary, 1));
      pair.Next(8);
      pair.ExpectSameLogits();
    }
  }
}

TEST(ChoosingGpu, LogitsStayOnTheGpu) {
  const Machine machine;
  const std::shared_ptr<Session> session = machine.NewSession();
  const std::vector<int32_t> tokens = Tokens(5, Shape().vocabulary, 1);
  ASSERT_TRUE(session->Append(tokens.data(), 5).ok());
  const int64_t before = session->MemoryUse().value().workspace_bytes;
  ASSERT_TRUE(session->Next(nullptr).ok());
  EXPECT_EQ(session->MemoryUse().value().workspace_bytes, before);
  ASSERT_TRUE(session->Next(nullptr).ok());
  EXPECT_GE(session->MemoryUse().value().workspace_bytes, before + 2 * 4 * Shape().vocabulary);
}

// Whatever comes between two tokens: what the GPU has begun for the next one counts for nothing.
TEST(ChoosingGpu, AnythingMayComeBetween) {
  const Machine machine;
  const std::string file = testing::TempDir() + "choosing_gpu_test.mlas";
  for (const CacheOptions& cache : {Of(CacheType::kInt8), Of(CacheType::kInt4, 6, 2)}) {
    std::mt19937 random(7);
    Pair pair = NewPair(machine, cache);
    const auto seed = [&] { return static_cast<uint64_t>(random() % 100); };
    pair.Append(Tokens(60, Shape().vocabulary, 1));
    for (int turn = 0; turn < 24; ++turn) {
      const uint32_t what = random() % 9;
      SCOPED_TRACE(testing::Message() << "turn " << turn << ", " << what);
      switch (what) {
        case 0:
          pair.Append(Tokens(1 + static_cast<int>(random() % 5), Shape().vocabulary, turn));
          break;
        case 1:
          pair.Rewind(1 + static_cast<int32_t>(random() % 4));
          pair.Append(Tokens(1, Shape().vocabulary, turn));
          break;
        case 2: {
          const Pair fork = {pair.gpu->Fork().value(), pair.host->Fork().value()};
          fork.Next(3);
          pair.Next(2);
          if (random() % 2 == 0) pair = fork;
          break;
        }
        case 3: {
          ASSERT_TRUE(pair.gpu->Save(file).ok());
          Result<std::shared_ptr<Session>> restored =
              Session::Restore(machine.weights, machine.Options(cache, 200), file);
          ASSERT_TRUE(restored.ok()) << restored.status().message();
          pair.gpu = restored.value();
          pair.SetSampler(Sampled(1, seed()));
          break;
        }
        case 4:
          pair.SetSampler(Sampled(random() % 2 == 0 ? 0.0f : 1.3f, seed()));
          break;
        case 5: {
          const Result<int32_t> found = pair.gpu->Sample(nullptr),
                                expected = pair.host->Sample(nullptr);
          ASSERT_EQ(found.value(), expected.value());
          break;
        }
        case 6:
          pair.gpu->Cancel();
          pair.host->Cancel();
          ASSERT_EQ(pair.gpu->Next(nullptr).status().code(), MLA_CANCELLED);
          ASSERT_EQ(pair.host->Next(nullptr).status().code(), MLA_CANCELLED);
          break;
        case 7:
          pair.ExpectSameLogits();
          break;
        default:
          pair.Next(3);
      }
      if (testing::Test::HasFatalFailure()) return;
      if (pair.gpu->Length().value() > 180) pair.Rewind(120);
      if (pair.gpu->Length().value() < 20) pair.Append(Tokens(30, Shape().vocabulary, turn));
      pair.Next(static_cast<int>(random() % 4));
    }
  }
  std::remove(file.c_str());
}

// A page that the GPU is ahead with is none of the sequence's.
TEST(ChoosingGpu, FilesAndForksHaveNothingOfWhatIsAhead) {
  const Machine machine;
  const std::string file = testing::TempDir() + "choosing_gpu_test_page.mlas";
  for (const CacheOptions& cache : {Of(CacheType::kInt8), Of(CacheType::kInt4, 6, 2)}) {
    const Pair pair = NewPair(machine, cache);
    pair.Append(Tokens(61, Shape().vocabulary, 1));
    pair.Next(4);
    ASSERT_EQ(pair.gpu->Length().value(), 64);
    ASSERT_TRUE(pair.gpu->Save(file).ok());
    Result<std::shared_ptr<Session>> restored =
        Session::Restore(machine.weights, machine.Options(cache, 200), file);
    ASSERT_TRUE(restored.ok()) << restored.status().message();
    const int64_t bytes = pair.host->MemoryUse().value().cache_bytes;
    EXPECT_EQ(restored.value()->MemoryUse().value().cache_bytes, bytes);
    EXPECT_EQ(pair.gpu->MemoryUse().value().cache_bytes, bytes);
    EXPECT_EQ(pair.gpu->Fork().value()->MemoryUse().value().cache_bytes, bytes);
    pair.Next(2);
  }
  std::remove(file.c_str());
}

TEST(ChoosingGpu, TheContextEndsWhereItEnds) {
  const Machine machine;
  const Pair pair = NewPair(machine, Of(CacheType::kInt4, 6, 2), 70);
  pair.Append(Tokens(60, Shape().vocabulary, 2));
  pair.Next(15);
  EXPECT_EQ(pair.gpu->Length().value(), 70);
  EXPECT_EQ(pair.gpu->Next(nullptr).status().code(), MLA_CONTEXT_FULL);
  pair.ExpectSameLogits();
  pair.Rewind(2);
  pair.Append(Tokens(1, Shape().vocabulary, 3));
  pair.Next(3);
}

// Sessions that stream alone and in steps of many, in turns, some of them sampled on the host.
TEST(ChoosingGpu, BatchesChooseToo) {
  const Machine machine;
  std::vector<Pair> pairs;
  for (int i = 0; i < 4; ++i) {
    pairs.push_back(NewPair(machine, i == 3 ? Of(CacheType::kF16) : Of(CacheType::kInt4, 6, 2)));
    pairs.back().SetSampler(Sampled(i == 0 ? 0.0f : 1.1f, static_cast<uint64_t>(i)));
    pairs.back().Append(Tokens(5 + 20 * i, Shape().vocabulary, static_cast<uint32_t>(i)));
  }
  ASSERT_TRUE(pairs[2].gpu->SetSampler(OnHost(Sampled(1.1f, 2))).ok());
  BatchOptions options;
  options.max_sessions = 4;
  const std::shared_ptr<Batch> batch = Batch::Create(machine.weights, options).value();
  std::vector<Batch::Turn> turns;
  for (const Pair& pair : pairs) turns.push_back({pair.gpu, Status::Ok()});
  for (int step = 0; step < 8; ++step) {
    ASSERT_TRUE(batch->Next(turns).ok());
    for (size_t i = 0; i < turns.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "step " << step << ", session " << i);
      float log_probability = 0;
      const Result<int32_t> expected = pairs[i].host->Next(&log_probability);
      ASSERT_TRUE(turns[i].status.ok()) << turns[i].status.message();
      ASSERT_EQ(turns[i].token, expected.value());
      ASSERT_NEAR(turns[i].log_probability, log_probability, 1e-5);
      if (step % 3 == 1) pairs[i].Next(2);
      if (step % 3 == 2) pairs[i].ExpectSameLogits();
    }
  }
}

TEST(ChoosingGpu, AProfiledBatchRefusesSessionsOnAGpuAlone) {
  const Machine machine;
  const Pair pair = NewPair(machine, Of(CacheType::kF16));
  pair.SetSampler(Sampled(0, 0));
  pair.Append(Tokens(5, Shape().vocabulary, 1));
  DecoderOptions on_cpu = machine.Options(Of(CacheType::kF16), 200);
  on_cpu.gpu = nullptr;
  const std::shared_ptr<Session> other = Session::Create(machine.weights, on_cpu).value();
  const std::vector<int32_t> tokens = Tokens(5, Shape().vocabulary, 1);
  ASSERT_TRUE(other->Append(tokens.data(), 5).ok());
  const std::shared_ptr<Batch> batch = Batch::Create(machine.weights, {}).value();
  batch->SetProfiling(true);
  std::vector<Batch::Turn> turns = {{pair.gpu, Status::Ok()}, {other, Status::Ok()}};
  for (int step = 0; step < 2; ++step) {
    ASSERT_TRUE(batch->Next(turns).ok());
    EXPECT_EQ(turns[0].status.code(), MLA_UNSUPPORTED);
    EXPECT_EQ(turns[0].token, -1);
    EXPECT_TRUE(turns[1].status.ok()) << turns[1].status.message();
  }
  EXPECT_EQ(batch->ProfileSoFar().value().tokens(), 1);
  batch->SetProfiling(false);
  for (int step = 0; step < 2; ++step) {
    ASSERT_TRUE(batch->Next(turns).ok());
    ASSERT_TRUE(turns[0].status.ok()) << turns[0].status.message();
    EXPECT_EQ(turns[0].token, pair.host->Next(nullptr).value());
  }
}

// A step under way ends before the memory that it uses is given back.
TEST(ChoosingGpu, SessionsMayGoWhileTheGpuIsAhead) {
  const Machine machine;
  for (int i = 0; i < 3; ++i) {
    const std::shared_ptr<Session> session = machine.NewSession();
    const std::vector<int32_t> tokens = Tokens(5, Shape().vocabulary, 1);
    ASSERT_TRUE(session->Append(tokens.data(), 5).ok());
    for (int j = 0; j < 3 + i; ++j) ASSERT_TRUE(session->Next(nullptr).ok());
    session->Close();
    EXPECT_EQ(session->Next(nullptr).status().code(), MLA_CLOSED);
  }
}

}  // namespace
}  // namespace mla
