// A block has a row: it reads the logits, from the second-level cache, once to find the best, once
// to sum, and for a draw a few times more, and keeps nothing of them but sums.
#include "cuda/simt.h"
#include "kernels/sampling/gpu.h"

namespace mla::MLA_GPU {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarp;
// Loads of a thread that are on their way together.
constexpr int kAhead = 8;

// exp(x) of x <= 0 in units of 2^-40: sums of up to 2^24 are exact in 64 bits, in any order.
// Halves are rounded up. By shifts: a GPU converts slowly between types.
MLA_DEVICE uint64_t Weight(float x) {
  const uint32_t bits = BitsOfFloat(Exp(x));
  constexpr int kUnitExponent = 127 + 23 - 40;  // of a float whose last bit is the unit
  const int up = static_cast<int>(bits >> 23) - kUnitExponent;
  const uint32_t digits = (bits & 0x7fffffu) | 0x800000u;
  if (up >= 0) return uint64_t{digits} << up;
  const int down = -up < 31 ? -up : 31;
  return (digits + (1u << (down - 1))) >> down;
}
constexpr double kWeightUnit = 0x1p-40;

// The ranking of runtime/sampler_filters.h: a larger logit, then the lower token, has the larger
// key.
MLA_DEVICE uint64_t Key(float logit, int token) {
  const uint32_t bits = BitsOfFloat(logit + 0.0f);  // -0 is 0
  const uint32_t order = bits >> 31 ? ~bits : bits | 0x80000000u;
  return uint64_t{order} << 32 | (0xffffffffu - static_cast<uint32_t>(token));
}
MLA_DEVICE float LogitOf(uint64_t key) {
  const uint32_t order = static_cast<uint32_t>(key >> 32);
  return FloatOfBits(order >> 31 ? order & 0x7fffffffu : ~order);
}
MLA_DEVICE int TokenOf(uint64_t key) {
  return static_cast<int>(0xffffffffu - static_cast<uint32_t>(key));
}

// A digit of a key has at most so many values.
constexpr int kBins = 2048;

struct Shared {
  uint64_t warps[kWarps];
  uint32_t count[kBins];  // keys
  uint32_t low[kBins];    // and their weights' sum, in two words
  uint32_t high[kBins];
  // What one warp found for all.
  uint64_t found, passed;
  uint32_t found_count;
  int begin, end;
};

MLA_DEVICE Shared& Of() { return *reinterpret_cast<Shared*>(SharedMemory()); }

struct Row {
  const float* logits;
  int n;
  float best;
};

// Calls f(token, logit) of all, threads side by side.
template <typename F>
MLA_DEVICE void Each(const Row& row, F f) {
  for (int begin = ThreadIndex(); begin < row.n; begin += kThreads * kAhead) {
    float logit[kAhead];
    MLA_UNROLL
    for (int j = 0; j < kAhead; ++j) {
      const int i = begin + j * kThreads;
      logit[j] = i < row.n ? row.logits[i] : 0.0f;
    }
    MLA_UNROLL
    for (int j = 0; j < kAhead; ++j) {
      const int i = begin + j * kThreads;
      if (i < row.n) f(i, logit[j]);
    }
  }
}

// Block: every thread gets it.
template <typename Join>
MLA_DEVICE uint64_t OverBlock(uint64_t value, Join join) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = join(value, ShuffleXor(value, mask));
  SyncBlock();  // nobody reads the last ones any more
  if (Lane() == 0) Of().warps[WarpIndex()] = value;
  SyncBlock();
  value = Of().warps[Lane()];
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = join(value, ShuffleXor(value, mask));
  return value;
}
static_assert(kWarps == kWarp);
MLA_DEVICE uint64_t SumOverBlock(uint64_t value) {
  return OverBlock(value, [](uint64_t a, uint64_t b) { return a + b; });
}

// Warp: of the lanes' values up to and with one's own.
MLA_DEVICE uint64_t SumUpTo(uint64_t value) {
  for (int by = 1; by < kWarp; by *= 2) {
    const uint64_t other = Shuffle(value, Lane() >= by ? Lane() - by : Lane());
    if (Lane() >= by) value += other;
  }
  return value;
}

