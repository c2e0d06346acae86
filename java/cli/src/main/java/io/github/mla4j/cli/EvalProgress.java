package io.github.mla4j.cli;

import java.io.PrintWriter;
import java.util.Locale;

/** How far a measure is: a line every few seconds. */
final class EvalProgress {
  private static final long INTERVAL_NANOS = 3_000_000_000L;

  private final PrintWriter err;
  private final long all;
  private final long start = System.nanoTime();
  private long told = start;
  private long done;

  /**
   * Begins now.
   *
   * @param all units of work: windows, tasks or tokens
   */
  EvalProgress(PrintWriter err, long all) {
    this.err = err;
    this.all = all;
  }

  /**
   * Some more units are done.
   *
   * @param soFar the result so far, as for {@link String#format}
   */
  void add(long units, String soFar, Object... values) {
    done += units;
    long now = System.nanoTime();
    if (now - told < INTERVAL_NANOS || done >= all) {
      return;
    }
    told = now;
    double left = (double) (now - start) * (all - done) / done / 1e9;
    err.printf(
        Locale.ROOT,
        "mla: %,d/%,d, %s, %.0f s left%n",
        done,
        all,
        String.format(Locale.ROOT, soFar, values),
        Math.max(1, left));
    err.flush();
  }
}
