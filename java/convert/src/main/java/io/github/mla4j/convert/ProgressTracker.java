package io.github.mla4j.convert;

import io.github.mla4j.CancelledException;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/** Turns finished layers into fractions and time left, and notices an interrupt. */
final class ProgressTracker {
  private final ProgressListener listener;
  private final Instant start = Instant.now();
  private final int layers;
  private final double[] shares;
  private double begun; // shares of the stages that are over
  private int stage = -1;
  private String name = "";

  /**
   * @param shares of the time that each pass over the layers takes, 1 together; a pass of share 0
   *     never begins
   */
  ProgressTracker(ProgressListener listener, int layers, double... shares) {
    this.listener = listener;
    this.layers = layers;
    this.shares = shares;
  }

  void begin(String stageName) {
    name = stageName;
    do {
      begun += stage < 0 ? 0 : shares[stage];
      stage++;
    } while (shares[stage] == 0);
    tell(0);
  }

  /**
   * @throws CancelledException if the thread was interrupted
   */
  void layerDone(int done) {
    tell(done);
    if (Thread.interrupted()) {
      throw new CancelledException("the conversion was cancelled");
    }
  }

  private void tell(int done) {
    double fraction = begun + shares[stage] * done / layers;
    Duration elapsed = Duration.between(start, Instant.now());
    Optional<Duration> remaining =
        fraction > 0
            ? Optional.of(Duration.ofMillis((long) (elapsed.toMillis() * (1 / fraction - 1))))
            : Optional.empty();
    listener.progress(new Progress(name, done, layers, fraction, remaining));
  }

  Duration elapsed() {
    return Duration.between(start, Instant.now());
  }
}
