package io.github.mla4j.convert.source;

/** Decoder families that can be converted; the differences are in attention only. */
public enum ModelFamily {
  /** Llama, and Mistral, which only adds a sliding window. */
  LLAMA("llama"),
  /** Biases on query, key and value. */
  QWEN2("qwen2"),
  /** RMS norms on each head's query and key before rotation. */
  QWEN3("qwen3");

  private final String architecture;

  ModelFamily(String architecture) {
    this.architecture = architecture;
  }

  /** The name as GGUF's {@code general.architecture}. */
  public String architecture() {
    return architecture;
  }

  /**
   * Whether GGUF files of the family store query and key rows as interleaved rotary pairs (2i, 2i +
   * 1) instead of halves (i, i + d/2).
   */
  public boolean interleavesPairsInGguf() {
    return this == LLAMA;
  }
}
