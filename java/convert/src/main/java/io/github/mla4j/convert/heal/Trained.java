package io.github.mla4j.convert.heal;

/** Which tensors healing changes. */
public enum Trained {
  /** Those that the conversion made: projections of the attention, their biases and head norms. */
  ATTENTION,
  /** Every tensor. */
  ALL;

  /**
   * @param name of a tensor in the model
   */
  boolean includes(String name) {
    return this == ALL
        || (name.startsWith("blk.")
            && DecoderLayer.isAttention(name.substring(name.indexOf('.', "blk.".length()) + 1)));
  }
}
