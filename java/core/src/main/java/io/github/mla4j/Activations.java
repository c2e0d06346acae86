package io.github.mla4j;

/** The activations that quantized weights are multiplied with. */
public enum Activations {
  /**
   * Whole numbers of 15 bits, or of 8 where no element stands out: faster on some machines. Moves
   * next-token distributions a little (SmolLM2-135M: a KL divergence of 5e-4).
   */
  MIXED,
  /** Whole numbers of 15 bits, for measurements: an int8 cache changes less than mixed ones do. */
  FINE
}
