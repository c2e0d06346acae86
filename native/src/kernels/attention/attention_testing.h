// For the test and the benchmark: a filled cache of any layout, queries, and a run of all tasks.
#ifndef MLA_KERNELS_ATTENTION_ATTENTION_TESTING_H_
#define MLA_KERNELS_ATTENTION_ATTENTION_TESTING_H_

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "cache/latent_cache.h"
#include "cache/page_places.h"
#include "kernels/attention/attention.h"

namespace mla::testing_attention {

template <typename T>
T Pick(std::mt19937& random, const std::vector<T>& from) {
  return from[std::uniform_int_distribution<size_t>(0, from.size() - 1)(random)];
}

enum class Kind { kPlain, kJoint, kSplit, kOnlyKey, kOnlyValue, kNone };

// key_length and value_length are a KV head's where heads keep their own slices, and of the one
// slice that they share where they do not.
inline LayerLayout MakeLayout(Kind kind, int32_t kv_heads, int32_t heads_per_kv,
                              int32_t rope_groups, int32_t rope_dim, int32_t key_length,
                              int32_t value_length) {
  LayerLayout layout;
  layout.kv_heads = kv_heads;
  layout.heads = kv_heads * heads_per_kv;
  layout.rope_groups = rope_groups;
  layout.rope_dim = rope_dim;
  auto add = [&layout](int32_t length) {
    layout.segments.push_back({layout.latent, length});
    layout.latent += length;
    return static_cast<int32_t>(layout.segments.size()) - 1;
  };
  const bool shared_keys = kind == Kind::kJoint || kind == Kind::kSplit || kind == Kind::kOnlyKey;
  const bool shared_values = kind == Kind::kSplit || kind == Kind::kOnlyValue;
  if (kind == Kind::kPlain) {
    layout.key_segment.assign(static_cast<size_t>(kv_heads), -1);
  } else if (shared_keys) {
    layout.key_segment.assign(static_cast<size_t>(kv_heads), add(key_length));
  } else {
    for (int32_t g = 0; g < kv_heads; ++g) layout.key_segment.push_back(add(key_length));
  }
  if (kind == Kind::kJoint) {
    layout.value_segment = layout.key_segment;
  } else if (shared_values) {
    layout.value_segment.assign(static_cast<size_t>(kv_heads), add(value_length));
  } else {
    for (int32_t g = 0; g < kv_heads; ++g) layout.value_segment.push_back(add(value_length));
  }
  return layout;
}

inline std::vector<float> Normal(std::mt19937& random, int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& x : values) x = normal(random);
  return values;
}

// Rows of `length` numbers, the space between them NaN, so that reading it shows.
inline std::vector<float> NormalRows(std::mt19937& random, int64_t rows, int64_t length,
                                     int64_t stride) {
  std::vector<float> values(static_cast<size_t>(rows * stride),
                            std::numeric_limits<float>::quiet_NaN());
  for (int64_t r = 0; r < rows; ++r) {
    const std::vector<float> row = Normal(random, length);
    std::copy(row.begin(), row.end(), values.begin() + r * stride);
  }
  return values;
}

using Bytes = std::unique_ptr<void, decltype(&std::free)>;

// Exactly as large as planned, so that a sanitizer sees a step beyond; NaN.
inline Bytes Scratch(int64_t bytes) {
  Bytes scratch(std::aligned_alloc(64, static_cast<size_t>(std::max<int64_t>(bytes, 64))),
                &std::free);
  std::memset(scratch.get(), 0xff, static_cast<size_t>(bytes));
  return scratch;
}

struct Options {
  CacheType type = CacheType::kF32;
  int32_t group = 32;
  int32_t first = 0;
  int32_t queries = 1;
  int32_t window = 0;
  int32_t residual = 0;
  int32_t sink = 0;
  bool fine = true;      // weights of 15 bits for all types
  int32_t outlier = -1;  // position of a token whose latent is a thousand times as large
  float latent_by = 1;   // what all are multiplied with
  std::optional<CacheType> rope_type;  // where it is not the latent's

