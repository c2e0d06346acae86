package io.github.mla4j.convert.heal;

import java.util.Arrays;

/** The loss of every step of a run. Not thread-safe. */
final class LossHistory {
  private static final int ENDS = 20;

  private float[] losses = new float[64];
  private int count;

  void add(double loss) {
    if (count == losses.length) {
      losses = Arrays.copyOf(losses, 2 * count);
    }
    losses[count++] = (float) loss;
  }

  int size() {
    return count;
  }

  float[] toArray() {
    return Arrays.copyOf(losses, count);
  }

  /** Mean over the first steps, a tenth of the run at most. */
  double first() {
    return mean(0, Math.min(count, ends()));
  }

  /** Mean over the last steps, a tenth of the run at most. */
  double last() {
    return mean(count - Math.min(count, ends()), count);
  }

  private int ends() {
    return Math.max(1, Math.min(ENDS, count / 10));
  }

  /** Mean over the steps from {@code begin} to before {@code end}. */
  double mean(int begin, int end) {
    double sum = 0;
    for (int i = begin; i < end; i++) {
      sum += losses[i];
    }
    return sum / (end - begin);
  }
}