// The largest edge with at least `target` in the keys from it on: keys, or with kByWeight their
// weights. Of keys from `least` on, which have as much.
template <bool kByWeight>
MLA_DEVICE uint64_t EdgeOf(const Row& row, uint64_t least, uint64_t target) {
  Shared& s = Of();
  uint64_t prefix = 0, passed = 0;
  int shift = 64;
  // Three digits of the logit and, where many are the same, of the token.
  for (int digit = 0; digit < 6; ++digit) {
    const int bits = digit % 3 == 2 ? 10 : 11;
    shift -= bits;
    SyncBlock();
    for (int i = ThreadIndex(); i < kBins; i += kThreads) s.count[i] = s.low[i] = s.high[i] = 0;
    SyncBlock();
    Each(row, [&](int token, float logit) {
      const uint64_t key = Key(logit, token);
      const bool within = digit == 0 || key >> (shift + bits) == prefix;
      if (key < least || !within) return;
      const int bin = static_cast<int>(key >> shift) & ((1 << bits) - 1);
      AtomicAdd(&s.count[bin], 1u);
      const uint64_t weight = kByWeight ? Weight(logit - row.best) : 0;
      if (weight == 0) return;
      const uint32_t low = static_cast<uint32_t>(weight);
      const uint32_t before = AtomicAdd(&s.low[bin], low);
      const uint32_t carry = before + low < before ? 1 : 0;
      AtomicAdd(&s.high[bin], static_cast<uint32_t>(weight >> 32) + carry);
    });
    SyncBlock();
    if (WarpIndex() == 0) {
      // Lane 0 has the bins of the largest keys.
      constexpr int kOfLane = kBins / kWarp;
      const auto amount = [&](int bin) {
        return kByWeight ? uint64_t{s.high[bin]} << 32 | s.low[bin] : uint64_t{s.count[bin]};
      };
      const int top = kBins - 1 - Lane() * kOfLane;
      uint64_t own = 0;
      for (int i = 0; i < kOfLane; ++i) own += amount(top - i);
      const uint64_t up_to = passed + SumUpTo(own);
      uint64_t before = up_to - own;
      if (before < target && target <= up_to) {
        int bin = top;
        while (before + amount(bin) < target) before += amount(bin--);
        s.found = prefix << bits | static_cast<uint32_t>(bin);
        s.found_count = s.count[bin];
        s.passed = before;
      }
    }
    SyncBlock();
    prefix = s.found;
    passed = s.passed;
    const bool all = !kByWeight && passed + s.found_count == target;
    if (all || s.found_count == 1) {
      const uint64_t edge = prefix << shift;
      return edge > least ? edge : least;
    }
  }
  return prefix;
}

// The token at `unit` of the cumulated weights, at a temperature, of the tokens from `edge` on.
MLA_DEVICE int DrawToken(const Row& row, uint64_t edge, float temperature, double unit) {
  Shared& s = Of();
  // Colder than this, all but the best weigh nothing anyway, and the inverse would overflow.
  const float scale = 1.0f / Max(temperature, 1e-30f);
  const auto weight = [&](int token) {
    const float logit = row.logits[token];
    return Key(logit, token) >= edge ? Weight((logit - row.best) * scale) : uint64_t{0};
  };
  uint64_t target = 0, passed = 0;
  bool whole = true;
  int begin = 0, end = row.n;
  // Every warp sums a part of what is left, until that is a warp's width.
  do {
    const int width = (end - begin + kWarps * kWarp - 1) / (kWarps * kWarp) * kWarp;
    const int first = begin + WarpIndex() * width;
    const int last = first + width < end ? first + width : end;
    uint64_t sum = 0;
    MLA_UNROLL_BY(4)
    for (int i = first + Lane(); i < last; i += kWarp) sum += weight(i);
    for (int mask = kWarp / 2; mask > 0; mask /= 2) sum += ShuffleXor(sum, mask);
    SyncBlock();
    if (Lane() == 0) s.warps[WarpIndex()] = sum;
    SyncBlock();
    if (WarpIndex() == 0) {
      const uint64_t own = s.warps[Lane()];
      const uint64_t up_to = passed + SumUpTo(own);
      const uint64_t total = Shuffle(up_to, kWarp - 1);
      uint64_t at = target;
      if (whole) {
        at = static_cast<uint64_t>(unit * static_cast<double>(total));
        at = at < total ? at : total - 1;
      }
      if (up_to - own <= at && at < up_to) {
        s.found = at;
        s.passed = up_to - own;
        s.begin = begin + Lane() * width;
        s.end = s.begin + width < end ? s.begin + width : end;
      }
    }
    SyncBlock();
    target = s.found;
    passed = s.passed;
    begin = s.begin;
    end = s.end;
    whole = false;
  } while (end - begin > kWarp);
  SyncBlock();
  if (WarpIndex() == 0) {
    const int token = begin + Lane();
    const uint64_t own = token < end ? weight(token) : 0;
    const uint64_t up_to = passed + SumUpTo(own);
    if (up_to - own <= target && target < up_to) s.found = static_cast<uint64_t>(token);
  }
  SyncBlock();
  return static_cast<int>(s.found);
}

