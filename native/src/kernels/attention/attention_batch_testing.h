// A batch of sequences for the GPU's attention, made of Problems.
#ifndef MLA_KERNELS_ATTENTION_ATTENTION_BATCH_TESTING_H_
#define MLA_KERNELS_ATTENTION_ATTENTION_BATCH_TESTING_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda/gpu_testing.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/attention/errors_testing.h"
#include "kernels/attention/gpu.h"

namespace mla::testing_attention {

// Of results against the formula: halves of 11 bits of rows, queries and weights, whose errors add
// up at random; one of the largest of thousands.
inline constexpr double kMost = 4e-3, kRootMeanSquare = 5e-4;

// Sequences of one layer side by side, and what a launch is told of them.
class Batch {
 public:
  // One sequence for each of `firsts`, the position of its first query; below zero: none.
  Batch(const LayerLayout& layout, const Options& options, const std::vector<int32_t>& firsts,
        uint32_t seed, GpuStream& gpu)
      : positions(firsts), gpu_(gpu), aligned_(seed % 2 == 1) {
    for (size_t i = 0; i < firsts.size(); ++i) {
      Options of = options;
      of.first = std::max(0, firsts[i]);
      problems.push_back(
          std::make_unique<Problem>(layout, of, seed + 1000 * static_cast<uint32_t>(i)));
    }
    auto made = GpuAttentionPlan::Create(layout, options.Cache(), options.queries, gpu);
    if (!made.ok()) {
      ADD_FAILURE() << made.status().message();
      std::abort();
    }
    plan = std::make_unique<GpuAttentionPlan>(std::move(made.value()));
    Describe(options);
  }

  // [sequences] of the problems' outputs.
  std::vector<std::vector<float>> Run() {
    Prepare();
    tested::Launch(gpu_, call);
    return Outputs();
  }
  // What a launch reads, output and workspace anew.
  void Prepare() {
    positions_ = DeviceArray<int32_t>(gpu_, positions);
    call.positions = positions_.data();
    if (!q_rope.empty()) call.q_rope = (rope_ = {gpu_, q_rope}).data();
    if (!q_latent.empty()) call.q_latent = (latent_ = {gpu_, q_latent}).data();
    const int64_t outputs = static_cast<int64_t>(problems.size()) * problems[0]->out_size();
    out_ = {gpu_, std::vector<float>(static_cast<size_t>(outputs), Problem::kUnwritten)};
    call.out = out_.data();
    const int64_t bytes = plan->WorkspaceBytes(call.sequences, call.bucket, call.window);
    const std::vector<uint8_t> nan(static_cast<size_t>(bytes), 0xff);
    call.workspace = (workspace_ = {gpu_, nan}).data();
  }
  // Of a launch that was recorded.
  void WritePositions() { positions_.Write(positions); }
  std::vector<std::vector<float>> Outputs() const {
    const std::vector<float> all = out_.Read();
    std::vector<std::vector<float>> outs;
    for (auto from = all.begin(); from != all.end(); from += problems[0]->out_size()) {
      outs.emplace_back(from, from + problems[0]->out_size());
    }
    return outs;
  }

  std::vector<std::unique_ptr<Problem>> problems;
  std::vector<int32_t> positions;
  std::unique_ptr<GpuAttentionPlan> plan;
  GpuAttention call = {};
  std::vector<float> q_rope, q_latent;

 private:
  static int32_t PagesOf(const Problem& problem) {
    const int32_t tokens = problem.options.first + problem.options.queries;
    return (tokens + kPageTokens - 1) / kPageTokens;
  }

  // With NaN behind it.
  static void AppendRow(const float* rows, int64_t at, int64_t length, int64_t stride,
                        std::vector<float>* to) {
    if (rows == nullptr) return;
    to->insert(to->end(), rows + at, rows + at + length);
    to->resize(to->size() + static_cast<size_t>(stride - length), NAN);
  }

