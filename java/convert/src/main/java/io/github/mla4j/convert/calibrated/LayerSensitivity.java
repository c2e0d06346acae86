package io.github.mla4j.convert.calibrated;

/**
 * What converting one layer, alone, does to the model's predictions, by the elements it may cache.
 * The divergence was measured at one size; at the others it is taken to go with the error of the
 * attention's output, which costs far less to measure (over sizes from a half to twice the budget
 * the two were seen to keep their ratio).
 */
final class LayerSensitivity {
  // Of the error: below it nothing is told apart.
  private static final double SMALLEST = 1e-12;

  private final int[] sizes;
  private final double[] logarithms; // of the divergence at each size

  /**
   * @param sizes elements cached a token, rising
   * @param errors of the attention's output at each size ({@link LayerError})
   * @param measured index of the size that {@code divergence} was measured at
   * @param divergence KL of the next-token distributions, nats a token
   */
  LayerSensitivity(int[] sizes, double[] errors, int measured, double divergence) {
    this.sizes = sizes.clone();
    this.logarithms = new double[sizes.length];
    double ratio = Math.max(divergence, SMALLEST) / Math.max(errors[measured], SMALLEST);
    for (int i = 0; i < sizes.length; i++) {
      logarithms[i] = Math.log(ratio * Math.max(errors[i], SMALLEST));
    }
  }

  int least() {
    return sizes[0];
  }

  int greatest() {
    return sizes[sizes.length - 1];
  }

  /** Nats a token at a size between the least and the greatest, its logarithm interpolated. */
  double divergence(int elements) {
    int above = 0;
    while (above < sizes.length - 1 && sizes[above] < elements) {
      above++;
    }
    if (above == 0 || sizes[above] == elements) {
      return Math.exp(logarithms[above]);
    }
    double share = (double) (elements - sizes[above - 1]) / (sizes[above] - sizes[above - 1]);
    return Math.exp(logarithms[above - 1] * (1 - share) + logarithms[above] * share);
  }
}
