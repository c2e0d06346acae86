package io.github.mla4j.convert.train;

/**
 * Warm-up, plateau, cool-down: linear up, constant, then down as one minus the root of the way
 * gone. The plateau does not know how long the run is, so a run can be resumed with another length.
 *
 * @param peak rate on the plateau
 * @param warmUp steps until the peak
 * @param coolDown steps from the plateau to zero, the last steps of the run
 */
record LearningRate(double peak, int warmUp, int coolDown) {
  /**
   * The rate of one step.
   *
   * @param step the first being 0
   * @param steps length of the run
   */
  double at(long step, long steps) {
    double rate = peak * Math.min(1, (step + 1.0) / warmUp);
    long left = steps - step;
    return left >= coolDown ? rate : rate * (1 - Math.sqrt(1 - (double) left / coolDown));
  }
}