// What may be drawn: keys from there on.
MLA_DEVICE uint64_t EdgeOf(const Row& row, const ChoiceRequest& draw) {
  uint64_t edge = 0;
  if (draw.top_k > 0) edge = EdgeOf<false>(row, 0, static_cast<uint64_t>(draw.top_k));
  if (draw.top_p < 1.0f) {
    uint64_t kept = 0;
    Each(row, [&](int token, float logit) {
      if (Key(logit, token) >= edge) kept += Weight(logit - row.best);
    });
    kept = SumOverBlock(kept);
    const double share = static_cast<double>(draw.top_p) * static_cast<double>(kept);
    uint64_t target = static_cast<uint64_t>(share);
    if (static_cast<double>(target) < share) ++target;
    target = target < 1 ? 1 : target < kept ? target : kept;
    edge = EdgeOf<true>(row, edge, target);
  }
  if (draw.log_min_p > -Infinity()) {
    const uint64_t likely = Key(row.best + draw.log_min_p, -1);
    edge = edge > likely ? edge : likely;
  }
  return edge;
}

// Finds row.best, and copies logits unless `copy` is null. The best token, or -1 where logits are
// damaged.
MLA_DEVICE int BestOf(Row& row, float* copy) {
  // A thread meets its tokens in ascending order: of the same logits the first one stays.
  float best = -Infinity();
  int best_token = row.n;
  bool bad = false;
  Each(row, [&](int token, float logit) {
    if (copy != nullptr) copy[token] = logit;
    bad |= !(logit < Infinity());
    best_token = logit > best ? token : best_token;
    best = logit > best ? logit : best;
  });
  constexpr uint64_t kBad = ~uint64_t{0};  // above all keys
  const uint64_t key = OverBlock(bad ? kBad : Key(best, best_token),
                                 [](uint64_t x, uint64_t y) { return x > y ? x : y; });
  row.best = LogitOf(key);
  return key == kBad || row.best == -Infinity() ? -1 : TokenOf(key);
}

// ln Σ exp(logit - best).
MLA_DEVICE double LogSum(const Row& row) {
  uint64_t total = 0;
  Each(row, [&](int, float logit) { total += Weight(logit - row.best); });
  return Log(static_cast<double>(SumOverBlock(total)) * kWeightUnit);
}

MLA_DEVICE float LogProbability(const Row& row, double log_sum, int token) {
  return static_cast<float>(static_cast<double>(row.logits[token] - row.best) - log_sum);
}

template <typename Args>
MLA_DEVICE Row RowOf(const Args& a) {
  return {a.logits + static_cast<int64_t>(BlockX()) * a.vocabulary, a.vocabulary, 0.0f};
}

MLA_KERNEL_OF(kThreads, 1) void Sample(const GpuSampling a) {
  LetLaterStart();
  WaitForEarlier();
  const GpuSamplingRow asked = a.row[BlockX()];
  Row row = RowOf(a);
  int token = BestOf(row, asked.copy);
  if (token < 0) {
    if (ThreadIndex() == 0) *asked.choice = {-1, 0.0f};
    return;
  }
  const double log_sum = LogSum(row);
  if (asked.draw.temperature > 0.0f) {
    token = DrawToken(row, EdgeOf(row, asked.draw), asked.draw.temperature, asked.draw.unit);
  }
  if (ThreadIndex() == 0) *asked.choice = {token, LogProbability(row, log_sum, token)};
}

MLA_KERNEL_OF(kThreads, 1) void Score(const GpuScores a) {
  LetLaterStart();
  WaitForEarlier();
  Row row = RowOf(a);
  const bool damaged = BestOf(row, nullptr) < 0;
  if (damaged) {
    if (ThreadIndex() == 0) a.scores[BlockX()] = Infinity() - Infinity();
    return;
  }
  const double log_sum = LogSum(row);
  if (ThreadIndex() > 0) return;
  a.scores[BlockX()] = LogProbability(row, log_sum, a.tokens[BlockX()]);
}

}  // namespace

void Launch(GpuStream& stream, const GpuSampling& args) {
  if (args.rows == 0) return;
  Launch(stream, {args.rows}, kThreads, static_cast<int>(sizeof(Shared)), Sample, args);
}

void Launch(GpuStream& stream, const GpuScores& args) {
  if (args.rows == 0) return;
  Launch(stream, {args.rows}, kThreads, static_cast<int>(sizeof(Shared)), Score, args);
}

}  // namespace mla::MLA_GPU
