package io.github.mla4j.eval;

/** Running mean and variance (Welford), so that long texts lose no precision. */
final class Moments {
  private int count;
  private double mean;
  private double squares;

  void add(double value) {
    count++;
    double before = value - mean;
    mean += before / count;
    squares += before * (value - mean);
  }

  int count() {
    return count;
  }

  double mean() {
    return mean;
  }

  /** Of the mean; NaN where there are fewer than two values, which have no spread. */
  double standardError() {
    return count > 1 ? Math.sqrt(squares / (count - 1) / count) : Double.NaN;
  }
}
