package io.github.mla4j;

/** How finely activations are rounded before they meet quantized weights and cache rows. */
public enum Activations {
  /**
   * Whole numbers of 8 bits where no element stands out, on machines that gain by it, and for the
   * weights of attention over int4 and int2 rows; of 15 bits elsewhere; prompts' attention in
   * 16-bit fixed point where others use floats, but for an f32 cache. Moves next-token
   * distributions a little (SmolLM2-135M: a KL divergence of 5e-4).
   */
  MIXED,
  /** Whole numbers of 15 bits, for measurements: an int8 cache changes less than mixed ones do. */
  FINE
}