  void Describe(const Options& options) {
    const AttentionParams& p = problems[0]->params;
    call.plan = plan.get();
    tables_ = {gpu_, plan->tables()};
    call.tables = tables_.data();
    call.sequences = static_cast<int32_t>(problems.size());
    call.bucket = options.queries + *std::max_element(positions.begin(), positions.end());
    call.window = options.window;
    call.scale = p.scale;
    const LayerLayout& l = problems[0]->layout;
    // As the problems have them, or at 16-byte boundaries.
    const auto spread = [&](int64_t head) { return aligned_ ? (head + 7) / 4 * 4 : head; };
    call.q_rope_head = spread(p.q_rope_head_stride);
    call.q_rope_query = call.q_rope_head * l.heads;
    call.q_rope_sequence = call.q_rope_query * options.queries;
    call.q_latent_head = spread(p.q_latent_head_stride);
    call.q_latent_query = call.q_latent_head * l.heads;
    call.q_latent_sequence = call.q_latent_query * options.queries;
    call.out_head = p.out_head_stride;
    call.out_query = p.out_stride;
    call.out_sequence = problems[0]->out_size();
    // The layer is one of several, whose pages are not there.
    constexpr int32_t kLayers = 3;
    call.layer = 1;
    call.places = {kLayers, options.residual > 0 ? 2 * kLayers : kLayers};
    for (const auto& problem : problems) {
      const AttentionParams& of = problem->params;
      const int32_t count = PagesOf(*problem);
      std::vector<uint8_t*> table(static_cast<size_t>(call.places.Rows(0, count)));
      const auto set = [&](int64_t at, const uint8_t* page, const PagePlaces& places) {
        if (page == nullptr) return;
        pages_.emplace_back(gpu_, page, places.page_bytes);
        table[static_cast<size_t>(at)] = pages_.back().data();
      };
      const CacheOptions cache = options.Cache();
      const PagePlaces exact = PlaceExactRows(cache, l, kPageTokens);
      for (int32_t page = 0; page < count; ++page) {
        set(call.places.Rows(call.layer, page), of.cache->rows.pages[page], PlaceRows(cache, l));
        if (of.cache->residual == 0) continue;
        set(call.places.Exact(call.layer, page), of.cache->exact.pages[page], exact);
      }
      if (of.cache->sink > 0) {
        set(call.places.First(call.layer), of.cache->first.pages[0],
            PlaceExactRows(cache, l, of.cache->sink));
      }
      page_tables_.emplace_back(gpu_, table);
      for (int64_t row = 0; row < int64_t{options.queries} * l.heads; ++row) {
        AppendRow(of.q_rope, row * of.q_rope_head_stride, of.q_rope_head_stride, call.q_rope_head,
                  &q_rope);
        AppendRow(of.q_latent, row * of.q_latent_head_stride, of.q_latent_head_stride,
                  call.q_latent_head, &q_latent);
      }
    }
    std::vector<uint8_t* const*> tables;
    for (const DeviceArray<uint8_t*>& table : page_tables_) tables.push_back(table.data());
    call.pages = (sequences_ = {gpu_, tables}).data();
  }

  GpuStream& gpu_;
  const bool aligned_;
  std::vector<DeviceArray<uint8_t>> pages_;
  std::vector<DeviceArray<uint8_t*>> page_tables_;
  DeviceArray<uint8_t* const*> sequences_;
  DeviceArray<int32_t> positions_, tables_;
  DeviceArray<float> rope_, latent_, out_;
  DeviceArray<uint8_t> workspace_;
};

inline std::string Describe(const LayerLayout& layout, const Options& options,
                            const GpuAttentionPlan& plan) {
  return "type " + std::to_string(static_cast<int>(options.type)) + " group " +
         std::to_string(options.group) + " heads " + std::to_string(layout.heads) + '/' +
         std::to_string(layout.kv_heads) + " G " + std::to_string(layout.rope_groups) + " R " +
         std::to_string(layout.rope_dim) + " C " + std::to_string(layout.latent) + " segments " +
         std::to_string(layout.segments.size()) + " queries " + std::to_string(options.queries) +
         " window " + std::to_string(options.window) + " residual " +
         std::to_string(options.residual) + " sink " + std::to_string(options.sink) + " warps " +
         std::to_string(plan.variant().warps) + " columns " +
         std::to_string(plan.variant().columns);
}

// Adds a batch's results; where there is no sequence nothing may be written.
inline void CompareOn(TestGpu& gpu, const LayerLayout& layout, const Options& options,
                      const std::vector<int32_t>& firsts, uint32_t seed, Errors* errors) {
  Batch batch(layout, options, firsts, seed, gpu);
  const std::vector<std::vector<float>> actual = batch.Run();
  for (size_t i = 0; i < firsts.size(); ++i) {
    const std::string what = "seed " + std::to_string(seed) + " first " +
                             std::to_string(firsts[i]) + ' ' +
                             Describe(layout, options, *batch.plan);
    if (firsts[i] < 0) {
      for (const float x : actual[i]) ASSERT_EQ(x, Problem::kUnwritten) << what;
      continue;
    }
    ASSERT_NO_FATAL_FAILURE(errors->Add(actual[i], batch.problems[i]->Reference(nullptr), what));
  }
}

}  // namespace mla::testing_attention
#endif  // MLA_KERNELS_ATTENTION_ATTENTION_BATCH_TESTING_H_
