// Which tokens may be drawn, and the draw. Each filter keeps a prefix of one strict ranking (larger
// logit first, then lower token), so it finds its last kept candidate in whatever way is fast and
// drops all that rank below: the result does not depend on how a standard library sorts or selects.
#ifndef MLA_RUNTIME_SAMPLER_FILTERS_H_
#define MLA_RUNTIME_SAMPLER_FILTERS_H_

#include <cstdint>
#include <span>
#include <vector>

namespace mla {

// `best` is everywhere the largest of the logits and finite. Not thread-safe; its buffers are kept
// between draws.
class SamplerFilters {
 public:
  // Every token is a candidate. logits[n] without NaN or +infinity; they stay in use until the
  // draw.
  void Start(const float* logits, int32_t n);
  // The k >= 1 first of the ranking.
  void KeepTopK(int32_t k);
  // The shortest prefix whose share of the candidates' probability is at least p, at least one
  // token.
  void KeepTopP(float p, float best);
  // Those at least min_p (above 0) times as probable as the best.
  void KeepMinP(float min_p, float best);
  // The candidate at `unit` in [0, 1) of the cumulated probabilities at `temperature` > 0, by
  // ascending token.
  int32_t Draw(double unit, float best, float temperature) const;

 private:
  struct Ranked {
    float logit;
    int32_t token;
  };
  struct Better {
    bool operator()(const Ranked& a, const Ranked& b) const {
      return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
    }
  };
  struct Worse {
    bool operator()(const Ranked& a, const Ranked& b) const { return Better()(b, a); }
  };

  // Calls with every candidate that is in a run (kLogitRun) with one of *least or more, which the
  // call may raise.
  template <typename Call>
  void ForLarge(int32_t begin, const float* least, const Call& call) const;
  int32_t Token(int32_t i) const { return tokens_ == nullptr ? i : tokens_[i]; }
  Ranked LastOfTopK(int32_t k);
  // The candidates with a logit of `least` or more, by ascending token; in ranking_.
  using Ranking = std::span<Ranked>;
  Ranking RankFrom(float least);
  class Bands;
  void DropWorseThan(Ranked last);

  // The candidates by ascending token; tokens_ null: candidate i is token i.
  const float* logits_ = nullptr;
  const int32_t* tokens_ = nullptr;
  int32_t n_ = 0;
  std::vector<float> kept_logits_;
  std::vector<int32_t> kept_tokens_;
  std::vector<Ranked> ranking_;
};

}  // namespace mla
#endif  // MLA_RUNTIME_SAMPLER_FILTERS_H_
