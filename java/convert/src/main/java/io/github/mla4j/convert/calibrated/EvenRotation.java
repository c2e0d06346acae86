package io.github.mla4j.convert.calibrated;

import org.bytedeco.pytorch.AbstractTensor;
import org.bytedeco.pytorch.Tensor;

/**
 * Orthogonal matrices whose elements are all small, so that no axis stays on its own: Sylvester's
 * Hadamard matrix where the size is a power of two, else the discrete Hartley transform.
 */
final class EvenRotation {
  private EvenRotation() {}

  /** [n, n] in double precision. */
  static Tensor of(int n) {
    boolean power = Integer.bitCount(n) == 1;
    double[] values = new double[n * n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        values[i * n + j] = (power ? hadamard(i, j) : hartley(i, j, n)) / Math.sqrt(n);
      }
    }
    return AbstractTensor.create(values, n, n);
  }

  private static double hadamard(int i, int j) {
    return Integer.bitCount(i & j) % 2 == 0 ? 1 : -1;
  }

  private static double hartley(int i, int j, int n) {
    double angle = 2 * Math.PI * ((long) i * j % n) / n;
    return Math.cos(angle) + Math.sin(angle);
  }
}
