package io.github.mla4j.convert.calibrated;

import java.util.Arrays;
import java.util.List;

/**
 * Shares a budget among the layers so that the sum of their divergences is least: elements go, two
 * at a time, to the layer that gains most from them.
 */
final class BudgetSpread {
  // An element and its neighbour: a rotary pair takes two.
  private static final int STEP = 2;

  private BudgetSpread() {}

  /**
   * @param total elements of all layers together
   * @return elements of every layer, none less than the least or more than the greatest size that
   *     it was measured at; all together at most {@code total}, and less only where no layer can
   *     take more
   * @throws IllegalArgumentException if {@code total} is less than all layers' least sizes
   */
  static int[] of(List<LayerSensitivity> layers, int total) {
    int[] elements = layers.stream().mapToInt(LayerSensitivity::least).toArray();
    int left = total - Arrays.stream(elements).sum();
    if (left < 0) {
      throw new IllegalArgumentException(
          "%d elements for layers that take %d at least".formatted(total, total - left));
    }
    double[] gains = new double[elements.length];
    for (int l = 0; l < elements.length; l++) {
      gains[l] = gain(layers.get(l), elements[l], left);
    }
    while (left > 0) {
      int best = 0;
      for (int l = 1; l < elements.length; l++) {
        best = gains[l] > gains[best] ? l : best;
      }
      if (gains[best] < 0) {
        break;
      }
      int step = step(layers.get(best), elements[best], left);
      elements[best] += step;
      left -= step;
      gains[best] = gain(layers.get(best), elements[best], left);
    }
    return elements;
  }

  private static int step(LayerSensitivity layer, int elements, int left) {
    return Math.min(Math.min(STEP, left), layer.greatest() - elements);
  }

  /** What a step is worth an element; negative where the layer can take none. */
  private static double gain(LayerSensitivity layer, int elements, int left) {
    int step = step(layer, elements, left);
    return step <= 0
        ? -1
        : Math.max(0, layer.divergence(elements) - layer.divergence(elements + step)) / step;
  }
}
