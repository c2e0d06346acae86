package io.github.mla4j.convert.torch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.bytedeco.pytorch.Tensor;

/** Comparison of tensors. */
public final class Tensors {
  private Tensors() {}

  /** Equal shapes, and no element off by more than this share of one and the largest. */
  public static void assertClose(Tensor expected, Tensor actual, double share) {
    assertArrayEquals(expected.shape(), actual.shape());
    float[] wanted = TensorValues.floats(expected);
    float[] found = TensorValues.floats(actual);
    double largest = 0;
    double worst = 0;
    for (int i = 0; i < wanted.length; i++) {
      largest = Math.max(largest, Math.abs(wanted[i]));
      double off = Math.abs(wanted[i] - found[i]);
      worst = off <= worst ? worst : off; // a NaN is worse than all
    }
    assertTrue(worst <= share * (1 + largest), "off by " + worst + " of " + largest);
  }
}
