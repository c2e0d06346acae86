package io.github.mla4j.benchmarks.peers;

import java.util.List;
import java.util.Locale;

/**
 * What several rounds gave.
 *
 * @param distance from the median to the sample that is furthest from it
 */
record Spread(double median, double distance) {

  /**
   * @param samples at least one
   */
  static Spread of(List<Double> samples) {
    List<Double> sorted = samples.stream().sorted().toList();
    int middle = sorted.size() / 2;
    double median =
        sorted.size() % 2 == 1
            ? sorted.get(middle)
            : (sorted.get(middle - 1) + sorted.get(middle)) / 2;
    double last = sorted.get(sorted.size() - 1);
    return new Spread(median, Math.max(last - median, median - sorted.get(0)));
  }

  @Override
  public String toString() {
    return String.format(Locale.ROOT, "%.1f ± %.1f", median, distance);
  }
}
