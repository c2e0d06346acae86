package io.github.mla4j.convert.heal;

/**
 * How the learning rate goes over a run: linear up, then as the schedule has it, to zero at the
 * end. A function of the share of the run that is done, whether time or steps end it.
 */
public enum HealSchedule {
  /** For minutes on a few cores: linear down. The rate is a share of every tensor's size. */
  SHORT(3e-3, true, 0.04) {
    @Override
    double afterWarmUp(double left) {
      return left;
    }
  },
  /**
   * The paper's, for billions of tokens: 900 steps up and, of 18,000, the last 1,800 down, as one
   * minus the root of the way gone. The rate is the same for all tensors.
   */
  PAPER(1e-4, false, 0.05) {
    @Override
    double afterWarmUp(double left) {
      return left >= COOL_DOWN ? 1 : 1 - Math.sqrt(1 - left / COOL_DOWN);
    }
  };

  private static final double COOL_DOWN = 0.1;

  private final double rate;
  private final boolean relative;
  private final double warmUp;

  HealSchedule(double rate, boolean relative, double warmUp) {
    this.rate = rate;
    this.relative = relative;
    this.warmUp = warmUp;
  }

  /** The peak of the rate where none is given. */
  public double defaultRate() {
    return rate;
  }

  /** Whether the rate is a share of a tensor's size. */
  boolean isRelative() {
    return relative;
  }

  /**
   * What the peak is multiplied by in one step.
   *
   * @param begin share of the run that is done before the step, 0 to 1
   * @param end share that is done after it
   */
  double factor(double begin, double end) {
    return Math.min(1, end / warmUp) * afterWarmUp(Math.max(0, 1 - begin));
  }

  /**
   * @param left share of the run that is left
   */
  abstract double afterWarmUp(double left);
}
