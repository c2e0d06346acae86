package io.github.mla4j.convert.heal;

/**
 * How the learning rate goes over a run: linear up, constant, then down to zero as one minus the
 * root of the way gone. A function of the share of the run that is done, whether time or steps end
 * it.
 */
public enum HealSchedule {
  /** For minutes on a few cores. The rate is a share of every tensor's size. */
  SHORT(2e-3, true, 0.04, 0.4),
  /**
   * The paper's, for billions of tokens: 900 steps up and 1,800 down of 18,000. The rate is the
   * same for all tensors.
   */
  PAPER(1e-4, false, 0.05, 0.1);

  private final double rate;
  private final boolean relative;
  private final double warmUp;
  private final double coolDown;

  HealSchedule(double rate, boolean relative, double warmUp, double coolDown) {
    this.rate = rate;
    this.relative = relative;
    this.warmUp = warmUp;
    this.coolDown = coolDown;
  }

  /** The rate on the plateau where none is given. */
  public double defaultRate() {
    return rate;
  }

  /** Whether the rate is a share of a tensor's size. */
  boolean isRelative() {
    return relative;
  }

  /**
   * What the plateau's rate is multiplied by in one step.
   *
   * @param begin share of the run that is done before the step, 0 to 1
   * @param end share that is done after it
   */
  double factor(double begin, double end) {
    double left = Math.max(0, 1 - begin);
    double down = left >= coolDown ? 1 : 1 - Math.sqrt(1 - left / coolDown);
    return Math.min(1, end / warmUp) * down;
  }
}
