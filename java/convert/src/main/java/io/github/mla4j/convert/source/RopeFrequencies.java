package io.github.mla4j.convert.source;

import java.util.Objects;

/**
 * Rotary frequencies of a head, scaling applied.
 *
 * @param inverse radians per position of each pair, from the first to the last; length d/2
 * @param attentionFactor multiplies cosine and sine (YaRN), else 1
 * @param base the source's theta, before scaling
 * @param scaling the scaling they were made with
 */
public record RopeFrequencies(
    double[] inverse, double attentionFactor, double base, RopeScaling scaling) {

  public RopeFrequencies {
    inverse = inverse.clone();
    Objects.requireNonNull(scaling, "scaling");
  }

  /** Frequencies of a head of {@code headLength} dims. */
  public static RopeFrequencies of(int headLength, double base, RopeScaling scaling) {
    double[] inverse = new double[headLength / 2];
    for (int i = 0; i < inverse.length; i++) {
      inverse[i] = Math.pow(base, -2.0 * i / headLength);
    }
    return new RopeFrequencies(
        scaling.scale(inverse, headLength, base), scaling.attentionFactor(), base, scaling);
  }

  @Override
  public double[] inverse() {
    return inverse.clone();
  }

  /** Pairs of a head. */
  public int pairs() {
    return inverse.length;
  }
}
