#include "runtime/sampler_filters.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "kernels/logits/exponential.h"
#include "kernels/logits/logits.h"

namespace mla {
namespace {

// Up to here the k best are found by a heap in one pass over the vocabulary, above by selection.
constexpr int32_t kHeapTopK = 1024;

}  // namespace

template <typename Call>
void SamplerFilters::ForLarge(int32_t begin, const float* least, const Call& call) const {
  int64_t run = begin / kLogitRun * kLogitRun;
  while ((run = FindRun(logits_, n_, run, *least)) < n_) {
    const int32_t end = static_cast<int32_t>(std::min<int64_t>(run + kLogitRun, n_));
    for (int32_t i = std::max(begin, static_cast<int32_t>(run)); i < end; ++i) call(i);
    run += kLogitRun;
  }
}

void SamplerFilters::Start(const float* logits, int32_t n) {
  logits_ = logits;
  tokens_ = nullptr;
  n_ = n;
}

void SamplerFilters::KeepTopK(int32_t k) {
  if (k < n_) DropWorseThan(LastOfTopK(k));
}

SamplerFilters::Ranked SamplerFilters::LastOfTopK(int32_t k) {
  ranking_.clear();
  if (k > kHeapTopK) {
    for (int32_t i = 0; i < n_; ++i) ranking_.push_back({logits_[i], Token(i)});
    std::nth_element(ranking_.begin(), ranking_.begin() + (k - 1), ranking_.end(), Better());
    return ranking_[k - 1];
  }
  for (int32_t i = 0; i < k; ++i) ranking_.push_back({logits_[i], Token(i)});
  std::make_heap(ranking_.begin(), ranking_.end(), Better());  // the front is the worst kept
  // Of equal ones the later token ranks below.
  const auto above = [](float worst) {
    return std::nextafter(worst, std::numeric_limits<float>::infinity());
  };
  float least = above(ranking_.front().logit);
  ForLarge(k, &least, [&](int32_t i) {
    if (logits_[i] < least) return;
    std::pop_heap(ranking_.begin(), ranking_.end(), Better());
    ranking_.back() = {logits_[i], Token(i)};
    std::push_heap(ranking_.begin(), ranking_.end(), Better());
    least = above(ranking_.front().logit);
  });
  return ranking_.front();
}

SamplerFilters::Ranking SamplerFilters::RankFrom(float least) {
  // Never smaller again: what is added would be cleared each time.
  ranking_.resize(std::max(ranking_.size(), static_cast<size_t>(n_)));
  Ranked* end = ranking_.data();
  ForLarge(0, &least, [&](int32_t i) {
    *end = {logits_[i], Token(i)};
    end += logits_[i] >= least ? 1 : 0;
  });
  return {ranking_.data(), end};
}

// A ranking cut into bands by logit, the best first, of which only one has to be put in order.
class SamplerFilters::Bands {
 public:
  // `least`: no logit is below it.
  Bands(Ranking ranking, float least, float best)
      : ranking_(ranking),
        best_(best),
        scale_(best > least ? static_cast<float>(kBands) / (best - least) : 0.0f) {
    for (const Ranked& one : ranking) masses_[BandOf(one)] += ExpNonPositive(one.logit - best);
  }

  double mass() const { return std::accumulate(std::begin(masses_), std::end(masses_), 0.0); }

  // Of the shortest prefix with so much of the mass, or of all.
  Ranked LastOf(double wanted) const {
    int last = 0;  // band that is not empty
    double before = 0, mass = 0;
    for (int b = 0; b < kBands && mass < wanted; ++b) {
      if (masses_[b] == 0) continue;
      last = b;
      before = mass;
      mass += masses_[b];
    }
    const auto end = std::partition(ranking_.begin(), ranking_.end(),
                                    [&](const Ranked& one) { return BandOf(one) == last; });
    Ranking band = ranking_.first(static_cast<size_t>(end - ranking_.begin()));
    std::make_heap(band.begin(), band.end(), Worse());  // the front is the best
    Ranked one;
    do {
      one = band.front();
      before += ExpNonPositive(one.logit - best_);
      std::pop_heap(band.begin(), band.end(), Worse());
      band = band.first(band.size() - 1);
    } while (before < wanted && !band.empty());
    return one;
  }

 private:
  static constexpr int kBands = 256;

  int BandOf(const Ranked& one) const {
    return std::min(kBands - 1, static_cast<int>((best_ - one.logit) * scale_));
  }

  Ranking ranking_;
  float best_, scale_;
  double masses_[kBands] = {};
};

void SamplerFilters::KeepTopP(float p, float best) {
  const double total = SumExp(logits_, n_, best, 1);
  // n tokens with less than (1 - p) / n each sum to less than 1 - p, so the prefix lies above; half
  // of that leaves room for rounding.
  const double least = std::log(0.5 * (1.0 - p) * total / n_);
  const float floor = best + static_cast<float>(std::min(0.0, least));
  const double wanted = p * total;
  // Mostly those near the best are enough; they are a prefix, too.
  constexpr float kNear = 8;
  constexpr double kMoreThanRounding = 1 + 1e-9;
  const float near = std::max(floor, best - kNear);
  Bands bands(RankFrom(near), near, best);
  if (bands.mass() < wanted * kMoreThanRounding && near > floor) {
    bands = Bands(RankFrom(floor), floor, best);
  }
  DropWorseThan(bands.LastOf(wanted));
}

void SamplerFilters::KeepMinP(float min_p, float best) {
  DropWorseThan({best + std::log(min_p), std::numeric_limits<int32_t>::max()});
}

void SamplerFilters::DropWorseThan(Ranked last) {
  kept_logits_.resize(std::max<size_t>(kept_logits_.size(), n_));
  kept_tokens_.resize(kept_logits_.size());
  int32_t kept = 0;
  ForLarge(0, &last.logit, [&](int32_t i) {
    const Ranked candidate{logits_[i], Token(i)};
    kept_logits_[kept] = candidate.logit;
    kept_tokens_[kept] = candidate.token;
    kept += Better()(last, candidate) ? 0 : 1;
  });
  logits_ = kept_logits_.data();
  tokens_ = kept_tokens_.data();
  n_ = kept;
}

int32_t SamplerFilters::Draw(double unit, float best, float temperature) const {
  // Colder than this, all but the best weigh nothing anyway, and the inverse would overflow.
  const float scale = 1 / std::max(temperature, 1e-30f);
  const double target = unit * SumExp(logits_, n_, best, scale);
  double passed = 0;
  int32_t begin = 0;
  int32_t last = 0;  // where rounding lets the sum end below the target
  constexpr int32_t kRun = 1024;
  for (; begin < n_; begin += kRun) {  // whole runs are passed at vector speed
    const int32_t length = std::min(kRun, n_ - begin);
    const double run = SumExp(logits_ + begin, length, best, scale);
    if (passed + run <= target) {
      passed += run;
      continue;
    }
    for (int32_t i = begin; i < begin + length; ++i) {
      const double weight = ExpNonPositive((logits_[i] - best) * scale);
      if (weight > 0) last = i;
      passed += weight;
      if (passed > target) return Token(i);
    }
  }
  return Token(last);
}

}  // namespace mla
