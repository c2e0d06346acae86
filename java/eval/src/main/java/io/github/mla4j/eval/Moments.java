package io.github.mla4j.eval;

/** Running mean and variance (Welford), so that long texts lose no precision. */
public final class Moments {
  private int count;
  private double mean;
  private double squares;

  /** Of no values yet. */
  public Moments() {}

  public void add(double value) {
    count++;
    double before = value - mean;
    mean += before / count;
    squares += before * (value - mean);
  }

  public int count() {
    return count;
  }

  public double mean() {
    return mean;
  }

  /** Of the values; NaN where there are fewer than two. */
  public double standardDeviation() {
    return count > 1 ? Math.sqrt(squares / (count - 1)) : Double.NaN;
  }

  /** Of the mean; NaN where there are fewer than two values, which have no spread. */
  public double standardError() {
    return standardDeviation() / Math.sqrt(count);
  }
}
