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
  private final int stages;
  private int stage;
  private String name = "";

  /**
   * @param stages passes over the layers, taken to last alike
   */
  ProgressTracker(ProgressListener listener, int layers, int stages) {
    this.listener = listener;
    this.layers = layers;
    this.stages = stages;
  }

  void begin(String stageName) {
    name = stageName;
    tell(0);
  }

  /**
   * @throws CancelledException if the thread was interrupted
   */
  void layerDone(int done) {
    tell(done);
    if (done == layers) {
      stage++;
    }
    if (Thread.interrupted()) {
      throw new CancelledException("the conversion was cancelled");
    }
  }

  private void tell(int done) {
    double fraction = ((double) stage * layers + done) / ((double) stages * layers);
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
