package io.github.mla4j;

/** How a prompt's attention is computed; all give the same logits. The order is the C API's. */
public enum Prefill {
  /** By counted cost. */
  AUTO,
  /** On the latent itself. */
  ABSORBED,
  /** On keys and values that are projected up again. */
  EXPANDED
}
