package io.github.mla4j.convert.calibrated;

import java.util.Arrays;

/**
 * Which components of a block keep their rotation.
 *
 * <p>A removed rotation still has a mean angle and gain: component p's rotated score is replaced by
 * γ_p times the one without rotation, γ_p complex, fitted by least squares over the attention. With
 * R the covariance of what is left of every component, dropping the set S costs 1ᵀ R_SS 1 / 2 of KL
 * divergence; components are dropped one after the other, always the one that raises it least.
 */
final class ComponentChoice {
  private final int count;
  private final double[] gainReal;
  private final double[] gainImaginary;
  private final double[] residual; // R, [N, N]
  private final int[] dropped; // all components, the first dropped first

  /**
   * @param covariance [3N, 3N], as {@link AttentionStatistics#components}
   * @param count N
   */
  ComponentChoice(double[] covariance, int count) {
    this.count = count;
    this.gainReal = new double[count];
    this.gainImaginary = new double[count];
    for (int p = 0; p < count; p++) {
      fitGain(covariance, p);
    }
    this.residual = residuals(covariance);
    this.dropped = eliminate();
  }

  private double at(double[] covariance, int row, int column) {
    return covariance[row * 3 * count + column];
  }

  /** Solves the 2 × 2 normal equations; a component without variance gets no gain. */
  private void fitGain(double[] m, int p) {
    int re = count + p;
    int im = 2 * count + p;
    double ridge = 1e-9 * (at(m, re, re) + at(m, im, im)) + 1e-30;
    double a = at(m, re, re) + ridge;
    double b = at(m, re, im);
    double c = at(m, im, im) + ridge;
    double determinant = a * c - b * b;
    double x = at(m, re, p);
    double y = at(m, im, p);
    // The part g_0 · Re z + g_1 · Im z is Re((g_0 − i g_1) z).
    gainReal[p] = (c * x - b * y) / determinant;
    gainImaginary[p] = -(a * y - b * x) / determinant;
  }

  private double[] residuals(double[] m) {
    double[] r = new double[count * count];
    for (int p = 0; p < count; p++) {
      double[] left = {1, -gainReal[p], gainImaginary[p]};
      for (int q = 0; q < count; q++) {
        double[] right = {1, -gainReal[q], gainImaginary[q]};
        double sum = 0;
        for (int i = 0; i < 3; i++) {
          for (int j = 0; j < 3; j++) {
            sum += left[i] * right[j] * at(m, i * count + p, j * count + q);
          }
        }
        r[p * count + q] = sum;
      }
    }
    return r;
  }

  private int[] eliminate() {
    int[] order = new int[count];
    double[] cross = new double[count];
    boolean[] gone = new boolean[count];
    for (int step = 0; step < count; step++) {
      int best = -1;
      double least = Double.POSITIVE_INFINITY;
      for (int p = 0; p < count; p++) {
        double rise = residual[p * count + p] + 2 * cross[p];
        if (!gone[p] && (best < 0 || rise < least)) {
          best = p;
          least = rise;
        }
      }
      gone[best] = true;
      order[step] = best;
      for (int p = 0; p < count; p++) {
        cross[p] += residual[best * count + p];
      }
    }
    return order;
  }

  /** The components that keep their rotation when so many do, in rising order. */
  int[] kept(int keep) {
    int[] kept = Arrays.copyOfRange(dropped, count - keep, count);
    Arrays.sort(kept);
    return kept;
  }

  /** Re γ of a component. */
  double gainReal(int component) {
    return gainReal[component];
  }

  /** Im γ of a component. */
  double gainImaginary(int component) {
    return gainImaginary[component];
  }
}
