package io.github.mla4j.convert;

import java.util.Locale;

/**
 * The coordinates in which a converted layer's latent is cached. They change nothing that the model
 * computes from exact latents, and what rounding to a few bits costs.
 */
public enum LatentRotation {
  /** As the decomposition gives them. */
  NONE,
  /**
   * Centred, along the principal axes of what the latent does to the attention's output, and each
   * group of 32 axes turned so that all its elements vary alike.
   */
  HADAMARD,
  /** The same, each group turned further to where a grid of few levels lies nearest. */
  LEARNED;

  /** As options and converted files spell it. */
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
