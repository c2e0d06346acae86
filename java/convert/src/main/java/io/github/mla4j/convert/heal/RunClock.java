package io.github.mla4j.convert.heal;

import java.time.Duration;
import java.util.function.LongSupplier;

/** How much of a run is done, in steps or in time, across interruptions. Not thread-safe. */
final class RunClock {
  private static final double NANOS_A_MINUTE = 60e9;

  private final HealLength length;
  private final LongSupplier nanoTime;
  private final long begin;
  private final Duration before;
  private final long stepsBefore;
  private long steps;
  private double lastStepNanos;

  /**
   * @param before time that the run took before it was interrupted
   * @param steps done before it was interrupted
   * @param nanoTime as {@link System#nanoTime}
   */
  RunClock(HealLength length, Duration before, long steps, LongSupplier nanoTime) {
    this.length = length;
    this.before = before;
    this.stepsBefore = steps;
    this.steps = steps;
    this.nanoTime = nanoTime;
    this.begin = nanoTime.getAsLong();
  }

  /** Time that the run has taken. */
  Duration elapsed() {
    return before.plusNanos(nanoTime.getAsLong() - begin);
  }

  long steps() {
    return steps;
  }

  /** Whether another step would go further beyond the end than the run is before it. */
  boolean done() {
    return length instanceof HealLength.Steps all
        ? steps >= all.steps()
        : steps > 0 && share(lastStepNanos / 2) >= 1;
  }

  /** Share of the run that is done, at most 1. */
  double share() {
    return length instanceof HealLength.Steps all
        ? (double) steps / all.steps()
        : Math.min(1, share(0));
  }

  /** Share of the run that will be done after the next step, as far as can be told. */
  double shareAfterStep() {
    return length instanceof HealLength.Steps all
        ? (steps + 1.0) / all.steps()
        : Math.min(1, share(lastStepNanos));
  }

  private double share(double further) {
    double total = ((HealLength.Minutes) length).minutes() * NANOS_A_MINUTE;
    return (elapsed().toNanos() + further) / total;
  }

  /**
   * A step is done.
   *
   * @param nanos that it took
   */
  void step(long nanos) {
    steps++;
    lastStepNanos = nanos;
  }

  /** Time until the end, estimated from the steps since the last interruption. */
  Duration left() {
    if (length instanceof HealLength.Minutes all) {
      long total = (long) (all.minutes() * NANOS_A_MINUTE);
      return Duration.ofNanos(Math.max(0, total - elapsed().toNanos()));
    }
    double each = (double) (nanoTime.getAsLong() - begin) / Math.max(1, steps - stepsBefore);
    return Duration.ofNanos((long) (each * (((HealLength.Steps) length).steps() - steps)));
  }
}
