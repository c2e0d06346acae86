package io.github.mla4j.cli;

import java.util.Locale;

/** A time as exact as an estimate deserves. */
final class RoughTime {
  private static final long FEW_SECONDS = 120;
  private static final long FEW_MINUTES = 120;

  private RoughTime() {}

  /** Such as "95 s", "17 min", "2 h 5 min"; what is less than a second is one. */
  static String of(long seconds) {
    if (seconds < FEW_SECONDS) {
      return Math.max(1, seconds) + " s";
    }
    long minutes = Math.round(seconds / 60.0);
    return minutes < FEW_MINUTES
        ? minutes + " min"
        : String.format(Locale.ROOT, "%d h %d min", minutes / 60, minutes % 60);
  }
}
