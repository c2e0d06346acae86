package io.github.mla4j.cli;

import java.io.PrintWriter;
import java.util.Locale;

/** How far a measure is: a line every few seconds. */
final class EvalProgress {
  private static final long INTERVAL_NANOS = 3_000_000_000L;

  private final PrintWriter err;
  private final long all;
  private final boolean inPerCent;
  private final long start = System.nanoTime();
  private long told = start;
  private long done;

  /**
   * Begins now.
   *
   * @param all units of work: windows, tasks or tokens
   */
  EvalProgress(PrintWriter err, long all) {
    this(err, all, false);
  }

  private EvalProgress(PrintWriter err, long all, boolean inPerCent) {
    this.err = err;
    this.all = all;
    this.inPerCent = inPerCent;
  }

  /** The same for units that are of no interest by themselves: told in per cent. */
  static EvalProgress inPerCent(PrintWriter err, long all) {
    return new EvalProgress(err, all, true);
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
        "mla: %s, %s, %s left%n",
        inPerCent ? format("%d %%", 100 * done / all) : format("%,d/%,d", done, all),
        format(soFar, values),
        RoughTime.of(Math.round(left)));
    err.flush();
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
