package io.github.mla4j.convert.torch;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/** Sums of large tensors of different types. */
public final class LargeSum {
  /** Elements at a time. */
  private static final long BLOCK = 1 << 18;

  private LargeSum() {}

  /**
   * Adds {@code weight · part} to {@code sum}, of its shape. A few rows at a time: what is of
   * another type becomes the sum's on the way, in memory of its own, which for a whole matrix costs
   * more than the addition.
   */
  public static void add(Tensor sum, Tensor part, Scalar weight) {
    long rows = sum.dim() == 0 ? 1 : sum.size(0);
    if (rows == 1 || sum.numel() <= BLOCK) {
      sum.add_(part, weight);
      return;
    }
    long block = Math.max(1, BLOCK * rows / sum.numel());
    for (long first = 0; first < rows; first += block) {
      long count = Math.min(block, rows - first);
      sum.narrow(0, first, count).add_(part.narrow(0, first, count), weight);
    }
  }
}
