package io.github.mla4j.cli;

import io.github.mla4j.convert.Progress;
import io.github.mla4j.convert.ProgressListener;
import java.io.PrintWriter;
import java.util.Locale;

/** A conversion's progress as lines: one at every new stage, and one every few seconds. */
final class ProgressLines implements ProgressListener {
  private static final long INTERVAL_NANOS = 3_000_000_000L;

  private final PrintWriter err;
  private String stage = "";
  private long printed;

  ProgressLines(PrintWriter err) {
    this.err = err;
  }

  @Override
  public void progress(Progress progress) {
    long now = System.nanoTime();
    if (progress.stage().equals(stage) && now - printed < INTERVAL_NANOS) {
      return;
    }
    stage = progress.stage();
    printed = now;
    String left =
        progress
            .remaining()
            .map(time -> ", " + RoughTime.of(time.toSeconds()) + " left")
            .orElse("");
    err.printf(
        Locale.ROOT,
        "mla: %s %d/%d, %.0f %%%s%n",
        stage,
        progress.layer(),
        progress.layers(),
        100 * progress.fraction(),
        left);
    err.flush();
  }
}
