package io.github.mla4j.eval.sweep;

import io.github.mla4j.eval.Divergence;

/**
 * How good a model is with a cache: {@link Divergence} in numbers, as the reports have it.
 *
 * @param tokens how many were predicted
 * @param perplexityRatio the model's perplexity over the teacher's
 * @param kldMean KL(teacher || model) in nats, mean over the positions; the other ones alike
 * @param top1Agreement share of positions at which both find the same token the likeliest, 0 to 1
 */
public record CacheQuality(
    int tokens,
    double perplexity,
    double perplexityStderr,
    double teacherPerplexity,
    double perplexityRatio,
    double perplexityRatioStderr,
    double kldMean,
    double kldStderr,
    double kldMedian,
    double kldP99,
    double kldMax,
    double top1Agreement,
    double top1AgreementStderr) {

  /** The numbers of a measure. */
  public static CacheQuality of(Divergence measured) {
    return new CacheQuality(
        measured.perplexity().model().tokens(),
        measured.perplexity().model().value(),
        measured.perplexity().model().standardError(),
        measured.perplexity().teacher().value(),
        measured.perplexity().value(),
        measured.perplexity().standardError(),
        measured.mean(),
        measured.standardError(),
        measured.median(),
        measured.p99(),
        measured.max(),
        measured.agreement().value(),
        measured.agreement().standardError());
  }
}
