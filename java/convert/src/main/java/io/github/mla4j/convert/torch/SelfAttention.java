package io.github.mla4j.convert.torch;

import org.bytedeco.pytorch.Tensor;

/**
 * The attention of one decoder block, the part in which a converted model differs from its source.
 */
@FunctionalInterface
public interface SelfAttention {
  /**
   * Attends causally from every position to itself and all before it.
   *
   * @param x normed residual stream, [batch, length, hidden]
   * @param rotary positions, shared by all layers
   * @return what is added to the residual stream, [batch, length, hidden]
   */
  Tensor forward(Tensor x, RotaryTable rotary);

  /** Makes the attention of one layer out of tensors in {@code parameters}. */
  @FunctionalInterface
  interface Factory {
    SelfAttention create(LlamaShape shape, int layer, Parameters parameters);
  }
}