  CacheOptions Cache() const {
    CacheOptions cache;
    cache.latent = type;
    cache.rope = rope_type.value_or(type);
    cache.group = group;
    cache.residual = residual;
    cache.sink = sink;
    return cache;
  }
};

// Holds everything that AttentionParams points to. Cache slots that are not written, and the space
// between rows of queries, are NaN in every type.
class Problem {
 public:
  Problem(LayerLayout of, const Options& with, uint32_t seed)
      : layout(std::move(of)), options(with), random_(seed) {
    const LayerLayout& l = layout;
    FillCache();
    for (int32_t g = 0; g < l.kv_heads; ++g) {
      longest_key = std::max(longest_key, l.key_length(g));
      longest_value = std::max(longest_value, l.value_length(g));
    }
    const int64_t rows = int64_t{options.queries} * l.heads;
    rope_ = NormalRows(random_, rows, l.rope_dim, l.rope_dim + 3);
    latent_ = NormalRows(random_, rows, longest_key, longest_key + 5);
    if (IsPacked()) SnapQueries();
    params.layout = &layout;
    view_ = cache->View(0);
    params.cache = &view_;
    params.first = options.first;
    params.queries = options.queries;
    params.window = options.window;
    params.fine_weights = options.fine;
    params.scale = 1.0f / std::sqrt(static_cast<float>(std::max(1, l.rope_dim + longest_key)));
    params.q_rope = l.rope_dim > 0 ? rope_.data() : nullptr;
    params.q_rope_head_stride = l.rope_dim + 3;
    params.q_rope_stride = params.q_rope_head_stride * l.heads;
    params.q_latent = longest_key > 0 ? latent_.data() : nullptr;
    params.q_latent_head_stride = longest_key + 5;
    params.q_latent_stride = params.q_latent_head_stride * l.heads;
    SetOutputLength(longest_value);
  }

  void SetOutputLength(int32_t length) {
    out_length = length;
    params.out_head_stride = length + 1;
    params.out_stride = params.out_head_stride * layout.heads;
  }

  int64_t out_size() const { return params.out_stride * params.queries; }

  // All tasks in order, or backwards, by `members` that take turns of 1 to `together`.
  std::vector<float> Run(Isa isa, const ExpandedParams* expanded, int members = 1,
                         bool backwards = false, int32_t together = 1) const {
    std::vector<float> out(static_cast<size_t>(out_size()), kUnwritten);
    AttentionParams p = params;
    p.out = out.data();
    const AttentionPlan plan = PlanAttention(layout, p.first, p.queries, expanded);
    const Bytes partials = Scratch(plan.partial_bytes);
    std::vector<Bytes> scratch;
    for (int m = 0; m < members; ++m) scratch.push_back(Scratch(plan.scratch_bytes));
    std::vector<AttentionTasks> tasks;
    for (const Bytes& own : scratch) {
      tasks.emplace_back(isa, plan, p, expanded, partials.get(), own.get());
    }
    int32_t run = 0;
    for (int32_t turn = 0; run < plan.tasks; ++turn) {
      const int32_t some = std::min(1 + turn % together, plan.tasks - run);
      const int32_t begin = backwards ? plan.tasks - run - some : run;
      tasks[static_cast<size_t>(turn % members)].Run(begin, begin + some);
      run += some;
    }
    for (AttentionTasks& some : tasks) some.Finish();
    for (int32_t r = 0; r < plan.merge_rows; ++r) {
      MergeAttention(plan, p, r, partials.get(), scratch[0].get());
    }
    return out;
  }

  std::vector<float> Reference(const ExpandedParams* expanded) const {
    std::vector<float> out(static_cast<size_t>(out_size()), kUnwritten);
    AttentionParams p = params;
    p.out = out.data();
    AttentionReference(p, expanded);
    return out;
  }

  static constexpr float kUnwritten = 12345.0f;

  LayerLayout layout;
  Options options;
  AttentionParams params{};
  std::unique_ptr<LatentCache> cache;
  int32_t longest_key = 0;
  int32_t longest_value = 0;
  int32_t out_length = 0;

 private:
  bool IsPacked() const { return MakeRowFormat(options.type, 1, options.group).packed(); }

  // Rounds queries to what packed kernels make of them, so that only their sums differ from the
  // reference's: whole numbers with the largest digit in every group.
  void SnapQueries() {
    const float most = options.type == CacheType::kInt8 ? 4095.0f : 127.0f;
    auto snap = [&](std::vector<float>& queries, int64_t length, int64_t stride) {
      for (size_t at = 0; length > 0 && at < queries.size(); at += static_cast<size_t>(stride)) {
        for (int64_t i = 0; i < length; ++i) {
          float& x = queries[at + static_cast<size_t>(i)];
          x = i % options.group == 0 ? std::copysign(most, x)
                                     : std::clamp(std::nearbyint(x * most / 4), -most, most);
          x *= 4 / (most + 1);
        }
      }
    };
    snap(rope_, layout.rope_dim, layout.rope_dim + 3);
    snap(latent_, longest_key, longest_key + 5);
  }

  // NaN in every type.
  static void Poison(const PageRows& rows, const PagePlaces& places, int32_t pages) {
    for (int32_t p = 0; p < pages; ++p) {
      if (rows.pages[p] == nullptr) continue;
      std::memset(const_cast<uint8_t*>(rows.pages[p]), 0xff,
                  static_cast<size_t>(places.page_bytes));
    }
  }

  void Write(int32_t at, int32_t n) {
    const int64_t rope = int64_t{layout.rope_groups} * layout.rope_dim;
    const std::vector<float> keys = Normal(random_, n * rope);
    std::vector<float> latents = Normal(random_, int64_t{n} * layout.latent);
    for (float& x : latents) x *= options.latent_by;
    for (int32_t i = 0; at <= options.outlier && options.outlier < at + n && i < layout.latent;
         ++i) {
      latents[static_cast<size_t>(int64_t{options.outlier - at} * layout.latent + i)] *= 1000.0f;
    }
    std::vector<float> scalars = Normal(random_, int64_t{n} * layout.kv_heads);
    for (float& s : scalars) s = 1.0f + 0.2f * s;
    GroupPacker packer;
    cache->Write(0, at, n, keys.data(), rope, latents.data(), layout.latent,
                 layout.key_scalar ? scalars.data() : nullptr, layout.kv_heads, packer);
  }

  // As a session does: earlier tokens in chunks, after which the window moves on, then those of the
  // queries.
  void FillCache() {
    const CacheOptions cache_options = options.Cache();
    const int32_t tokens = options.first + options.queries;
    auto created = LatentCache::Create(cache_options, {layout}, tokens);
    if (!created.ok()) std::abort();
    cache = std::move(created.value());
    if (!cache->Reserve(tokens).ok()) std::abort();
    const int32_t pages = (tokens + kPageTokens - 1) / kPageTokens;
    Poison(cache->View(0).rows, PlaceRows(cache_options, layout), pages);
    for (int32_t at = 0; at < tokens;) {
      const int32_t n = at < options.first ? std::min(512, options.first - at) : options.queries;
      if (!cache->ReserveWindow(n).ok()) std::abort();
      const CacheView view = cache->View(0);
      if (view.residual > 0 && at % kPageTokens == 0) {
        const PageRows fresh{view.exact.pages + at / kPageTokens, nullptr, nullptr};
        Poison(fresh, PlaceExactRows(cache_options, layout, kPageTokens),
               (n + kPageTokens - 1) / kPageTokens);
      }
      Write(at, n);
      at += n;
      if (at <= options.first) cache->SetLength(at);
    }
  }

  std::mt19937 random_;
  std::vector<float> rope_, latent_;
  CacheView view_{};
};

}  // namespace mla::testing_attention
#endif  // MLA_KERNELS_ATTENTION_ATTENTION_TESTING_H_
